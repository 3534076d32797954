"""What can go wrong in an op."""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds import Affine, Diagonal, Elementwise, Line
from absdomain.linear import Bounds, Rows
from absdomain.linear.kernel import SignSplit
from absdomain.ops import (
    Acosh,
    Add,
    Along,
    Asin,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Floor,
    Gather,
    LeakyReLU,
    Logit,
    MatMul,
    Max,
    Pow,
    PReLU,
    ReLU,
    Round,
    Scatter,
    Sign,
    Tan,
    matmul,
)
from absdomain.ops.matmul import TimesMatrix
from absdomain.ops.steps import Steps
from tests.laws.mutant import Mutant, negated_first_gradient, normal, op


def corners_only(shipped: Any) -> Any:
    def inf(self: Max, slopes: tuple[Tensor, ...], boxes: tuple[Bounds, ...]) -> Tensor:
        (a,), (box,) = slopes, boxes
        size, axis = box.lower.shape[self.axis], self.axis
        gaps = []
        for picks in itertools.product((False, True), repeat=size):
            shape = [1] * box.lower.dim()
            shape[axis] = size
            x = torch.where(torch.tensor(picks).view(shape), box.lower, box.upper)
            gaps.append(self(x) - (a * x).sum(axis))
        return torch.stack(gaps).amin(0)

    return inf


def cancelled(shipped: Any) -> Any:
    """Logit's smaller stationary point as 1 / 2 - sqrt(1 - 4 / s) / 2, which is 0 for a large s."""

    def critical(self: Logit, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        half = (1 - 4 / slope.detach().clamp(min=4)).sqrt() / 2
        return 0.5 + half, 0.5 - half

    return critical


def halved(shipped: Any) -> Any:
    return lambda self, x: shipped(self, x) / 2


def ends_only(shipped: Any) -> Any:
    def sup(self: Elementwise, slopes: tuple[Tensor, ...], boxes: tuple[Bounds, ...]) -> Tensor:
        (s,), (box,) = slopes, boxes
        return torch.maximum(self(box.lower) - s * box.lower, self(box.upper) - s * box.upper)

    return sup


def leads_at_its_lower_end(shipped: Any) -> Any:
    def leader(self: Max, box: Bounds) -> tuple[Tensor, Tensor]:
        first, _ = shipped(self, box)
        others = box.lower.masked_fill(first.bool(), -torch.inf).amax(self.axis, keepdim=True)
        return first, box.lower.amax(self.axis, keepdim=True) >= others

    return leader


def without_output_padding(shipped: Any) -> Any:
    def transpose(self: Conv, w: Tensor, y: Tensor, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
        back = F.conv_transpose2d(y, w, None, self.stride, self.padding, 0, self.groups, self.dilation)
        missed = [want - have for want, have in zip(shapes[0][1:], back.shape[2:], strict=True)]
        return (F.pad(back, (0, missed[1], 0, missed[0])),)

    return transpose


def last_repeat_wins(shipped: Any) -> Any:
    def transpose(self: Gather, w: None, y: Tensor, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
        flat = y.new_zeros(y.shape[0], int(torch.tensor(shapes[0]).prod()))
        flat[:, self.index.flatten()] = y.flatten(1)
        return (flat.view(-1, *shapes[0]),)

    return transpose


def last_entry_wins(shipped: Any) -> Any:
    def linear(self: Scatter, w: None, *xs: Tensor) -> Tensor:
        flat = xs[0].new_zeros(len(xs[0]), *self.target)
        flat[:, self.index] = xs[0]
        return flat

    return linear


def swapped_lines(shipped: Any) -> Any:
    return lambda self, below, above, boxes: shipped(self, below, above, boxes)[::-1]


def unclamped_lower_line(shipped: Any) -> Any:
    return lambda self, below, above, boxes: (Line(below, None), shipped(self, below, above, boxes)[1])


def upper_line_through_the_origin(shipped: Any) -> Any:
    def lines(self: ReLU, below: Any, above: Any, boxes: Any) -> tuple[Line, Line]:
        low, high = shipped(self, below, above, boxes)
        return low, Line(high.slopes, torch.zeros_like(high.slopes[0]))

    return lines


def no_constant(shipped: Any) -> Any:
    return lambda self, bundle, *shapes: (shipped(self, bundle, *shapes)[0], None)


def other_line(shipped: Any) -> Any:
    return lambda self, above, *given: shipped(above, self, *given)


def tolerant(shipped: Any) -> Any:
    return lambda self, boxes: shipped(self, (Bounds(F.hardshrink(boxes[0].lower, 0.01), boxes[0].upper),))


def own_bias_forgotten(shipped: Any) -> Any:
    return lambda self, C, d: Dense(C @ self.weight, d)


def first_argument_only(shipped: Any) -> Any:
    def adjoint(self: Add, bundle: Rows, *shapes: tuple[int, ...]) -> tuple[Rows, ...]:
        nothing = Rows.of(torch.zeros_like(bundle.data))
        return (bundle, *[nothing] * (len(shapes) - 1))

    return adjoint


def jumps_alone(shipped: Any) -> Any:
    return lambda self, slope, box: self.jumps(box)


def first_jump_alone(shipped: Any) -> Any:
    return lambda self, box: (shipped(self, box)[0],) * 2


def one_slope_for_all(shipped: Any) -> Any:
    def slope_range(self: PReLU, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...]:
        (found,) = shipped(self, boxes)
        return (Bounds(found.lower.clamp(min=0), found.upper.clamp(min=0)),)

    return slope_range


def without_padding(shipped: Any) -> Any:
    def transpose(self: ConvTranspose, w: Tensor, y: Tensor, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
        height, width = shapes[0][1:]
        wide = F.pad(y, (0, 2, 0, 2))  # at the end alone
        return (F.conv2d(wide, w, None, self.stride, 0, self.dilation, self.groups)[..., :height, :width],)

    return transpose


def smaller_product_taken_off(shipped: Any) -> Any:
    return lambda a, b, c, d: a @ d + b @ c - shipped(a, b, c, d)


def slopes_swapped(shipped: Any) -> Any:
    return lambda self, slopes, boxes: shipped(self, slopes[::-1], boxes)


CONV = Conv(normal(2, 1, 3, 3), None, (2, 2), (1, 1))
LEAKY = LeakyReLU(0.1)
PRELU = PReLU(torch.tensor([-0.5, 0.5, 2.0], dtype=torch.float64))
SCATTER = Scatter(torch.tensor([1, 1, 0]), (2,))
BACK = ConvTranspose(normal(1, 1, 2, 2), None, (1, 1), (1, 1))
MUTANTS = [
    Mutant(
        "steps: the values at the jumps, not beside them", Steps, "critical", jumps_alone, op(Sign(), (3,), exact=False)
    ),
    Mutant("floor: the first jump stands for all", Floor, "jumps", first_jump_alone, op(Floor(), (3,), exact=False)),
    Mutant("round: jumps at whole numbers", Round, "jumps", lambda f: Floor.jumps, op(Round(), (3,), exact=False)),
    Mutant("prelu: negative slopes count as 0", PReLU, "slope_range", one_slope_for_all, op(PRELU, (3,))),
    Mutant("logit: a root by a difference that cancels", Logit, "critical", cancelled, op(Logit(), (2, 3))),
    Mutant("logit: half the derivative", Logit, "derivative", halved, op(Logit(), (2, 3))),
    Mutant("tan: half the derivative", Tan, "derivative", halved, op(Tan(), (2, 3))),
    Mutant("tan: one of two solutions", Tan, "critical", lambda f: lambda *a: f(*a)[:1], op(Tan(), (2, 3))),
    Mutant("asin: half of the solution", Asin, "critical", lambda f: lambda *a: (f(*a)[0] / 2,), op(Asin(), (3,))),
    Mutant("acosh: 1 / s", Acosh, "critical", lambda f: lambda self, s, b: (1 + 1 / s,), op(Acosh(), (3,))),
    Mutant(
        "root: below 0 it goes on as that of |x|",
        Pow,
        "__call__",
        lambda f: lambda self, x: x.abs().pow(self.exponent),
        op(Pow(1.5, 0.0), (3,), reference=lambda x: x.relu() ** 1.5),
    ),
    Mutant("transposed conv: no padding before", ConvTranspose, "transpose", without_padding, op(BACK, (1, 3, 3))),
    Mutant(
        "along: the matrix goes back as it came",
        Along,
        "transpose",
        lambda f: lambda self, w, y, *shapes: (torch.movedim(y.movedim(self.axis, -1) @ w.t(), -1, self.axis),),
        op(Along(normal(3, 3), 1), (3, 2)),
    ),
    Mutant(
        "matmul: the larger of two products",
        matmul,
        "_larger_products",
        smaller_product_taken_off,
        op(MatMul(), (1, 2), (2, 1)),
    ),
    Mutant(
        "matmul: what is beyond the box is forgotten",
        matmul,
        "most",
        lambda f: lambda s, b: 0 * f(s, b),
        op(MatMul(), (1, 2), (2, 1)),
    ),
    Mutant("matmul: each slope its own argument's", MatMul, "inf", slopes_swapped, op(MatMul(), (2, 2), (2, 2))),
    Mutant(
        "matmul: rows of shared slopes are transposed",
        TimesMatrix,
        "transpose",
        lambda f: lambda self, w, y, *shapes: (y.mT @ w.mT,),
        op(MatMul(), (2, 2), (2, 2)),
    ),
    Mutant("the band forgets its critical point", LeakyReLU, "critical", lambda f: lambda *_: (), op(LEAKY, (3,))),
    Mutant("the sup is taken at the ends", Elementwise, "sup", ends_only, op(LeakyReLU(2.0), (3,))),
    Mutant("max: inf over the corners alone", Max, "inf", corners_only, op(Max(-1), (2, 3))),
    Mutant("max: settled by the lower ends", Max, "_leader", leads_at_its_lower_end, op(Max(-1), (2, 3))),
    Mutant("relu: settled with a tolerance", ReLU, "slope_range", tolerant, op(ReLU(), (3,))),
    Mutant("relu: lower and upper line swapped", ReLU, "lines", swapped_lines, op(ReLU(), (3,))),
    Mutant("relu: the lower slope is trusted", ReLU, "lines", unclamped_lower_line, op(ReLU(), (3,))),
    Mutant("relu: no upper intercept", ReLU, "lines", upper_line_through_the_origin, op(ReLU(), (3,))),
    Mutant("the sign split takes the other line", Diagonal, "split", other_line, op(LEAKY, (3,))),
    Mutant("the sign split's gradient is negated", SignSplit, "backward", negated_first_gradient, op(ReLU(), (3,))),
    Mutant("pull forgets the bias", Affine, "pull", no_constant, op(Dense(normal(2, 3), normal(2)), (3,))),
    Mutant(
        "the modulus keeps the signs",
        Affine,
        "magnitude",
        lambda f: property(lambda self: self.weight),
        op(CONV, (1, 4, 4)),
    ),
    Mutant("conv: no output padding", Conv, "transpose", without_output_padding, op(CONV, (1, 4, 4))),
    Mutant(
        "gather: the last repeat wins", Gather, "transpose", last_repeat_wins, op(Gather(torch.tensor([0, 0, 1])), (3,))
    ),
    Mutant(
        "scatter: the last of several entries at a place is left",
        Scatter,
        "linear",
        last_entry_wins,
        op(SCATTER, (3,), reference=lambda x: torch.stack([x[:, 2], x[:, 0] + x[:, 1]], 1)),
    ),
    Mutant(
        "scatter: rows go back to the first place",
        Scatter,
        "transpose",
        lambda f: lambda self, w, y, *shapes: (y.flatten(1)[:, torch.zeros_like(self.index)],),
        op(SCATTER, (3,)),
    ),
    Mutant(
        "concat: parts in the wrong order",
        Concat,
        "transpose",
        lambda f: lambda self, w, y, *shapes: f(self, w, y, *shapes)[::-1],
        op(Concat(1), (2,), (2,)),
    ),
    Mutant("add: the first argument alone", Add, "adjoint", first_argument_only, op(Add(), (2,), (2,))),
    Mutant(
        "fusing forgets the layer's own bias",
        Dense,
        "followed_by",
        own_bias_forgotten,
        op(Dense(normal(2, 3), normal(2)), (3,)),
    ),
    Mutant("freeze shares the weights", Affine, "freeze", lambda f: lambda self: self, op(Dense(normal(2, 3)), (3,))),
    Mutant(
        "batch norm: variance without eps",
        BatchNorm,
        "weight",
        lambda f: property(lambda self: self._channels(self.variance.rsqrt())),
        op(
            BatchNorm(normal(3), normal(3).abs(), axes=0, eps=0.1),
            (3,),
            reference=lambda x: F.batch_norm(x, normal(3), normal(3).abs(), eps=0.1),
        ),
    ),
]
