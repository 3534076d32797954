"""The two kinds of operation, and all that follows from them.

An operation is written once. An **Affine** op declares `linear(w, *xs)`, from which its action, its modulus (interval
arithmetic) and its adjoint (back-substitution) follow. A **Nonlinear** op declares `inf` and `sup` of f(x) - <s, x>
over a box, for any slopes s; every relaxation of every domain is then a choice of slopes, and every slope is sound. The
map x -> <s, x> is an affine op itself, **Linearised**. An **Elementwise** op declares only f and the critical points of
f - s x; a **PiecewiseLinear** one f and its kinks; a **Smooth** one f, f' and where f' is monotone, its **Curvature**;
and a **Bracketed** one is a smooth one without closed forms.
"""

from absdomain.kinds.affine import Affine
from absdomain.kinds.curvature import Curvature
from absdomain.kinds.elementwise import Elementwise, PiecewiseLinear
from absdomain.kinds.linearised import Diagonal, Joint, Linearised, entrywise
from absdomain.kinds.nonlinear import Line, Nonlinear, Piece, Slopes, Slot
from absdomain.kinds.op import Op, Shape
from absdomain.kinds.smooth import Bracketed, Smooth
from absdomain.kinds.ties import Ties

__all__ = [
    "Affine",
    "Bracketed",
    "Curvature",
    "Diagonal",
    "Elementwise",
    "Joint",
    "Line",
    "Linearised",
    "Nonlinear",
    "Op",
    "Piece",
    "PiecewiseLinear",
    "Shape",
    "Slopes",
    "Slot",
    "Smooth",
    "Ties",
    "entrywise",
]
