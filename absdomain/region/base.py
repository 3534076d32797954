"""What a region is: a set known by its support function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from absdomain.bounds import Bounds
from absdomain.guarantee import Guarantee
from absdomain.kinds import Affine
from absdomain.rows import Rows

FAR = 2.0**20  # in radii: from so far away the projection of a gradient onto a ball is its steepest point


class Region(ABC):
    """A set of inputs per sample, known by its support function `minimum`, from which every domain takes its bounds.

    Law: for every x in the region, box().lower <= x <= box().upper and minimum(c) <= <c, x> = minimum(c) at x =
    lowest(c), which lies in the region. Both are attained, but a part of a larger region may have that one's box.
    """

    guarantee: ClassVar[Guarantee] = Guarantee.SOUND
    any_columns: ClassVar[bool] = False  # `minimum` reads rows by their methods alone: columns need not be samples
    centre: Tensor  # a point inside, (B, *shape)

    @property
    def whole(self) -> Region:
        """The region over which intermediate bounds are taken: itself, unless it is a part of a larger one."""
        return self

    @abstractmethod
    def box(self) -> Bounds:
        """The interval hull, (B, *shape)."""

    @abstractmethod
    def minimum(self, c: Rows) -> Tensor:
        """min of <c_k, x> over the region, (K, B)."""

    @abstractmethod
    def lowest(self, c: Tensor) -> Tensor:
        """A point of the region at which <c_k, x> is least, entries that do not matter at their middle.

        c (K, N or 1, *shape), a column per sample; (K, B, *shape).
        """

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n points of the region per sample, half of them extreme, (n, B, *shape)."""

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """A point of the region near x, (..., B, *shape): the nearest where the radius is the same along all axes."""

    def steepest(self, gradient: Tensor) -> Tensor:
        """A step of the region's own size along which <gradient, x> grows most, (B, *shape): what attacks take.

        Half of argmax - argmin over the region: epsilon * gradient / |gradient| in an L2 ball.
        """
        size = gradient.abs().flatten(1).amax(1).clamp(min=torch.finfo(gradient.dtype).tiny)
        box, centre = self.box(), self.centre.detach()
        reach = FAR * (box.upper - box.lower).detach().max() / 2
        far = gradient / size.view(-1, *[1] * (gradient.ndim - 1)) * reach
        return (self.project(centre + far) - self.project(centre - far)) / 2

    @abstractmethod
    def constraints(self, x: Any, sample: int) -> list[Any]:
        """x is in one sample's region, as constraints on a flat cvxpy expression: what LP and Exact are given."""

    @abstractmethod
    def hull(self, op: Affine) -> Bounds:
        """The interval hull of op over the region, exactly, (B, *output shape)."""

    @abstractmethod
    def moved(self, op: Affine) -> Region:
        """The image under a diagonal op, which is a region of the same kind."""

    def through(self, op: Affine) -> Region | Bounds:
        """The image under op where a region of this kind can say it, otherwise its interval hull."""
        return self.moved(op) if op.diagonal else self.hull(op)


def image(kind: type[Region], **fields: Tensor) -> Region:
    """A region that was computed, not given: NaN and overflow in it reach the bounds, which say so at a named node."""
    region = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(region, name, value)
    return region


def uniform(n: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """n samples of independent numbers in [0, 1], (n, B, *shape)."""
    return torch.rand(n, *like.shape, dtype=like.dtype, device=like.device, generator=generator)


def inhabited(region: Region) -> None:
    """An empty region would prove anything: refuse it, and NaN with it."""
    if torch.compiler.is_compiling():  # a check of values would break the compiled graph
        return
    box = region.box()
    if box.lower.shape != region.centre.shape:
        raise ValueError(
            f"{type(region).__name__}: the radius makes it {tuple(box.lower.shape)}, but the centre is "
            f"{tuple(region.centre.shape)}; give a number or a tensor that broadcasts to the centre"
        )
    if not bool((box.lower <= box.upper).all()):
        where = (~(box.lower <= box.upper)).nonzero()[0].tolist()
        low, high = box.lower[tuple(where)].item(), box.upper[tuple(where)].item()
        raise ValueError(
            f"{type(region).__name__} is empty or undefined at index {where}: [{low:g}, {high:g}]; "
            "give lower <= upper, a radius >= 0 and a centre that the clip does not exclude"
        )
