"""The two kinds of operation, and all that follows from them.

An operation is written once. An **Affine** op declares `linear(w, *xs)`, from which its action, its modulus (interval
arithmetic) and its adjoint (back-substitution) follow. A **Nonlinear** op declares `inf` and `sup` of f(x) - <s, x>
over a box, for any slopes s; every relaxation of every domain is then a choice of slopes, and every slope is sound. An
**Elementwise** op declares only f and the critical points of f - s x, a **PiecewiseLinear** one only f and its kinks.
"""

from absdomain.kinds.affine import Affine
from absdomain.kinds.elementwise import Elementwise, PiecewiseLinear
from absdomain.kinds.nonlinear import Line, Nonlinear, Piece, Slopes
from absdomain.kinds.op import Op, Shape

__all__ = ["Affine", "Elementwise", "Line", "Nonlinear", "Op", "Piece", "PiecewiseLinear", "Shape", "Slopes"]
