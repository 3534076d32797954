"""What a region is: a set known by its support function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from absdomain.guarantee import Guarantee
from absdomain.kinds import Affine
from absdomain.linear import Bounds, Rows

Draws = torch.Generator | Sequence[torch.Generator] | None  # one for all samples, one for each, or torch's own
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
    def sample(self, n: int, generator: Draws = None) -> Tensor:
        """n points of the region per sample, half of them extreme, (n, B, *shape).

        With a generator for each sample, a sample's points do not depend on its neighbours.
        """

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """A point of the region near x, (..., B, *shape): the nearest where the radius is the same along all axes.

        Law: what comes out is in the region, exactly, and is projected to itself, to the last bit. So is a point of the
        region that is not within rounding of its surface.
        """

    def select(self, index: Tensor) -> Region:
        """The region of the samples at these places, (R,): a tensor with the axes of `centre` has a row per sample.

        Errors: ValueError where the result is not those samples' region; a region made of other fields overrides this.
        """
        samples, axes = len(self.centre), self.centre.dim()
        chosen = mapped(self, lambda t: t[index] if t.dim() == axes and len(t) == samples else t)
        box, part = self.box(), chosen.box()
        if not (torch.equal(part.lower, box.lower[index]) and torch.equal(part.upper, box.upper[index])):
            raise ValueError(f"{type(self).__name__}: its samples are not rows of its fields; override `select`")
        return chosen

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


def mapped(value: Any, f: Callable[[Tensor], Tensor]) -> Any:
    """The value with f of every tensor in it: in a region's fields, and in regions and bounds that it holds."""
    if isinstance(value, Tensor):
        return f(value)
    if not isinstance(value, Region | Bounds):
        return value
    twin = object.__new__(type(value))
    for name, held in vars(value).items():
        object.__setattr__(twin, name, mapped(held, f))
    return twin


def tensors(region: Region) -> list[Tensor]:
    """Every tensor of a region, those of regions that it holds included."""
    found: list[Tensor] = []
    mapped(region, lambda t: found.append(t) or t)  # type: ignore[func-returns-value]
    return found


def uniform(n: int, like: Tensor, generator: Draws) -> Tensor:
    """n samples of independent numbers in [0, 1], (n, B, *shape)."""
    return drawn(torch.rand, n, like, generator)


def drawn(distribution: Callable[..., Tensor], n: int, like: Tensor, generator: Draws) -> Tensor:
    """n samples of independent numbers, (n, B, *shape), of torch.rand or torch.randn."""
    options = {"dtype": like.dtype, "device": like.device}
    if generator is None or isinstance(generator, torch.Generator):
        return distribution(n, *like.shape, generator=generator, **options)
    return torch.stack([distribution(n, *like.shape[1:], generator=one, **options) for one in generator], 1)


def inhabited(region: Region) -> None:
    """An empty region would prove anything: refuse it, NaN with it, and one that has no end, which proves nothing."""
    if torch.compiler.is_compiling():  # a check of values would break the compiled graph
        return
    box = region.box()
    if box.lower.shape != region.centre.shape:
        raise ValueError(
            f"{type(region).__name__}: the radius makes it {tuple(box.lower.shape)}, but the centre is "
            f"{tuple(region.centre.shape)}; give a number or a tensor that broadcasts to the centre"
        )
    _require(region, box, box.lower <= box.upper, "empty or undefined",
             "give lower <= upper, a radius >= 0 and a centre that the clip does not exclude")  # fmt: skip
    _require(region, box, (box.lower > -torch.inf) & (box.upper < torch.inf), "infinite",
             "give finite ends, the least and the greatest value that this input can take")  # fmt: skip


def _require(region: Region, box: Bounds, fine: Tensor, fault: str, remedy: str) -> None:
    """ValueError with the first entry that is not fine."""
    if not bool(fine.all()):
        where = (~fine).nonzero()[0].tolist()
        low, high = box.lower[tuple(where)].item(), box.upper[tuple(where)].item()
        raise ValueError(f"{type(region).__name__} is {fault} at index {where}: [{low:g}, {high:g}]; {remedy}")
