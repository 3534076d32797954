"""Fully connected networks: `mlp_2x256` has two hidden layers of 256 units; `mlp` has any."""

from collections.abc import Sequence

from torch import nn

from absdomain.data.normalise import Normalise
from absdomain.networks.chain import Chain, Shape


def mlp(
    shape: Shape = (1, 28, 28),
    classes: int = 10,
    *,
    hidden: Sequence[int] | None = None,
    widths: Sequence[int] | None = None,
    normalise: Normalise | None = None,
) -> nn.Sequential:
    """FC - relu - ... - FC on the flattened image, with the given widths of the hidden layers.

    The default is the 784-100-100-10 network MLP-B of Salman et al. 2019, A Convex Relaxation Barrier. `widths` is
    another name of `hidden`.

    Errors: ValueError for both.
    """
    if hidden is not None and widths is not None:
        raise ValueError(f"mlp: hidden={hidden} and widths={widths} are two names of the same; give one")
    units = next((given for given in (hidden, widths) if given is not None), (100, 100))
    return Chain(units=tuple(units))(shape, classes, normalise=normalise)


mlp_2x100 = Chain(units=(100,) * 2)
toy = Chain(units=(100,) * 3)  # 2-100-100-100-2 on the toy data (Gowal et al. 2019, figure 4)
# The three networks of VNN-COMP's mnist_fc benchmark.
mlp_2x256 = Chain(units=(256,) * 2)
mlp_4x256 = Chain(units=(256,) * 4)
mlp_6x256 = Chain(units=(256,) * 6)
