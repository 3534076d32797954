"""{ name -> nn.Module }: the architectures of the papers, under the papers' names, in plain torch.nn.

Each is called as `network(shape=(1, 28, 28), classes=10, *, normalise=None)`, takes raw pixels in [0, 1] of shape
(B, *shape) and returns logits (B, classes). The command line knows them by their entry points: `gowal-small` is
`networks.gowal.small`, `crown-ibp-B` is `networks.crown_ibp.B`.
"""

from absdomain.data.normalise import Normalise
from absdomain.networks import advibp, crown_ibp, gowal, singleprop, wong
from absdomain.networks.chain import Chain, Conv, Same
from absdomain.networks.cnn7 import cnn7
from absdomain.networks.mlp import mlp
from absdomain.networks.size import Size, size

__all__ = [
    "Chain",
    "Conv",
    "Normalise",
    "Same",
    "Size",
    "advibp",
    "cnn7",
    "crown_ibp",
    "gowal",
    "mlp",
    "singleprop",
    "size",
    "wong",
]


def __dir__() -> list[str]:
    return sorted(__all__)
