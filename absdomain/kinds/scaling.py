"""x -> w x + b, entry by entry."""

from __future__ import annotations

from torch import Tensor

from absdomain.kinds.affine import COMPUTED, Affine
from absdomain.kinds.op import Shape
from absdomain.linear import Rows


class Scaling(Affine):
    """An affine op whose linear map is diagonal; its weight broadcasts to x, whose shape it does not enlarge; None: 1.

    The weight may be a number, which has no dtype of its own: what comes out has that of x.
    """

    diagonal = True
    local = True

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0] if w is None else w.to(xs[0].dtype) * xs[0]

    def shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def roundings(self, *shapes: Shape) -> int:
        """The product, the sum, and a few of a weight that is itself computed."""
        return 2 + COMPUTED

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        return (self.linear(w, y),)

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        return (rows if self.weight is None else rows.times(self.weight),)
