"""An operation and a domain of which only their laws are known: what a domain's lemma may use of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from absdomain.domain import Domain
from absdomain.kinds import Affine, Elementwise, Nonlinear, Slopes
from absdomain.linear import Bounds, Ends
from absdomain.proofs.kernel.exact import assume, numbers, prove, reals
from absdomain.proofs.kernel.polynomial import Poly
from absdomain.proofs.kernel.world import World
from absdomain.region import Region

Key = tuple[Poly, ...]


@dataclass(frozen=True, eq=False)
class AnyOp(Elementwise):
    """f with f(x) = y for one x and y, whose band is any that encloses f(x) - s x there; nothing else is known."""

    world: World
    x: Tensor
    y: Tensor
    _ends: dict[tuple[str, Key], Tensor] = field(default_factory=dict)

    def __call__(self, *xs: Tensor) -> Tensor:
        return self.y

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return ()

    def _end(self, side: str, slopes: Slopes, sign: int) -> Tensor:
        """Any number on the right side of f(x) - s x, the same whenever it is asked for: the op's own lemma."""
        key = (side, tuple(numbers(slopes[0])))
        if key not in self._ends:
            end = reals(self.world, f"{side}{len(self._ends)}_", *self.y.shape)
            assume(self.world, sign * (self.y - slopes[0] * self.x - end))
            self._ends[key] = end
        return self._ends[key]

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return self._end("inf", slopes, 1)

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return self._end("sup", slopes, -1)

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        return Nonlinear.slope_range(self, boxes)

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        return (reals(self.world, "chord", *self.y.shape),)


@dataclass(frozen=True, eq=False)
class AnyDomain(Domain[Tensor]):
    """A domain whose element stands for a value, and whose bounds are any that hold it: its own lemma."""

    world: World
    name: str

    def lift(self, region: Region) -> Tensor:
        raise NotImplementedError("the lemmas start from elements")

    def affine(self, op: Affine, *args: Tensor) -> Tensor:
        return op(*args)

    def relax(self, op: Nonlinear, args: tuple[Tensor, ...], boxes: tuple[Bounds, ...] | None) -> Tensor:
        return op(*args)

    def bounds(self, e: Tensor, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        lower, upper = (reals(self.world, end + self.name, *e.shape) for end in ("l", "u"))
        assume(self.world, e - lower, upper - e)
        if where is None:
            return Bounds(lower, upper)
        return Bounds(torch.where(where, lower, -torch.inf), torch.where(where, upper, torch.inf))


def within(world: World, x: Tensor) -> Any:
    """Any box that holds x."""
    return AnyDomain(world, "x").bounds(x)


def apart(bounds: Callable[..., Bounds], e: Any) -> Bounds:
    """The two ends of bounds(e), each asked alone."""
    return Bounds(bounds(e, ends=Ends.LOWER).lower, bounds(e, ends=Ends.UPPER).upper)


def held(world: World, x: Tensor, box: Bounds, what: str) -> None:
    """x lies in the box."""
    prove(world, x - box.lower, f"{what}: lower end")
    prove(world, box.upper - x, f"{what}: upper end")


def unknown_op(world: World, size: int, make: type[AnyOp] = AnyOp) -> tuple[AnyOp, Tensor]:
    """An op of which its band alone is known, at a point x."""
    x = reals(world, "x", 1, size)
    return make(world, x, reals(world, "y", 1, size)), x
