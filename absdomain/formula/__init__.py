"""Elementwise operations from a formula alone: `Elementwise.from_sympy(expression)`.

sympy is loaded here, and here only when a formula is given.
"""

from absdomain.formula.op import Formula, formula

__all__ = ["Formula", "formula"]
