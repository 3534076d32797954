"""Affine operations: interval hull, adjoint and fusion, for all weights and inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch

from absdomain.graph import Graph, Node, fuse
from absdomain.kinds import Affine, Op, Shape
from absdomain.linear import Bounds, Rows, bounds
from absdomain.linear.patches import Columns
from absdomain.ops import (
    Add,
    Along,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Gather,
    Mean,
    Pad,
    Permute,
    ReLU,
    Reshape,
    Scale,
    Scatter,
    Sum,
)
from absdomain.proofs.kernel.exact import assume, numbers, prove, prove_zero, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.piecewise import boxed
from absdomain.proofs.lemmas.values import by_definition, transposed

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


def conv_transpose(world: World) -> ConvTranspose:
    """Into two channels, at a stride, with an entry more at the end."""
    return ConvTranspose(reals(world, "w", 1, 2, 2), reals(world, "b", 2), (2,), (0,), (1,), (1,))


def conv_in_phases(world: World) -> Conv:
    """Two spatial axes and a stride: the adjoint goes by phases."""
    return Conv(reals(world, "w", 1, 1, 2, 1), reals(world, "b", 1), (2, 1), (1, 0))


def batch_norm(world: World) -> BatchNorm:
    """All four statistics; the variance is >= 0."""
    mean, variance, gain, shift = (reals(world, name, 2) for name in ("mean", "variance", "gain", "shift"))
    assume(world, variance)
    return BatchNorm(mean, variance, gain, shift, axes=0, eps=0.125)


def plain_norm(world: World) -> BatchNorm:
    """Mean and variance alone, over a plane."""
    mean, variance = reals(world, "mean", 2), reals(world, "variance", 2)
    assume(world, variance)
    return BatchNorm(mean, variance, eps=0.125)


CASES = (
    Case("dense", dense, ((2,),)),
    Case("dense without a bias", lambda w: Dense(reals(w, "w", 2, 2)), ((2,),)),
    Case("dense on positions", dense, ((2, 2),)),
    Case("dense per sample", dense_per_sample, ((2,),)),
    Case("conv", conv, ((1, 3),)),
    Case("conv in phases", conv_in_phases, ((1, 3, 1),)),
    Case(
        "conv in dilated phases", lambda w: Conv(reals(w, "w", 1, 1, 2, 1), None, (2, 1), (1, 0), (2, 1)), ((1, 4, 2),)
    ),
    Case("conv in groups", lambda w: Conv(reals(w, "w", 2, 1, 1, 2), reals(w, "b", 2), groups=2), ((2, 1, 3),)),
    Case("transposed conv", conv_transpose, ((1, 2),)),
    Case(
        "transposed conv, padded",
        lambda w: ConvTranspose(reals(w, "w", 2, 1, 2), None, (1,), (1,), (1,), (2,), 2),
        ((2, 3),),
    ),
    Case("along an axis", lambda w: Along(reals(w, "w", 2, 2), 1), ((2, 2),)),
    Case("along the last axis", lambda w: Along(reals(w, "w", 1, 2), -1), ((1, 2),)),
    Case("scale by 1", lambda _: Scale(), ((2,),)),
    Case("scale", lambda w: Scale(reals(w, "w", 2), reals(w, "b", 2)), ((2,),)),
    Case("batch norm", batch_norm, ((2,),)),
    Case("batch norm of a plane", plain_norm, ((2, 1, 2),)),
    Case("add", lambda _: Add(), ((2,), (2,))),
    Case("mean", lambda _: Mean((1,)), ((3,),)),
    Case("sum", lambda _: Sum((1,)), ((3,),)),
    Case("average pooling", lambda _: AvgPool((2, 1), (1, 1), (1, 0)), ((1, 2, 1),)),
    Case("reshape", lambda _: Reshape((2, 1)), ((2,),)),
    Case("permute", lambda _: Permute((0, 2, 1)), ((1, 2),)),
    Case("gather", lambda _: Gather(torch.tensor([1, 1, 0])), ((2,),)),
    Case("scatter", lambda _: Scatter(torch.tensor([1, 1, 0]), (3,)), ((3,),)),
    Case("pad", lambda _: Pad((1, 0)), ((2,),)),
    Case("concat", lambda _: Concat(1), ((1,), (2,))),
)


def hull_encloses(case: Case, make_hull: Callable[..., Bounds] | None = None) -> Check:
    """op(xs) lies in the interval hull over any boxes that hold the xs."""

    def check(world: World) -> None:
        op = case.make(world)
        pairs = [boxed(world, f"x{i}", 1, *shape) for i, shape in enumerate(case.shapes)]
        found, value = (make_hull or Affine.image)(op, *(box for _, box in pairs)), op(*(x for x, _ in pairs))
        prove(world, value - found.lower, f"{case.name}: lower end")
        prove(world, found.upper - value, f"{case.name}: upper end")
        if make_hull is not None:
            return
        with torch.no_grad():  # where the sum may be made in place
            again = op.image(*(box for _, box in pairs))
        centre, radius = op(*(box.centre for _, box in pairs)), op.modulus(*(box.radius for _, box in pairs))
        for box in (found, again):
            prove_zero(world, box.lower - centre + radius, f"{case.name}: op(c) - |A| r")
            prove_zero(world, box.upper - centre - radius, f"{case.name}: op(c) + |A| r")
        shapes = tuple(tuple(box.shape) for _, box in pairs)
        world.check(op.shape(*shapes) == tuple(value.shape[1:]), f"{case.name}: its shape")

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
    """Rows that index instead of multiplying are the rows that they stand for; in columns of their own, too."""
    like = reals(world, "x", 2, 2)
    listed = Rows(None, (2,), torch.tensor([[1, 0, 1]]), like, Columns(torch.tensor([1, 0, 0])))
    for op in (dense(world), Dense(reals(world, "v", 2, 2, 2), reals(world, "c", 2, 2))):
        for units in (Rows.units(torch.tensor([1]), (2,), like), Rows.units(torch.tensor([1, 0]), (2,), like), listed):
            written = Rows(units.data, (2,), columns=units.columns)
            (fast,), below = op.pull(units, (2,))
            (slow,), other = op.pull(written, (2,))
            assert below is not None and other is not None
            prove_zero(world, fast.data - slow.data, "unit rows through dense")
            prove_zero(world, below - other, "the constants of unit rows")
            y = reals(world, "y", 2, 2)
            value = (fast.data * fast.seen(y)).sum(-1) + below
            prove_zero(world, value - (written.data * written.seen(op(y))).sum(-1), "unit rows of dense's value")


def endless(world: World) -> None:
    """Over a box without ends each end is that of the signs, infinite where a factor meets an infinity."""
    box = Bounds(torch.tensor([[-torch.inf, 0.0]]), torch.tensor([[1.0, 2.0]]))
    box = box if not box.bounded else bounds.Endless(box.lower, box.upper)
    found = Dense(torch.tensor([[1.0, -2.0], [0.0, 1.0], [-1.0, 0.0]])).image(box)
    world.check(found.lower.tolist() == [[-torch.inf, 0.0, -1.0]], f"lower ends {found.lower.tolist()}")
    world.check(found.upper.tolist() == [[1.0, 2.0, torch.inf]], f"upper ends {found.upper.tolist()}")


@dataclass(frozen=True, eq=False)
class Weighted(Affine):
    """w x + w y: a weight, and more than one argument."""

    weight: torch.Tensor

    def linear(self, w: torch.Tensor | None, *xs: torch.Tensor) -> torch.Tensor:
        assert w is not None
        return w * xs[0] + w * xs[1]


def one_without_ends(world: World) -> None:
    """An image is without ends if a box is, whichever that is, and bounded if they all are."""
    plain = Bounds(torch.tensor([[0.0, -1.0]]), torch.tensor([[1.0, 2.0]]))
    free = bounds.Endless(torch.tensor([[0.0, -torch.inf]]), torch.tensor([[1.0, 2.0]]))
    for op, lower, upper in ((Add(), -torch.inf, 4.0), (Weighted(torch.tensor([1.0, -1.0])), -4.0, torch.inf)):
        world.check(op.image(plain, plain).bounded, f"{op}: bounded boxes")
        for boxes in ((plain, free), (free, plain)):
            found = op.image(*boxes)
            world.check(not found.bounded, f"{op}: its image is bounded")
            world.check(found.lower.tolist() == [[0.0, lower]], f"{op}: lower ends {found.lower.tolist()}")
            world.check(found.upper.tolist() == [[2.0, upper]], f"{op}: upper ends {found.upper.tolist()}")


def per_position_is_refused(world: World) -> None:
    """A matrix or an offset per sample on an argument with positions would be matched with these."""
    for op in (Dense(reals(world, "w", 1, 2, 2)), Dense(reals(world, "w", 2, 2), reals(world, "b", 1, 2))):
        try:
            op(reals(world, "x", 1, 2, 2))
        except ValueError:
            world.check(True, "refused")
        else:
            world.check(False, f"{op} on positions")


def transpose_is_exact(case: Case) -> Check:
    """<y, A x> = <A^T y, x>, for the transpose of the op's own matrix."""

    def check(world: World) -> None:
        op = case.make(world)
        xs = [reals(world, f"x{i}", 1, *shape) for i, shape in enumerate(case.shapes)]
        value = op.linear(op.weight, *xs)
        y = reals(world, "y", 1, *value.shape[1:])
        back = op.transpose(op.weight, y, *case.shapes)
        total = sum(((b * x).sum() for b, x in zip(back, xs, strict=True)), start=-(y * value).sum())
        prove_zero(world, total, f"{case.name}: <y, A x> = <A^T y, x>")

    return check


def frozen_size(world: World) -> None:
    """|w| is the weight's own, whether it is reckoned or kept ready."""
    op = Dense(torch.tensor([[-1.0, 2.0]]))
    for one in (op, op.freeze()):
        found = one.magnitude
        world.check(found is not None and found.tolist() == [[1.0, 2.0]], f"|w| is {found}")
    world.check(Add().magnitude is None, "no weight")


def fused(second: Callable[[World], Op], first: Make, shape: Shape) -> Check:
    """second(first(x)) = (second after first)(x)."""

    def check(world: World) -> None:
        one, two = first(world), second(world)
        x = reals(world, "x", 1, *shape)
        both = two.after(one)
        assert both is not None
        prove_zero(world, two(one(x)) - both(x), f"{type(two).__name__} after {type(one).__name__}")

    return check


def fused_graph(shared: bool) -> Check:
    """The fused graph is the same function, of as few ops as there may be; one that is read twice is left alone."""

    def check(world: World) -> None:
        first, second, third = (
            dense(world),
            Scale(reals(world, "s", 2), reals(world, "t", 2)),
            Dense(reals(world, "v", 2, 2)),
        )
        nodes = [Node("x", None, (), (2,)), Node("a", first, (0,), (2,)), Node("b", second, (1,), (2,)),
                 Node("c", third, (2,), (2,)), Node("r", ReLU(), (3,), (2,)), Node("d", named("c")(world), (4,), (1,)),
                 Node("e", Scale(reals(world, "q", 1)), (5,), (1,))]  # fmt: skip
        if shared:
            nodes += [Node("f", Dense(reals(world, "p", 1, 2)), (2,), (1,)), Node("g", Add(), (6, 7), (1,))]
        graph, x = Graph.of(nodes), reals(world, "x", 1, 2)
        found = fuse(graph)
        prove_zero(world, found(x) - graph(x), "the fused graph's value")
        names = ["x", "b", "c", "r", "e", "f", "g"] if shared else ["x", "c", "r", "e"]
        world.check([node.name for node in found.nodes] == names, f"the nodes {[node.name for node in found.nodes]}")

    return check


def unfused(world: World) -> None:
    """What would take two ops is refused: an offset for each place, a matrix per sample."""
    one, per_place = torch.ones(()), torch.ones(2, 3)
    plane, rows = Conv(torch.ones(2, 1, 2), None, (1,), (0,), (1,)), Dense(torch.ones(1, 2, 2))
    world.check(plane.scaled(per_place, per_place) is None, "an offset for each place of a convolution")
    back = ConvTranspose(torch.ones(1, 2, 2), None, (1,), (0,), (0,), (1,))
    for w, b in ((per_place, one), (one, per_place)):
        world.check(back.scaled(w, b) is None, "a factor or an offset for each place of a transposed convolution")
    many = ConvTranspose(torch.ones(2, 1, 2), None, (1,), (0,), (0,), (1,), 2)
    world.check(many.scaled(one, one) is None and back.scaled(one, one) is not None, "groups are left alone")
    world.check(plane.scaled(one, per_place) is None and plane.scaled(one, one) is not None, "one number for all")
    world.check(Dense(torch.ones(2, 2)).scaled(per_place, one) is None, "a factor for each position")
    world.check(Dense(torch.ones(2, 2)).scaled(one, per_place) is None, "an offset for each position")
    world.check(rows.scaled(one, one) is None and rows.after(Dense(torch.ones(2, 2))) is None, "a matrix per sample")


def scale(prefix: str, *shape: int) -> Callable[[World], Scale]:
    """A factor and an offset for each entry."""
    return lambda world: Scale(reals(world, prefix + "w", *shape), reals(world, prefix + "b", *shape))


def plain_conv(world: World, bias: torch.Tensor | None) -> Conv:
    """Two channels out of one, along a line."""
    return Conv(reals(world, "w", 2, 1, 2), bias, (1,), (0,), (1,))


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
        (Affine.image, Bounds.centre, Bounds.radius, Affine.__call__, Affine.modulus, Affine.magnitude, Affine.offset,
         Affine.pull, Affine.adjoint, Affine.transpose, Dense.__call__, Dense.linear, Dense._check, Dense.transpose,
         Dense.adjoint, Conv.__call__, Conv.linear, Conv._convolve, Conv.offset, Conv.transpose, Conv._by_phases,
         ConvTranspose.offset, ConvTranspose.linear, ConvTranspose.transpose, Along.linear, Along.transpose,
         Scale.linear, Scale.transpose, Scale.adjoint, BatchNorm.weight, BatchNorm.bias, BatchNorm._channels,
         BatchNorm.linear, BatchNorm.transpose, BatchNorm.adjoint, Add.linear, Add.adjoint, Mean.linear, Sum.linear,
         AvgPool.linear, Reshape.linear, Reshape.adjoint, Permute.linear, Gather.linear, Gather.transpose, Pad.linear,
         Scatter.linear, Scatter.transpose,
         Concat.linear, Concat.transpose),
        (*map(hull_encloses, CASES), *map(adjoint_is_exact, CASES), *map(transpose_is_exact, CASES), units_are_rows,
         per_position_is_refused, frozen_size, endless, one_without_ends, by_definition, transposed),
        (
            Twin("the radius with A instead of |A|", hull_encloses(CASES[0], signed_hull), POINT),
            Twin("both ends by both signs of W (as AdvIBP prints it)", hull_encloses(CASES[0], printed_hull), POINT),
            Twin("the constant with the other sign", adjoint_is_exact(CASES[0], -1),
                 POINT | {"b0": 1, "c000": 1, "c001": 0}),
        ),
        SYMBOLS,
        "real arithmetic; small shapes stand for all (each output entry is one sum of products)",
        leaves="rows on windows (the lemma `windows`); shapes other than the cases'; choices of the faster of two "
               "equal ways; rounding",
    ),
    Lemma(
        "fusion",
        "an affine op merged into the one before it is the same function",
        (Dense.after, Dense.followed_by, Dense.scaled, Scale.after, Scale.scaled, BatchNorm.after, Conv.scaled,
         ConvTranspose.scaled, fuse),
        (
            *map(fused_graph, (True, False)), unfused,
            fused(named("c"), lambda w: Dense(reals(w, "w", 2, 2)), (2,)),
            fused(lambda w: Dense(reals(w, "cw", 1, 2)), dense, (2,)),
            fused(lambda w: Scale(reals(w, "cw", 2), reals(w, "cb", 2)), lambda w: Dense(reals(w, "w", 2, 2)), (2,)),
            fused(lambda w: Scale(reals(w, "cw", 2)), lambda w: Scale(reals(w, "w", 2)), (2,)),
            fused(lambda w: Scale(None, reals(w, "cb", 2)), lambda w: Scale(None, reals(w, "b", 2)), (2,)),
            fused(scale("c", 2), scale("", 2), (2,)),
            fused(scale("c", 2, 1), lambda w: plain_conv(w, None), (1, 3)),
            fused(scale("c", 2, 1), lambda w: plain_conv(w, reals(w, "b", 2)), (1, 3)),
            fused(scale("c", 2, 1), conv_transpose, (1, 2)),
            fused(scale("c"), lambda w: ConvTranspose(reals(w, "w", 1, 2, 2), None, (2,), (0,), (0,), (1,)), (1, 2)),
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
        leaves="fused ops of other kinds than these (they have none); that fusing changes rounding",
    ),
)  # fmt: skip
