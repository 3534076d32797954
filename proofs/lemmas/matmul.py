"""The product of two matrices: its band is that of all products x_ik y_kj, summed over k."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

from torch import Tensor

from absdomain.kinds import Joint, Slopes
from absdomain.linear import Bounds
from absdomain.ops import MatMul, Product, matmul
from absdomain.ops.matmul import (
    MatrixTimes,
    TimesMatrix,
    _has_two_signs,
    _larger_products,
    _negated,
    _shared,
    _split_off,
    least,
    most,
)
from absdomain.proofs.kernel.exact import assume, prove, prove_zero, reals
from absdomain.proofs.kernel.exact import numbers as values
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import CASES, SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.piecewise import boxed
from absdomain.proofs.lemmas.windows import numbers

Pair = tuple[Bounds, Bounds]


def of_one_product(world: World) -> None:
    """`least` is below x y, for any boxes of one x and one y that hold 0."""
    x, p = boxed(world, "x", 1, 1, 1)
    y, q = boxed(world, "y", 1, 1, 1)
    assume(world, -p.lower, p.upper, -q.lower, q.upper)
    world.split(*values(x), *values(y))
    prove(world, x @ y - least(p, q), "least")


def of_the_mirrored(world: World) -> None:
    """The negated box holds -x."""
    x, box = boxed(world, "x", 1, 1)
    found = _negated(box)
    prove(world, -x - found.lower, "lower end")
    prove(world, found.upper + x, "upper end")


def of_the_rest(world: World) -> None:
    """`most` is above x q + p y."""
    x, box = boxed(world, "x", 1, 1, 1)
    y, other = boxed(world, "y", 1, 1, 1)
    p, q = reals(world, "p", 1, 1, 1), reals(world, "q", 1, 1, 1)
    prove(world, most((p, q), (box, other)) - x @ q - p @ y, "most")


def tangent(world: World) -> None:
    """x y - <(p, q), (x, y)> = (x - p) (y - q) - p q, for matrices."""
    x, y, p, q = (reals(world, name, 1, 2, 2) for name in "xypq")
    op = MatMul()
    gap = op(x, y) - op.linearised((p, q))(x, y)
    prove_zero(world, gap - (x - p) @ (y - q) + p @ q, "the tangent plane")


def parted(world: World) -> None:
    """Slopes are their part in the box and the rest."""
    _, box = boxed(world, "x", 1, 1)
    s = reals(world, "s", 1, 1)
    (near,), (far,) = _split_off((s,), (box,))
    prove_zero(world, near + far - s, "near and far")
    prove(world, near - box.lower, "above the lower end")
    prove(world, box.upper - near, "below the upper end")


def adjoint(world: World) -> None:
    """<c, A (x, y)> = <A^T c, (x, y)> for rows that share the slopes, and for rows with slopes of their own."""
    x, y = reals(world, "x", 1, 1, 2, 2), reals(world, "y", 1, 1, 2, 2)
    c = reals(world, "c", 2, 1, 2, 2)
    for rows in (1, 2):
        line: Joint = MatMul().linearised((reals(world, "p", rows, 1, 2, 2), reals(world, "q", rows, 1, 2, 2)))
        back = line.transpose(None, c, (2, 2), (2, 2))
        value = (c * line(x, y)).sum((1, 2, 3))
        through = (back[0] * x).sum((1, 2, 3)) + (back[1] * y).sum((1, 2, 3))
        world.check(back[0].shape == back[1].shape == (2, 1, 2, 2), f"shapes {back[0].shape}, {back[1].shape}")
        prove_zero(world, value - through, f"slopes of {rows} rows")


def cases() -> Iterator[tuple[Slopes, Pair]]:
    """Boxes of both signs and of one, among them points, with slopes inside and beyond; dyadic numbers."""
    for start in range(12):
        x, y = numbers(2, 2, 3, start=start), numbers(2, 3, 2, start=start + 5)
        widths = numbers(2, 2, 3, start=start + 3).abs(), numbers(2, 3, 2, start=start + 1).abs()
        if start % 3 == 0:
            x = x.abs()
        if start % 4 == 1:
            y, widths = -y.abs() - widths[1], (widths[0] * (widths[0] > 0.5), widths[1])
        boxes = Bounds(x, x + widths[0]), Bounds(y, y + widths[1])
        slopes = numbers(2, 2, 3, start=start + 2), numbers(2, 3, 2, start=start + 7)
        inside = boxes[0].lower, boxes[1].upper
        inner = x + widths[0] / 2, y + widths[1] / 4
        yield from ((s, boxes) for s in (inner, slopes, inside, (slopes[0] * 0, slopes[1] * 0)))


def by_products(slopes: Slopes, boxes: Pair, end: str) -> Tensor:
    """The band of every x_ik y_kj at the slopes q_kj and p_ik, summed over k."""
    (p, q), (x, y) = slopes, boxes
    shape = (2, 2, 3, 2)

    def left(t: Tensor) -> Tensor:
        return t.unsqueeze(-1).expand(shape)

    def right(t: Tensor) -> Tensor:
        return t.unsqueeze(-3).expand(shape)

    wide = Bounds(left(x.lower), left(x.upper)), Bounds(right(y.lower), right(y.upper))
    total: Tensor = getattr(Product(), end)((right(q), left(p)), wide).sum(-2)
    return total


def summed(parts: int) -> Check:
    """The band is the products' bands summed over k, whichever k are taken at once."""

    def check(world: World) -> None:
        with patch.object(matmul, "_CACHED", parts):
            for slopes, boxes in cases():
                for end in ("inf", "sup"):
                    found, true = getattr(MatMul(), end)(slopes, boxes), by_products(slopes, boxes, end)
                    world.check(bool(((found - true).abs() <= 1e-12).all()), f"{end} of {slopes} over {boxes}")

    return check


def summed_by_corners(world: World) -> None:
    """The twin: of a d and b c the larger is taken."""
    with patch.object(matmul, "_larger_products", lambda a, b, c, d: a @ d + b @ c - _larger_products(a, b, c, d)):
        of_one_product(world)


LEMMAS = (
    Lemma(
        "matmul",
        "inf <= sum_k x_ik y_kj - <(p, q), (x, y)> <= sup over every pair of boxes and for all slopes p and q: the "
        "band is that of the products, summed over k; <(p, q), (x, y)> = x q + p y and its adjoint",
        (MatMul.__call__, MatMul.linearised, MatMul.inf, MatMul.sup, least, most, _split_off, _larger_products,
         _has_two_signs, _negated, _shared, TimesMatrix.linear, TimesMatrix.transpose, MatrixTimes.linear,
         MatrixTimes.transpose),
        (of_one_product, of_the_mirrored, of_the_rest, tangent, parted, adjoint, summed(2**20), summed(5)),
        (Twin("of two products the larger instead of the smaller", summed_by_corners,
              {"x": 1, "lx": -1, "ux": 1, "y": -2, "ly": -2, "uy": 1}),),
        f"{SYMBOLS}; {CASES}",
        "real arithmetic; one product by symbols, sums of three by cases (they add up)",
        leaves="`chord`, `tight_slopes` and `facets`, hints; rounding, which `forward_error` charges",
    ),
)  # fmt: skip
