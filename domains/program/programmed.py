"""Domains whose bounds are minima of a solver's program over the whole network."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from absdomain.domain import Domain, Traits, argumentwise
from absdomain.domains.program.activation import Unevaluated
from absdomain.domains.program.solver import Minima, boxed, minima
from absdomain.kinds import Affine, Nonlinear
from absdomain.linear import Bounds, Ends
from absdomain.region import Region


class Programmed(Domain[Unevaluated]):
    """{ y : x in the region, ops as constraints }: nothing is computed before a bound is asked; `solve` computes it."""

    @property
    def traits(self) -> Traits:
        return Traits(relational=True, differentiable=False, solved=True)

    @abstractmethod
    def solve(self, e: Unevaluated, sample: int) -> Minima:
        """The lower bounds of sign * entry of e, for one sample."""

    def lift(self, region: Region) -> Unevaluated:
        return Unevaluated.input(region)

    def affine(self, op: Affine, *args: Unevaluated) -> Unevaluated:
        return Unevaluated.of(op, args)

    def relax(self, op: Nonlinear, args: tuple[Unevaluated, ...], boxes: tuple[Bounds, ...] | None) -> Unevaluated:
        return Unevaluated.of(op, args, self.boxes(op, args) if boxes is None else boxes)

    def boxes(
        self, op: Nonlinear, args: tuple[Unevaluated, ...], asked: tuple[Tensor, ...] | None = None
    ) -> tuple[Bounds, ...]:
        """Bounds of the linear relaxation: two linear programs an entry, also where `solve` is dearer."""
        return argumentwise(boxed, args, asked)

    def bounds(self, e: Unevaluated, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        if ends is Ends.BOTH:
            least, most = minima(e, (1.0, -1.0), self.solve, where)
            return Bounds(least, -most)
        return Bounds.of(
            ends, lambda: minima(e, (1.0,), self.solve, where)[0], lambda: -minima(e, (-1.0,), self.solve, where)[0]
        )
