"""What a region is: a set known by its support function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import torch
from torch import Tensor

from absdomain.errors import check_type
from absdomain.guarantee import Guarantee
from absdomain.kinds import Affine
from absdomain.linear import Bounds, Rows
from absdomain.region.constraints import Constraints
from absdomain.values import assembled, mapped, outlined, tensored

Draws = torch.Generator | Sequence[torch.Generator] | None  # one for all samples, one for each, or torch's own
EACH = {"row": "sample"}  # metadata of a region's field: a number per sample, (B,), or one for all


def check_ball(region: Any) -> None:
    """TypeError unless centre and radius are what a ball has; a radius that is an array becomes a tensor."""
    name, radius = type(region).__name__, tensored(region.radius)
    check_type(name, region.centre, Tensor, "give points as a batch (B, *shape)")
    check_type(name, radius, (float, int, Tensor), "give a radius, such as 8 / 255")
    if radius is not region.radius:
        object.__setattr__(region, "radius", radius.to(region.centre))


class Region(ABC):
    """A set of inputs per sample, known by its support function `minimum`, from which every domain takes its bounds.

    A dataclass. Law: for every x in the region, box().lower <= x <= box().upper and minimum(c) <= <c, x> = minimum(c)
    at x = argmin(c), which lies in the region. Both are attained, but a part of a larger region may have that one's
    box. A field that is a tensor with the axes of `centre` has a row per sample, or one row for all; so has one of
    shape (B,) that is declared with EACH.
    """

    any_columns: ClassVar[bool] = False  # `minimum` reads rows by their methods alone: columns need not be samples
    if TYPE_CHECKING:  # a field, or computed: at run time a property here would be taken for the field's default

        @property
        def centre(self) -> Tensor:
            """A point inside, (B, *shape)."""

    @final
    def __repr__(self) -> str:
        return outlined(self)

    @property
    def whole(self) -> Region:
        """The region over which intermediate bounds are taken: itself, unless it is a part of a larger one."""
        return self

    @property
    @final
    def guarantee(self) -> Guarantee:
        """What bounds over it promise: those over a part of a larger region say nothing of the rest."""
        return Guarantee.SOUND if self.whole is self else Guarantee.HEURISTIC

    @abstractmethod
    def box(self) -> Bounds:
        """The interval hull, (B, *shape)."""

    @abstractmethod
    def minimum(self, c: Rows) -> Tensor:
        """min of <c_k, x> over the region, (K, B)."""

    @abstractmethod
    def argmin(self, c: Tensor) -> Tensor:
        """A point of the region at which <c_k, x> is least, entries that do not matter at their middle.

        c (K, N or 1, *shape), a column per sample; (K, B, *shape).
        """

    @abstractmethod
    def image(self, op: Affine) -> Region | Bounds:
        """The image under a diagonal op, which is a region; under another its interval hull, exactly."""

    @abstractmethod
    def constraints(self) -> Constraints:
        """x is in the region, for solvers."""

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

    @final
    def select(self, index: Tensor) -> Self:
        """The region of the samples at these places, (R,).

        Errors: ValueError where the result is not those samples' region, for want of a declaration.
        """
        chosen = assembled(type(self), **{f.name: self._rows(f, index) for f in fields(self) if f.init})  # type: ignore[arg-type]
        if not torch.compiler.is_compiling():  # a check of values would break the compiled graph
            box, part = self.box(), chosen.box()
            if not (torch.equal(part.lower, box.lower[index]) and torch.equal(part.upper, box.upper[index])):
                raise ValueError(
                    f"{type(self).__name__}: the samples' regions are not rows of its fields; hold tensors with the "
                    "axes of `centre`, or declare those of shape (B,) as field(metadata=EACH)"
                )
        return chosen

    def _rows(self, field: Field[Any], index: Tensor) -> Any:
        """What this field holds of the samples at these places."""
        held, samples = getattr(self, field.name), len(self.centre)
        if isinstance(held, Region):
            return held.select(index)
        if isinstance(held, tuple) and held and all(isinstance(part, Region) for part in held):
            return tuple(part.select(index) for part in held)
        axes = 1 if EACH.items() <= field.metadata.items() else self.centre.dim()
        return mapped(held, lambda t: t[index] if t.dim() == axes and len(t) == samples else t)


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
    if box.lower.numel():
        least, most = (box.upper - box.lower).aminmax()
        if least >= 0 and most < torch.inf:  # not with NaN, which both then are, nor with an infinite end
            return
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
