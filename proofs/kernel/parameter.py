"""Symbols for the plain numbers in an operation's fields."""

from __future__ import annotations

from collections.abc import Callable
from math import isinf
from typing import Protocol

from absdomain.proofs.kernel.polynomial import Poly


class Reals(Protocol):
    """The real numbers that parameters name, as a World has them."""

    def constant(self, number: float) -> Poly:
        """The number that a float names."""
        ...

    def encoded(self, p: Poly) -> Parameter:
        """A float that names p."""
        ...

    def holds(self, p: Poly) -> bool:
        """Whether p >= 0."""
        ...

    def larger(self, p: Poly, q: Poly) -> Poly:
        """max(p, q)."""
        ...


class Parameter(float):
    """A float that names a real number: PyTorch hands it to an operation as it is; to compare it asks its world."""

    world: Reals

    def __new__(cls, world: Reals, code: float) -> Parameter:
        made = super().__new__(cls, code)
        made.world = world
        return made

    def _minus(self, other: float) -> Poly:
        return self.world.constant(float(self)) - self.world.constant(float(other))

    def __ge__(self, other: float) -> bool:
        return other < 0 if isinf(other) else self.world.holds(self._minus(other))

    def __le__(self, other: float) -> bool:
        return other > 0 if isinf(other) else self.world.holds(-self._minus(other))

    def __abs__(self) -> Parameter:
        p = self.world.constant(float(self))
        return self.world.encoded(self.world.larger(p, -p))

    def __gt__(self, other: float) -> bool:
        return not self <= other

    def __lt__(self, other: float) -> bool:
        return not self >= other

    def _with(self, other: object, combine: Callable[[Poly, Poly], Poly]) -> Parameter:
        if not isinstance(other, int | float):
            return NotImplemented  # a tensor's turn
        return self.world.encoded(combine(self.world.constant(float(self)), self.world.constant(float(other))))

    def __add__(self, other: object) -> Parameter:
        return self._with(other, lambda a, b: a + b)

    def __sub__(self, other: object) -> Parameter:
        return self._with(other, lambda a, b: a - b)

    def __rsub__(self, other: object) -> Parameter:
        return self._with(other, lambda a, b: b - a)

    def __mul__(self, other: object) -> Parameter:
        return self._with(other, lambda a, b: a * b)

    def __neg__(self) -> Parameter:
        return self * -1

    __radd__, __rmul__ = __add__, __mul__

    def _refused(self, *_: object) -> float:
        raise TypeError("this arithmetic of a Parameter would lose its name; give it a form in proofs/kernel/world.py")

    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __floordiv__ = __mod__ = _refused
