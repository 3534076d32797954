"""Elementwise operations from a formula alone: `from_sympy(expression)`.

sympy is loaded here, and here only when a formula is given.
"""

from absdomain.ops.formula.op import Formula, from_sympy

__all__ = ["Formula", "from_sympy"]
