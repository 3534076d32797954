"""Numbers as a machine has them, for code on numpy arrays: every operation may round, by as much as the model allows.

The standard model (Higham 2002, section 2.2): what is computed of x and y is r = s + u d for s = x + y or x y, with
|d| <= |s|, and |d| <= |r| as well. u is a symbol, d a fresh one for every operation; what is lost below the normal
numbers is left out here. Nothing is rounded where an operand is 0, or a factor 1.

Allowances (`paid`) are reckoned exactly: they are sums of non-negative terms, and what may be lost of such a sum is
paid where it is taken off in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from absdomain.proofs.kernel.polynomial import Poly
from absdomain.proofs.kernel.world import World

Entries = np.ndarray[Any, Any]


class Model:
    """The machine of a world: its unit roundoff 0 < u <= 1/64."""

    def __init__(self, world: World) -> None:
        self.world, self.u = world, world.real("u")
        self._sizes: dict[Poly, Poly] = {}
        self.errors: list[tuple[Poly, Poly]] = []  # d, and what |d| is at most
        world.assume(self.u, strict=True)
        world.assume(1 - 64 * self.u)

    def number(self, name: str) -> Machine:
        """A number of the machine: any."""
        return self.of(self.world.real(name))

    def of(self, p: Poly) -> Machine:
        """The number of this value."""
        return Machine(self, p, self.sized(p))

    def sized(self, p: Poly) -> Poly:
        """|p|."""
        if p not in self._sizes:
            self._sizes[p] = self.world.larger(p, -p)
        return self._sizes[p]

    def positive(self, name: str) -> Machine:
        """A number >= 0 of the machine."""
        p = self.world.real(name)
        self.world.assume(p)
        return Machine(self, p, p)

    def paid(self, p: Poly) -> Machine:
        """An allowance of this value, which is >= 0."""
        return Machine(self, p, p, True)

    def numbers(self, name: str, *shape: int) -> Entries:
        """An array of any numbers, called `name` and their place."""
        found = np.empty(shape, dtype=object)
        for place in np.ndindex(*shape):
            found[place] = self.number(name + "".join(map(str, place)))
        return found

    def error(self, size: Poly) -> Poly:
        """Any number of at most this size; a counterexample may leave it out, and then it is 0."""
        name = f"d{len(self.errors)}"
        values = self.world.values
        d = Poly.symbol(name) if values is None else Poly.of(values.get(name, 0))
        self.bounded(d, size)
        return d

    def bounded(self, d: Poly, size: Poly) -> None:
        """Suppose |d| <= size."""
        if (d, size) not in self.errors:
            self.errors.append((d, size))
            for end in (size - d, size + d):
                self.world.assume(end)


@dataclass(frozen=True, eq=False)
class Machine:
    """A number, and a bound of its size."""

    model: Model
    value: Poly
    size: Poly
    paid: bool = False
    error: Poly | None = None  # d, where it was rounded

    def _read(self, other: Any) -> Machine:
        if isinstance(other, Machine):
            return other
        return self.model.of(self.model.world.constant(float(other)))

    def _rounded(self, exact: Poly, size: Poly) -> Machine:
        """What is computed for this exact value of at most this size."""
        d, u = self.model.error(size), self.model.u
        return Machine(self.model, exact + u * d, (1 + u) * size, error=d)

    def __add__(self, other: Any) -> Machine:
        if isinstance(other, np.ndarray):
            return NotImplemented  # entry by entry
        other = self._read(other)
        exact, size = self.value + other.value, self.size + other.size
        if self.paid or other.paid or 0 in (self.value.constant, other.value.constant):
            return Machine(self.model, exact, size, self.paid or other.paid)
        return self._rounded(exact, size)

    def __mul__(self, other: Any) -> Machine:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = self._read(other)
        exact, size = self.value * other.value, self.size * other.size
        if self.paid or other.paid or {self.value.constant, other.value.constant} & {0, 1, -1}:
            return Machine(self.model, exact, size, self.paid or other.paid)
        return self._rounded(exact, size)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Machine:
        return Machine(self.model, -self.value, self.size, self.paid)

    def __sub__(self, other: Any) -> Machine:
        return NotImplemented if isinstance(other, np.ndarray) else self + -self._read(other)

    def __rsub__(self, other: Any) -> Machine:
        return -self + other

    def __truediv__(self, other: Any) -> Machine:
        ratio = self.model.world.quotient(self.value, self._read(other).value)
        return Machine(self.model, ratio, ratio, True)  # of allowances alone

    def __abs__(self) -> Machine:
        size = self.model.sized(self.value)
        if self.error is not None:
            self.model.bounded(self.error, size)
        return Machine(self.model, size, size, self.paid)

    def __ge__(self, other: Any) -> bool:
        return self.model.world.holds(self.value - self._read(other).value)

    def __le__(self, other: Any) -> bool:
        return self.model.world.holds(self._read(other).value - self.value)

    def __gt__(self, other: Any) -> bool:
        return self.model.world.holds(self.value - self._read(other).value, strict=True)

    def __lt__(self, other: Any) -> bool:
        return self.model.world.holds(self._read(other).value - self.value, strict=True)

    def __bool__(self) -> bool:
        return self.value.constant != 0


def value(x: Any) -> Poly:
    """The value of an entry: a number of a machine, or a float."""
    return x.value if isinstance(x, Machine) else Poly.of(int(x))
