"""Every op keeps the laws of its kind and has PyTorch's value; an op that breaks one is told so."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor

from absdomain import ops
from absdomain.kinds import Affine, Curvature, Elementwise, Op, Slopes
from absdomain.laws import LawBroken, check_op, drawing, strategies
from absdomain.linear import Bounds

SEEDS = range(30 if settings().max_examples > 50 else 1)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("make", drawing.MAKERS, ids=lambda make: make.__name__)
def test_every_op_keeps_its_laws(make: drawing.Maker) -> None:
    for seed in SEEDS:
        op, shape = drawing.suited(Random(seed), make)
        exact = make not in (drawing.matmul, *drawing.STEPS)  # see test_ops_matmul and test_ops_steps
        check_op(op, *[shape] * drawing.arguments(make), seed=seed, exact=exact)


def test_a_dense_with_a_matrix_per_sample_keeps_its_laws() -> None:
    for seed in SEEDS:
        op, shape = drawing.suited(Random(seed), drawing.dense_per_sample)
        check_op(op, shape, seed=seed, batch=2)


def test_the_makers_cover_every_op() -> None:
    concrete = {value for value in vars(ops).values() if isinstance(value, type) and issubclass(value, Op)}
    drawn = {type(drawing.suited(Random(seed), make)[0]) for make in drawing.MAKERS for seed in range(3)}
    bounded = {ops.Asin, ops.Acosh, ops.Logit, ops.Tan}  # undefined for some numbers: see test_ops_inverse
    # the band of log softmax is not exact, as these checks ask: see test_ops_softmax
    assert drawn | bounded | {ops.LogSoftmax} == concrete


@settings(max_examples=10)
@given(strategies.ops((drawing.dense, drawing.scale, drawing.relu)))
def test_the_strategy_of_ops_composes(drawn: tuple[Op, tuple[int, ...]]) -> None:
    op, shape = drawn
    x = torch.zeros(2, *shape, dtype=torch.float64)
    assert op(x).shape[1:] == op.shape(shape)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


W, b = normal(4, 3), normal(4)
B2, B3 = normal(4, 1, 2, 1), normal(1, 2, 2, 1, 2)
K2, K1 = normal(4, 1, 3, 2), normal(6, 2, 3)
mean, variance, gain, shift = normal(3), normal(3).abs(), normal(3), normal(3)
REFERENCES: list[tuple[Op, tuple[tuple[int, ...], ...], Callable[..., Tensor]]] = [
    (ops.Dense(W, b), ((3,),), lambda x: F.linear(x, W, b)),
    (ops.Dense(W), ((2, 3),), lambda x: F.linear(x, W)),
    (
        ops.Conv(K2, b, (2, 1), (1, 0), (1, 2), 2),
        ((2, 5, 6),),
        lambda x: F.conv2d(x, K2, b, (2, 1), (1, 0), (1, 2), 2),
    ),
    (ops.Conv(K1, None, (2,), (1,), (1,)), ((2, 6),), lambda x: F.conv1d(x, K1, None, 2, 1)),
    (
        ops.ConvTranspose(B2, b[:2], (2, 1), (1, 0), (1, 0), (1, 2), 2),
        ((4, 3, 2),),
        lambda x: F.conv_transpose2d(x, B2, b[:2], (2, 1), (1, 0), (1, 0), 2, (1, 2)),
    ),
    (
        ops.ConvTranspose(B3, None, (1,) * 3, (0,) * 3, (0,) * 3, (1,) * 3),
        ((1, 2, 1, 2),),
        lambda x: F.conv_transpose3d(x, B3),
    ),
    (
        ops.Conv(B3.transpose(0, 1), None, (1,) * 3, (1,) * 3, (1,) * 3),
        ((B3.shape[0], 2, 1, 2),),
        lambda x: F.conv3d(x, B3.transpose(0, 1), padding=1),
    ),
    (ops.Along(W, 1), ((3, 2),), lambda x: torch.einsum("mn,bnk->bmk", W, x)),
    (ops.PReLU(W[:2, :1]), ((2, 3),), lambda x: F.prelu(x, W[:2, 0])),
    (ops.MatMul(), ((2, 1, 2), (2, 2, 2)), torch.matmul),
    (ops.Scale(W[0], b[:3]), ((2, 3),), lambda x: x * W[0] + b[:3]),
    (ops.Scale(), ((2,),), lambda x: x),
    (
        ops.BatchNorm(mean, variance, gain, shift, axes=2),
        ((3, 2, 4),),
        lambda x: F.batch_norm(x, mean, variance, gain, shift),
    ),
    (ops.BatchNorm(mean, variance, axes=0), ((3,),), lambda x: F.batch_norm(x, mean, variance)),
    (ops.Reshape((6,)), ((2, 3),), lambda x: x.flatten(1)),
    (ops.Permute((0, 3, 1, 2)), ((2, 3, 4),), lambda x: x.permute(0, 3, 1, 2)),
    (ops.Gather(torch.tensor([[3, 3], [0, 5]])), ((2, 3),), lambda x: x.flatten(1)[:, [[3, 3], [0, 5]]]),
    (
        ops.Scatter(torch.tensor([[3, 3, 1], [0, 3, 1]]), (4,)),
        ((2, 3),),
        lambda x: torch.stack(
            [x[:, 1, 0], x[:, 0, 2] + x[:, 1, 2], 0 * x[:, 0, 0], x[:, 0, :2].sum(1) + x[:, 1, 1]], 1
        ),
    ),
    (ops.Pad((1, 0, 2, 1)), ((2, 3),), lambda x: F.pad(x, (1, 0, 2, 1))),
    (ops.Add(), ((2, 3), (2, 3), (2, 3)), lambda x, y, z: x + y + z),
    (ops.Concat(2), ((2, 3), (2, 1)), lambda x, y: torch.cat([x, y], 2)),
    (ops.Mean((2, 3)), ((2, 3, 4),), lambda x: x.mean((2, 3))),
    (ops.Mean((1,), keepdim=True), ((2, 3),), lambda x: x.mean(1, keepdim=True)),
    (ops.Sum((1, 2)), ((2, 3, 4),), lambda x: x.sum((1, 2))),
    (ops.AvgPool((3, 2), (2, 2), (1, 1)), ((2, 5, 6),), lambda x: F.avg_pool2d(x, (3, 2), 2, 1)),
    (
        ops.AvgPool((3, 2), (2, 3), (1, 0), True, False),
        ((2, 5, 6),),
        lambda x: F.avg_pool2d(x, (3, 2), (2, 3), (1, 0), True, False),
    ),
    (
        ops.AvgPool((2, 2), (1, 1), divisor=3),
        ((2, 5, 6),),
        lambda x: F.avg_pool2d(x, 2, 1, divisor_override=3),
    ),
    (ops.ReLU(), ((2, 3),), F.relu),
    (ops.LeakyReLU(0.1), ((2, 3),), lambda x: F.leaky_relu(x, 0.1)),
    (ops.LeakyReLU(-0.5), ((3,),), lambda x: F.leaky_relu(x, -0.5)),
    (ops.Max(-2), ((4, 3),), lambda x: x.amax(1)),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("op", "shapes", "reference"), REFERENCES, ids=[type(op).__name__ for op, _, _ in REFERENCES])
def test_values_are_pytorchs(op: Op, shapes: tuple[tuple[int, ...], ...], reference: Callable[..., Tensor]) -> None:
    check_op(op, *shapes, reference=reference)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [
    ((2, 2), (2, 2), (0, 0), (1, 1)), ((3, 2), (2, 1), (1, 1), (1, 1)), ((3, 3), (2, 2), (1, 1), (1, 1)),
    ((2, 3), (1, 3), (0, 0), (2, 1)), ((1, 1), (3, 3), (0, 0), (1, 1)),
])  # fmt: skip
def test_windows_and_max_are_max_pooling(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int],
    ceil_mode: bool,
) -> None:  # fmt: skip
    x = normal(3, 2, 5, 6) - 5  # all negative: a zero from the padding would be seen
    plane = ops.windows((5, 6), kernel, stride, padding, dilation, ceil_mode)
    index = torch.arange(2).view(-1, 1, 1, 1) * 30 + plane
    pooled = ops.Max(-3)(ops.Gather(index)(x))
    exact = F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    torch.testing.assert_close(pooled, exact)


def test_a_window_may_reach_out_of_the_plane_but_not_miss_it() -> None:
    x = normal(2, 1, 1, 3)
    index = ops.windows((1, 3), (2, 1), (2, 1), (1, 0))  # its first row lies in the padding
    torch.testing.assert_close(ops.Max(-3)(ops.Gather(index)(x)), F.max_pool2d(x, (2, 1), (2, 1), (1, 0))[:, 0])
    with pytest.raises(ValueError, match="misses all 1 entries"):
        ops.windows((1, 3), (2, 1), (1, 1), (1, 0), (2, 1))


def test_a_max_is_settled_just_where_an_entry_always_wins() -> None:
    lower = torch.tensor([[2.0, -1.0, 0.0], [2.0, -1.0, 0.0]], dtype=torch.float64)
    upper = torch.tensor([[9.0, 2.0, 1.5], [9.0, 2.1, 1.5]], dtype=torch.float64)
    (settled,) = ops.Max(-1).settled((Bounds(lower, upper),)) or ()
    assert settled.tolist() == [[True] * 3, [False] * 3]


# ---- the kit judges ops that are not ours


@dataclass(frozen=True, eq=False)
class HardTanh(Elementwise):
    """clamp(x, -1, 1), as a plug-in would write it."""

    curvature = Curvature(increasing=True)

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].clamp(-1, 1)

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return torch.full_like(slope, -1.0), torch.full_like(slope, 1.0)


@dataclass(frozen=True, eq=False)
class Square(Elementwise):
    """x^2, with a stationary point that depends on the slope."""

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0] ** 2

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return (slope / 2,)


class ForgetfulSquare(Square):
    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return ()


class LooseSquare(Square):
    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return super().sup(slopes, boxes) + 1.0


@dataclass(frozen=True, eq=False)
class Twice(Affine):
    """x_i + x_{i - 1}: an affine op that keeps its laws with one method."""

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0] + xs[0].roll(1, -1)


class Difference(Twice):
    """x_i - x_{i - 1} is not monotone in x: it must be declared with a weight."""

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0] - xs[0].roll(1, -1)


def test_plug_ins_keep_the_laws() -> None:
    check_op(HardTanh(), (2, 3), reference=F.hardtanh)
    check_op(Square(), (3,), reference=torch.square)
    check_op(Twice(), (4,))


@pytest.mark.parametrize(("op", "law"), [
    (ForgetfulSquare(), "band holds f|inf <= f"), (LooseSquare(), "sup is attained"), (Difference(), "modulus"),
])  # fmt: skip
def test_a_broken_op_is_told_which_law_it_breaks(op: Op, law: str) -> None:
    with pytest.raises(LawBroken, match=law):
        check_op(op, (3,))


class LooseMax(ops.Max):
    """A band that holds and is not attained, but for the slopes that other laws speak of."""

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return super().sup(slopes, boxes) + (slopes[0] * (1 - slopes[0])).abs().sum(self.axis)


def test_a_loose_band_is_allowed_where_it_is_called_one() -> None:
    check_op(LooseMax(-1), (2, 3), exact=False)
    with pytest.raises(LawBroken, match="sup is attained"):
        check_op(LooseMax(-1), (2, 3))


def test_a_wrong_value_is_told() -> None:
    with pytest.raises(LawBroken, match="reference"):
        check_op(ops.ReLU(), (3,), reference=torch.sigmoid)


def test_a_matrix_per_sample_is_not_matched_with_positions() -> None:
    """x (B, T, n) with as many positions as samples: matrix t would be taken at position t, by every law alike."""
    per_sample, x = ops.Dense(torch.randn(3, 5, 4)), torch.randn(3, 3, 4)
    offsets = ops.Dense(torch.randn(5, 4), torch.randn(3, 5))
    for op in (per_sample, offsets):
        for use in (lambda op=op: op(x), lambda op=op: op.shape((3, 4)), lambda op=op: op.modulus(x.abs())):
            with pytest.raises(ValueError, match=r"differ from sample to sample, but the argument has 2 axes"):
                use()
    flat = ops.Dense(torch.randn(3, 5, 12))(x.flatten(1))
    assert flat.shape == (3, 5)
