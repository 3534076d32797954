"""check_op: every law of the kind that an op is of."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from torch import Tensor

from absdomain.kinds import Affine, Nonlinear, Op, Shape
from absdomain.laws import matrices
from absdomain.laws.affine import check_affine
from absdomain.laws.batches import check_batches
from absdomain.laws.boxes import EVERYWHERE, Range, defined, drawn, inside
from absdomain.laws.broken import equal, slack
from absdomain.laws.everywhere import check_everywhere
from absdomain.laws.nonlinear import check_nonlinear


def check_op(
    op: Op,
    *shapes: Shape,
    reference: Callable[..., Tensor] | None = None,
    exact: bool = True,
    within: Range | None = None,
    batch: int | None = None,
    seed: int = 0,
) -> None:
    """Every law of an op on arguments of these shapes (batch left out); raises LawBroken with the values.

    Affine: linear in its arguments and in its weight; offset, modulus, adjoint, pull, followed_by and freeze agree with
    the matrix written out column by column; what calls itself diagonal is. Nonlinear: inf <= f(x) - <s, x> <= sup at
    corners, grids and random points for policies' slopes and for slopes that no policy gives; image, settled, lines and
    split follow from the band; an elementwise band is that of its critical points; f is where a piece's domain holds
    the point and all facets' bands hold the value. Both: shapes, gradients by gradcheck and, at kinks, between the
    one-sided difference quotients; the adjoint's rows, however they are kept.

    All that in float64 and near 0. Values, bands, lines and adjoints also in float32, for batches of 1 to 7, at sizes
    of 1e-6 to 1e6 and around the places where an elementwise op bends: those that it declares (kinks, breaks, the ends
    of its domain) and those that are found. Where f is not defined, as at a pole in a box, the band must be infinite.

    reference: a function of the same value, for example PyTorch's. exact: whether a band must be attained, to 2 % of
    its width. within: the range of the arguments that are tried; by default every number, but where laws step across
    the end of the op's `domain`, less a thousandth at its ends. batch: that of an op with a matrix per sample. The
    op's tensors must be float64; what is tried in float32 is a copy.
    """
    rng, wide = Random(seed), EVERYWHERE if within is None else within
    within = defined(op) if within is None else within
    if reference is not None:
        many = (drawn(rng, batch or 3, shape, degenerate=False, within=within) for shape in shapes)
        xs = [inside(box, rng) for box in many]
        value = op(*xs)
        equal(value, reference(*xs), slack(10 * value.abs().max()), "the value is the reference's", repr(op))
    match op:
        case Affine():
            check_affine(op, *shapes, rng=rng, batch=batch)
            matrix, offset = matrices.of(op, shapes, batch or 1)
            check_batches(op, *shapes, rng=rng, matrix=matrix, offset=offset, batch=batch)
        case Nonlinear():
            check_nonlinear(op, *shapes, rng=rng, exact=exact, within=within)
            check_everywhere(op, *shapes, rng=rng, within=wide)
        case _:
            raise TypeError(f"{type(op).__name__} is neither Affine nor Nonlinear (absdomain.kinds)")
