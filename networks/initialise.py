"""module -> None: how weights start, where a paper departs from PyTorch's own choice."""

from collections.abc import Callable, Iterator

from torch import nn

Initialise = Callable[[nn.Module], None]


def as_torch(module: nn.Module) -> None:
    """Leaves what PyTorch drew: uniform in +-1/sqrt(fan in), biases too."""


def orthogonal(module: nn.Module) -> None:
    """Orthogonal weights, zero biases (Gowal et al. 2019, released code)."""
    for layer in _affine(module):
        nn.init.orthogonal_(layer.weight)


def gaussian(module: nn.Module) -> None:
    """Weights from N(0, 1 / fan in), zero biases (SingleProp, released code)."""
    for layer in _affine(module):
        nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)


def _affine(module: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            yield layer
