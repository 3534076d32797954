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
from absdomain.ops import Add, BatchNorm, Concat, Conv, Dense, Gather, LeakyReLU, Max, ReLU
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


CONV = Conv(normal(2, 1, 3, 3), None, (2, 2), (1, 1))
LEAKY = LeakyReLU(0.1)
MUTANTS = [
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
