"""Domains whose bounds are minima of a solver's program over the whole network."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from absdomain.domain import Domain
from absdomain.domains.program.activation import Activation
from absdomain.domains.program.solver import Minima, boxed, minima
from absdomain.kinds import Affine, Nonlinear, Slot
from absdomain.linear import Bounds
from absdomain.region import Region


class Programmed(Domain[Activation]):
    """{ y : x in the region, ops as constraints }: nothing is computed before a bound is asked; `solve` computes it."""

    relational = True
    differentiable = False
    solved = True

    @abstractmethod
    def solve(self, e: Activation, sample: int) -> Minima:
        """The lower bounds of sign * entry of e, for one sample."""

    def lift(self, region: Region) -> Activation:
        return Activation.input(region)

    def affine(self, op: Affine, *args: Activation) -> Activation:
        return Activation.of(op, args)

    def relax(self, op: Nonlinear, args: tuple[Activation, ...], within: tuple[Bounds, ...] | None) -> Activation:
        return Activation.of(op, args, within if within is not None else self.boxes(op, args))

    def within(self, e: Activation, reader: Slot, where: Tensor | None = None) -> Bounds:
        """Bounds of the linear relaxation: two linear programs an entry, also where `solve` is dearer."""
        return boxed(e, where)

    def bounds(self, e: Activation, where: Tensor | None = None) -> Bounds:
        least, most = minima(e, (1.0, -1.0), self.solve, where)
        return Bounds(least, -most)

    def lower(self, e: Activation) -> Tensor:
        return minima(e, (1.0,), self.solve)[0]

    def upper(self, e: Activation) -> Tensor:
        return -minima(e, (-1.0,), self.solve)[0]
