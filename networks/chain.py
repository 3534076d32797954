"""Conv - ReLU - ... - Conv - ReLU - Flatten - FC - ReLU - ... - FC: most papers' networks, each a table of rows."""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from absdomain.data.normalise import Normalise
from absdomain.networks.initialise import Initialise, as_torch

Shape = tuple[int, ...]  # of one image: (C, H, W)


class Row(Protocol):
    """One convolutional row of a table."""

    def layers(self, shape: Shape) -> tuple[list[nn.Module], Shape]:
        """The layers for images of this shape, without the ReLU, and the shape that they yield."""
        ...


@dataclass(frozen=True)
class Conv:
    """A kernel x kernel convolution into `channels`, zero-padded by `padding` on all four sides."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0

    def layers(self, shape: Shape) -> tuple[list[nn.Module], Shape]:
        channels, *sides = shape
        sides = [(side + 2 * self.padding - self.kernel) // self.stride + 1 for side in sides]
        if min(sides) < 1:
            raise ValueError(f"images of {shape} are too small for {self}; take larger images or a shallower network")
        layer = nn.Conv2d(channels, self.channels, self.kernel, self.stride, self.padding)
        return [layer], (self.channels, *sides)

    def __str__(self) -> str:
        return f"Conv{self.channels} {self.kernel}x{self.kernel} s{self.stride} p{self.padding}"


@dataclass(frozen=True)
class Same:
    """A convolution under TensorFlow's SAME: each side of n pixels yields ceil(n / stride).

    The padding's total is max((ceil(n / stride) - 1) stride + kernel - n, 0) and its odd pixel goes to the right and
    the bottom: 3x3 with stride 2 on an even side pads (0, 1). `Conv(..., padding=1)` has the same shape there, but
    samples a grid shifted by one pixel: weights trained with one of the two are wrong in the other.
    """

    channels: int
    kernel: int
    stride: int = 1

    def layers(self, shape: Shape) -> tuple[list[nn.Module], Shape]:
        channels, height, width = shape
        top, bottom = self._padding(height)
        left, right = self._padding(width)
        pad: list[nn.Module] = []
        padding = (top, left)
        if (top, left) != (bottom, right):
            pad, padding = [nn.ZeroPad2d((left, right, top, bottom))], (0, 0)
        layer = nn.Conv2d(channels, self.channels, self.kernel, self.stride, padding)
        return [*pad, layer], (self.channels, math.ceil(height / self.stride), math.ceil(width / self.stride))

    def _padding(self, side: int) -> tuple[int, int]:
        total = max((math.ceil(side / self.stride) - 1) * self.stride + self.kernel - side, 0)
        return total // 2, total - total // 2

    def __str__(self) -> str:
        return f"Conv{self.channels} {self.kernel}x{self.kernel} s{self.stride} SAME"


@dataclass(frozen=True)
class Chain:
    """An architecture as a value: its convolutions, the widths of its hidden FC layers, and how its weights start.

    Called with the shape of an image (C, H, W) and the number of classes, it makes the network, on (B, C, H, W).
    A layer is named by its kind and number (`conv2.weight`, `fc1.bias`), with `normalise` or without.
    """

    rows: tuple[Row, ...] = ()
    units: tuple[int, ...] = ()
    initialise: Initialise = as_torch

    def __call__(
        self, shape: Shape = (1, 28, 28), classes: int = 10, *, normalise: Normalise | None = None
    ) -> nn.Sequential:
        layers = front(shape, normalise)
        for number, row in enumerate(self.rows, 1):
            [*pads, conv], shape = row.layers(shape)
            layers |= {f"pad{number}": pad for pad in pads}
            layers |= {f"conv{number}": conv, f"relu{number}": nn.ReLU()}
        layers |= {"flatten": nn.Flatten()}
        widths = (math.prod(shape), *self.units)
        for number, (inputs, outputs) in enumerate(zip(widths, self.units, strict=False), 1):
            layers |= {f"fc{number}": nn.Linear(inputs, outputs), f"relu{len(self.rows) + number}": nn.ReLU()}
        layers |= {f"fc{len(widths)}": nn.Linear(widths[-1], classes)}
        network = nn.Sequential(layers)
        self.initialise(network)
        return network

    def __str__(self) -> str:
        return ", ".join([*map(str, self.rows), *(f"FC{units}" for units in self.units)])


def front(shape: Shape, normalise: Normalise | None) -> "OrderedDict[str, nn.Module]":
    """The layers before the first: none, or the normalisation, whose channels must be those of the images."""
    if normalise is None:
        return OrderedDict()
    if len(normalise.mean) != shape[0]:
        raise ValueError(f"images of {shape} have {shape[0]} channels, but {normalise} is for {len(normalise.mean)}")
    return OrderedDict(normalise=normalise)
