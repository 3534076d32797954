"""Formulas in place of numbers: shipped code on sympy expressions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import sympy
from torch import Tensor

from absdomain.proofs.kernel.exact import Exact
from absdomain.proofs.kernel.polynomial import Poly
from absdomain.proofs.kernel.world import Unproved, World

# Floating-point constants in the code, and the numbers that they stand for.
CONSTANTS = {
    math.pi: sympy.pi,
    2 * math.pi: 2 * sympy.pi,
    math.sqrt(2): sympy.sqrt(2),
    math.sqrt(0.5): 1 / sympy.sqrt(2),
    math.sqrt(2 / math.pi): sympy.sqrt(2 / sympy.pi),
    math.sqrt(2 * math.pi): sympy.sqrt(2 * sympy.pi),
    2 * math.sqrt(2 / math.pi): 2 * sympy.sqrt(2 / sympy.pi),
    0.044715: sympy.Rational(44715, 10**6),
    3 * 0.044715: 3 * sympy.Rational(44715, 10**6),
}
FUNCTIONS: dict[str, Any] = {
    "exp": sympy.exp, "log": sympy.log, "tanh": sympy.tanh, "sin": sympy.sin, "cos": sympy.cos,
    "acos": sympy.acos, "asin": sympy.asin, "acosh": sympy.acosh,
    "tan": sympy.tan, "atan": sympy.atan,
    "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)),
    "erf": sympy.erf,
    "logit": lambda x: sympy.log(x / (1 - x)),
    "silu": lambda x: x / (1 + sympy.exp(-x)),
    "special_ndtr": lambda x: (1 + sympy.erf(x / sympy.sqrt(2))) / 2,
}  # fmt: skip


@dataclass
class Formulas(World):
    """Numbers are sympy expressions; signs are those that sympy knows, or that `signs` gives."""

    signs: list[Any] = field(default_factory=list)  # expressions that are >= 0

    def constant(self, number: float) -> Any:
        """A number in the code: one of CONSTANTS, or the rational that the float is."""
        for value, meant in CONSTANTS.items():
            if abs(number) == value:
                return meant if number > 0 else -meant
        fraction = Fraction(number)
        return sympy.Rational(fraction.numerator, fraction.denominator)

    def holds(self, p: Any, *, strict: bool = False) -> bool:
        """The sign of an expression, if sympy knows it."""
        p = sympy.sympify(p)
        if p.is_positive or (p.is_nonnegative and not strict):
            return True
        if p.is_negative or (p.is_nonpositive and strict):
            return False
        if any(sympy.simplify(p - known) == 0 for known in self.signs):
            return True
        if any(sympy.simplify(p + known) == 0 for known in self.signs):
            return False
        raise Unproved(f"the sign of {p} is open")

    def larger(self, a: Any, b: Any) -> Any:
        return a if self.holds(a - b) else b

    def quotient(self, a: Any, b: Any) -> Any:
        return a / b

    def root(self, a: Any) -> Any:
        return sympy.sqrt(a)

    def apply(self, name: str, a: Any) -> Any:
        """A function by its name."""
        return FUNCTIONS[name](a)

    def power(self, a: Any, exponent: float) -> Any:
        """a^exponent, the exponent being the fraction of small denominator that the float is nearest to."""
        near = Fraction(exponent).limit_denominator(100)
        if float(near) != exponent:
            raise Unproved(f"the exponent {exponent} is no fraction of small denominator")
        return a ** sympy.Rational(near.numerator, near.denominator)


def expression(world: World, value: Any) -> Exact:
    """One expression as a tensor, (1, 1)."""
    entries = np.empty((1, 1), dtype=object)
    entries[0, 0] = value
    return Exact(world, entries)


def read(x: Tensor) -> Any:
    """The one expression of a tensor."""
    assert isinstance(x, Exact)
    value = x.entries.reshape(-1)[0]
    return sympy.Integer(value.constant) if isinstance(value, Poly) else value
