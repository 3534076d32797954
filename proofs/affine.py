"""Affine operations: interval hull, adjoint and fusion, for all weights and inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch

from absdomain import bounds
from absdomain.bounds import Bounds
from absdomain.kinds import Affine, Op, Shape
from absdomain.ops import Add, AvgPool, BatchNorm, Concat, Conv, Dense, Gather, Mean, Pad, Permute, Reshape, Scale, Sum
from absdomain.proofs.exact import assume, numbers, prove, prove_zero, reals
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.piecewise import boxed
from absdomain.proofs.world import World
from absdomain.rows import Rows

Make = Callable[[World], Affine]


@dataclass(frozen=True)
class Case:
    """An op with symbols for weights, on arguments of these shapes."""

    name: str
    make: Make
    shapes: tuple[Shape, ...]


def dense(world: World) -> Dense:
    """2 x 2 with a bias."""
    return Dense(reals(world, "w", 2, 2), reals(world, "b", 2))


def dense_per_sample(world: World) -> Dense:
    """A matrix and a bias for the one sample."""
    return Dense(reals(world, "w", 1, 2, 2), reals(world, "b", 1, 2))


def conv(world: World) -> Conv:
    """Stride and padding in one spatial axis, the kernel reaching over the border."""
    return Conv(reals(world, "w", 1, 1, 2), reals(world, "b", 1), (2,), (1,), (1,))


def conv_in_phases(world: World) -> Conv:
    """Two spatial axes and a stride: the adjoint goes by phases."""
    return Conv(reals(world, "w", 1, 1, 2, 1), reals(world, "b", 1), (2, 1), (1, 0))


def batch_norm(world: World) -> BatchNorm:
    """All four statistics; the variance is >= 0."""
    mean, variance, gain, shift = (reals(world, name, 2) for name in ("mean", "variance", "gain", "shift"))
    assume(world, variance)
    return BatchNorm(mean, variance, gain, shift, axes=0, eps=0.125)


CASES = (
    Case("dense", dense, ((2,),)),
    Case("dense per sample", dense_per_sample, ((2,),)),
    Case("conv", conv, ((1, 3),)),
    Case("conv in phases", conv_in_phases, ((1, 3, 1),)),
    Case("scale", lambda w: Scale(reals(w, "w", 2), reals(w, "b", 2)), ((2,),)),
    Case("batch norm", batch_norm, ((2,),)),
    Case("add", lambda _: Add(), ((2,), (2,))),
    Case("mean", lambda _: Mean((1,)), ((3,),)),
    Case("sum", lambda _: Sum((1,)), ((3,),)),
    Case("average pooling", lambda _: AvgPool((2, 1), (1, 1), (1, 0)), ((1, 2, 1),)),
    Case("reshape", lambda _: Reshape((2, 1)), ((2,),)),
    Case("permute", lambda _: Permute((0, 2, 1)), ((1, 2),)),
    Case("gather", lambda _: Gather(torch.tensor([1, 1, 0])), ((2,),)),
    Case("pad", lambda _: Pad((1, 0)), ((2,),)),
    Case("concat", lambda _: Concat(1), ((1,), (2,))),
)


def hull_encloses(case: Case, make_hull: Callable[..., Bounds] | None = None) -> Check:
    """op(xs) lies in the interval hull over any boxes that hold the xs."""

    def check(world: World) -> None:
        op = case.make(world)
        pairs = [boxed(world, f"x{i}", 1, *shape) for i, shape in enumerate(case.shapes)]
        found, value = (make_hull or bounds.hull)(op, *(box for _, box in pairs)), op(*(x for x, _ in pairs))
        prove(world, value - found.lower, f"{case.name}: lower end")
        prove(world, found.upper - value, f"{case.name}: upper end")

    return check


def adjoint_is_exact(case: Case, sign: int = 1) -> Check:
    """<c, op(xs)> = <c', xs> + d, where c' and d do not depend on the xs."""

    def check(world: World) -> None:
        op = case.make(world)
        xs = [reals(world, f"x{i}", 1, *shape) for i, shape in enumerate(case.shapes)]
        value = op(*xs)
        c = reals(world, "c", 1, 1, *value.shape[1:])
        rows, constant = op.pull(Rows.of(c), *case.shapes)
        total = torch.zeros(()) if constant is None else sign * constant.sum()
        for row, x in zip(rows, xs, strict=True):
            total = total + (row.data[0] * x).sum()
            names = {name for p in numbers(row.data) for name in p.symbols}
            if any(name.startswith("x") for name in names):
                raise AssertionError(f"{case.name}: the pulled rows depend on the input: {sorted(names)}")
        prove_zero(world, (c[0] * value).sum() - total, f"{case.name}: <c, f(x)> = <A^T c, x> + <c, b>")

    return check


def units_are_rows(world: World) -> None:
    """Rows that index instead of multiplying are the rows that they stand for."""
    op = dense(world)
    units = Rows.units(torch.tensor([1]), (2,), reals(world, "x", 1, 2))
    written = Rows.of(units.data)
    for fast, slow in zip(op.pull(units, (2,))[0], op.pull(written, (2,))[0], strict=True):
        prove_zero(world, fast.data - slow.data, "unit rows through dense")
    prove_zero(world, units.dot(op(reals(world, "y", 1, 2))) - written.dot(op(reals(world, "y", 1, 2))), "unit dot")


def fused(second: Callable[[World], Op], first: Make, shape: Shape) -> Check:
    """second(first(x)) = (second after first)(x)."""

    def check(world: World) -> None:
        one, two = first(world), second(world)
        x = reals(world, "x", 1, *shape)
        both = two.after(one)
        assert both is not None
        prove_zero(world, two(one(x)) - both(x), f"{type(two).__name__} after {type(one).__name__}")

    return check


def named(prefix: str) -> Callable[[World], Dense]:
    """A dense op whose weights have other names."""
    return lambda world: Dense(reals(world, prefix + "w", 1, 2), reals(world, prefix + "b", 1))


def lost_bias(world: World) -> None:
    """The twin of fusion: the first op's bias is forgotten."""
    one, two, x = dense(world), named("c")(world), reals(world, "x", 1, 2)
    forgetful = Dense(two.weight @ one.weight, two.bias)
    prove_zero(world, two(one(x)) - forgetful(x), "fused without the first bias")


def signed_hull(op: Affine, box: Bounds) -> Bounds:
    """The hull with A instead of |A| for the radius."""
    centre, radius = op(box.centre), op.linear(op.weight, box.radius)
    return Bounds(centre - radius, centre + radius)


def printed_hull(op: Affine, box: Bounds) -> Bounds:
    """W+ l + W- l and W+ u + W- u: both ends of one sign, as AdvIBP's text has it."""
    return Bounds(op(box.lower), op(box.upper))


POINT = {"w00": -1, "w01": 0, "w10": 0, "w11": 0, "b0": 0, "b1": 0, "x000": 1, "x001": 0, "lx000": -1, "lx001": 0,
         "ux000": 1, "ux001": 0}  # fmt: skip


def size(case: Case) -> int:
    """How many numbers an op reads."""
    return sum(prod(shape) for shape in case.shapes)


LEMMAS = (
    Lemma(
        "affine",
        "op(xs) lies in [op(c) - |A| r, op(c) + |A| r]; <c, op(xs)> = <A^T c, xs> + <c, b> identically; "
        "every affine op, for all weights, biases, boxes and inputs",
        (bounds.hull, Affine.modulus, Affine.pull, Dense, Conv, Scale, BatchNorm, Add, Mean, Sum, AvgPool, Reshape,
         Permute, Gather, Pad, Concat),
        (*map(hull_encloses, CASES), *map(adjoint_is_exact, CASES), units_are_rows),
        (
            Twin("the radius with A instead of |A|", hull_encloses(CASES[0], signed_hull), POINT),
            Twin("both ends by both signs of W (as AdvIBP prints it)", hull_encloses(CASES[0], printed_hull), POINT),
            Twin("the constant with the other sign", adjoint_is_exact(CASES[0], -1),
                 POINT | {"b0": 1, "c000": 1, "c001": 0}),
        ),
        SYMBOLS,
        "real arithmetic; small shapes stand for all (each output entry is one sum of products)",
    ),
    Lemma(
        "fusion",
        "an affine op merged into the one before it is the same function",
        (Dense.after, Dense.followed_by, Dense.scaled, Scale.after, BatchNorm.after, Conv.scaled),
        (
            fused(named("c"), dense, (2,)),
            fused(lambda w: Scale(reals(w, "cw", 2), reals(w, "cb", 2)), dense, (2,)),
            fused(batch_norm, dense, (2,)),
            fused(lambda w: Scale(reals(w, "cw", 1, 1), reals(w, "cb", 1, 1)), conv, (1, 3)),
        ),
        (Twin("the first bias is forgotten", lost_bias,
              {"w00": 0, "w01": 0, "w10": 0, "w11": 0, "b0": 1, "b1": 0, "x00": 0, "x01": 0, "cw00": 1, "cw01": 0,
               "cb": 0}),),
        SYMBOLS,
        "real arithmetic; small shapes stand for all",
    ),
)  # fmt: skip
