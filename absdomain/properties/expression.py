"""Python expressions that are formulas: (out[0] - out[1] > 0.1) | (abs(out[2]) <= 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from operator import add, mul, sub
from typing import Any, final

import torch

from absdomain.properties.decimals import exact, from_number
from absdomain.properties.declared import Declared
from absdomain.properties.formula import Comparison, Formula, Relation, conjunction, disjunction
from absdomain.properties.polynomial import Polynomial


@final
class Term:
    """A polynomial of a network's values, under + - *; compared by <= < >= > == !=, it makes a formula.

    A float counts as the decimal that Python prints for it, so that 0.1 is one tenth.
    """

    __slots__ = ("polynomial",)
    __hash__ = None  # type: ignore[assignment]  # == makes a formula

    def __init__(self, polynomial: Polynomial) -> None:
        self.polynomial = polynomial

    def __add__(self, other: Any) -> Term:
        return _made(add, self, other)

    def __radd__(self, other: Any) -> Term:
        return _made(add, other, self)

    def __sub__(self, other: Any) -> Term:
        return _made(sub, self, other)

    def __rsub__(self, other: Any) -> Term:
        return _made(sub, other, self)

    def __mul__(self, other: Any) -> Term:
        return _made(mul, self, other)

    def __rmul__(self, other: Any) -> Term:
        return _made(mul, other, self)

    def __truediv__(self, other: Any) -> Term:
        divisor = from_number(other)
        return NotImplemented if divisor is None else Term(self.polynomial.scaled(1 / divisor))

    def __pow__(self, power: int) -> Term:
        if not isinstance(power, int) or power < 1:
            raise TypeError(f"a power of a term is a product: give a whole exponent from 1 on, not {power!r}")
        return Term(self.polynomial) if power == 1 else self * self ** (power - 1)

    def __neg__(self) -> Term:
        return Term(-self.polynomial)

    def __abs__(self) -> Size:
        return Size(self)

    def __le__(self, other: Any) -> Formula:
        return _compared(self, other, Relation.AT_MOST)

    def __lt__(self, other: Any) -> Formula:
        return _compared(self, other, Relation.BELOW)

    def __ge__(self, other: Any) -> Formula:
        return _compared(other, self, Relation.AT_MOST)

    def __gt__(self, other: Any) -> Formula:
        return _compared(other, self, Relation.BELOW)

    def __eq__(self, other: Any) -> Formula:  # type: ignore[override]
        return _compared(self, other, Relation.EQUAL)

    def __ne__(self, other: Any) -> Formula:  # type: ignore[override]
        return _compared(self, other, Relation.UNEQUAL)

    def __repr__(self) -> str:
        return f"Term({self.polynomial})"


@final
class Size:
    """|term|, to be compared with a term or a number: |t| <= c is t <= c and -t <= c, |t| >= c is t >= c or -t >= c."""

    __slots__ = ("term",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, term: Term) -> None:
        self.term = term

    def __le__(self, other: Any) -> Formula:
        return (self.term <= other) & (-self.term <= other)

    def __lt__(self, other: Any) -> Formula:
        return (self.term < other) & (-self.term < other)

    def __ge__(self, other: Any) -> Formula:
        return (self.term >= other) | (-self.term >= other)

    def __gt__(self, other: Any) -> Formula:
        return (self.term > other) | (-self.term > other)

    def __eq__(self, other: Any) -> Formula:  # type: ignore[override]
        return (self >= other) & (self <= other)

    def __ne__(self, other: Any) -> Formula:  # type: ignore[override]
        return (self > other) | (self < other)


@final
class Variables:
    """The entries of a network's input, hidden node or output, by index: out[3], x[0, 27, 27]."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared

    def __repr__(self) -> str:
        return f"Variables({self.declared.name} {list(self.shape)} of {self.declared.network})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Without the batch."""
        return self.declared.shape

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 1

    def __getitem__(self, index: int | tuple[int, ...]) -> Term:
        given = index if isinstance(index, tuple) else (index,)
        return Term(Polynomial.of(self.declared.variable(self.declared.flat(given))))

    def flat(self) -> Iterator[Term]:
        """Every entry, the last axis first."""
        return (Term(Polynomial.of(self.declared.variable(i))) for i in range(self.declared.size))

    def __iter__(self) -> Iterator[Term]:
        if len(self.shape) > 1:
            raise TypeError(f"{self.declared.name} has shape {self.shape}; write .flat() for each of its entries")
        return self.flat()

    def between(self, lower: Any, upper: Any) -> Formula:
        """lower <= entry <= upper for every entry; both numbers, or tensors that broadcast to the shape."""
        entries, lows, highs = list(self.flat()), self._spread(lower), self._spread(upper)
        return conjunction(
            [part for x, low, high in zip(entries, lows, highs, strict=True) for part in (x >= low, x <= high)]
        )

    def _spread(self, given: Any) -> Sequence[Fraction]:
        number = from_number(given)
        if number is not None:
            return [number] * self.declared.size
        ends = torch.as_tensor(given)
        if ends.shape == (1, *self.shape):  # a batch of one, as a model takes it
            ends = ends[0]
        try:
            return exact(ends.broadcast_to(self.shape))
        except RuntimeError:
            told = f"{self.declared.name}.between: ends of shape {tuple(ends.shape)} do not fit {tuple(self.shape)}"
            raise ValueError(f"{told}; give numbers, or tensors that broadcast to it") from None


def any_of(formulas: Sequence[Formula]) -> Formula:
    """One of them at least."""
    return disjunction(formulas)


def all_of(formulas: Sequence[Formula]) -> Formula:
    """All of them."""
    return conjunction(formulas)


def _lifted(value: Any) -> Polynomial | None:
    """A term's polynomial, or a number as one."""
    if isinstance(value, Term):
        return value.polynomial
    number = from_number(value)
    return None if number is None else Polynomial.constant(number)


def _made(operation: Callable[[Polynomial, Polynomial], Polynomial], left: Any, right: Any) -> Term:
    one, other = _lifted(left), _lifted(right)
    return NotImplemented if one is None or other is None else Term(operation(one, other))


def _compared(left: Any, right: Any, relation: Relation) -> Formula:
    """left relation right, in decimals: of 1/3 three times as much is compared."""
    one, other = _lifted(left), _lifted(right)
    if one is None or other is None:
        return NotImplemented
    return Comparison((one - other).decimal(), relation)
