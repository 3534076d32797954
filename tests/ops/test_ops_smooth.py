"""Smooth activations and the product: the laws, PyTorch's values, wide and narrow boxes, poles, and certification."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from absdomain import Linf, certify, freeze, ops, to_graph
from absdomain.certification import Status
from absdomain.certification.verdict import Reason
from absdomain.domains import Box, DeepPoly
from absdomain.kinds import Curvature, Elementwise, PiecewiseLinear, Smooth
from absdomain.laws import check_op
from absdomain.linear import Bounds
from absdomain.lowering import UnsupportedOp
from absdomain.rounding import allowance

ACTIVATIONS: list[tuple[Elementwise, Callable[[Tensor], Tensor]]] = [
    (ops.Sigmoid(), torch.sigmoid),
    (ops.Tanh(), torch.tanh),
    (ops.Exp(), torch.exp),
    (ops.Softplus(), F.softplus),
    (ops.Softplus(4.0, 3.0), lambda x: F.softplus(x, 4.0, 3.0)),
    (ops.ELU(2.0, 0.5), lambda x: 0.5 * F.elu(x, 2.0)),
    (ops.SiLU(), F.silu),
    (ops.GELU(), F.gelu),
    (ops.GELUTanh(), lambda x: F.gelu(x, approximate="tanh")),
    (ops.HardSwish(), F.hardswish),
    (ops.Sin(), torch.sin),
    (ops.Cos(), torch.cos),
    (ops.Square(), torch.square),
    (ops.Pow(3), lambda x: x**3),
    (ops.Log(floor=0.3), lambda x: x.clamp(min=0.3).log()),
    (ops.Reciprocal(floor=0.3), lambda x: 1 / x.clamp(min=0.3)),
    (ops.Abs(), torch.abs),
    (ops.Clamp(-0.5, 2.0), lambda x: x.clamp(-0.5, 2.0)),
    (ops.HardTanh(), F.hardtanh),
]
RESTRICTED: list[tuple[Elementwise, Callable[[Tensor], Tensor]]] = [
    (ops.Log(), torch.log),
    (ops.Sqrt(), torch.sqrt),
    (ops.Reciprocal(), torch.reciprocal),
    (ops.Pow(-0.5), torch.rsqrt),
    (ops.Pow(1.5), lambda x: x**1.5),
    (ops.Pow(-2), lambda x: x**-2),
]
IDS: dict[str, object] = {"ids": lambda value: repr(value) if isinstance(value, Elementwise) else ""}


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("op", "reference"), [*ACTIVATIONS, *RESTRICTED], ids=IDS["ids"])
def test_the_laws_and_the_value(op: Elementwise, reference: Callable[[Tensor], Tensor]) -> None:
    # at 0 a root stands upright, and so does the derivative of x^1.5: its gradient is infinite, as PyTorch's is
    upright = op.curvature.domain[0] == 0 and bool(op(torch.zeros(())).isfinite())
    check_op(op, (2, 3), reference=reference, within=(1e-3, torch.inf) if upright else None)


def test_the_product_keeps_the_laws() -> None:
    check_op(ops.Product(), (2, 3), (2, 3), reference=torch.mul)


def boxes() -> Bounds:
    """Wide, narrow, far from 0 and around it, and points; (1, n)."""
    ends = [(-1e3, 1e3), (-1e3, -5.0), (5.0, 1e3), (-1e3, 1.0), (-2.0, 1e3), (-7.0, 11.0), (30.0, 31.0), (-31.0, -30.0),
            (-1e-9, 1e-9), (math.sqrt(2), math.sqrt(2) + 1e-7), (0.0, 0.0), (19.0, 21.0), (-1e3, -1e3), (0.0, 1e-30),
            (-0.5, 3.0), (2.3993572805154668, 3.0)]  # fmt: skip
    lower, upper = torch.tensor(ends, dtype=torch.float64).T
    return Bounds(lower.unsqueeze(0), upper.unsqueeze(0))


def attained(op: Elementwise, slope: Tensor, box: Bounds) -> tuple[Tensor, Tensor]:
    """The least and the greatest of f - s x at 20,001 points, half of them dense around 0."""
    t = torch.linspace(0, 1, 10001, dtype=torch.float64).view(-1, 1)
    even = torch.lerp(box.lower, box.upper, t)
    near = torch.maximum(torch.minimum(16 * t - 8, box.upper), box.lower)
    x = torch.cat([even, near.expand_as(even)])
    gap = op(x) - slope * x
    return gap.amin(0, keepdim=True), gap.amax(0, keepdim=True)


@pytest.mark.parametrize("slope", [0.0, 0.1, -0.07, 0.5, 0.999, 1.0, 1.05, 1e-9, -3.0])
def test_bands_hold_and_are_tight_on_wide_and_on_narrow_boxes(slope: float) -> None:
    box = boxes()
    s = torch.full_like(box.lower, slope)
    for op, _ in ACTIVATIONS:
        inside = op(box.lower).isfinite() & op(box.upper).isfinite()  # exp(1000) is told below
        band, (low, high) = op.band((s,), (box,)), attained(op, s, box)
        size = 1 + low.abs() + high.abs() + box.upper.abs() * (1 + abs(slope)) + op(box.upper).abs()
        room = 1e-13 * size
        assert ((band.lower <= low + room) | ~inside).all(), op
        assert ((band.upper >= high - room) | ~inside).all(), op
        loose = 0.02 * (high - low) + room
        assert ((band.lower >= low - loose) | ~inside).all(), (op, band.lower - low)
        assert ((band.upper <= high + loose) | ~inside).all(), (op, band.upper - high)


@pytest.mark.parametrize("op", [op for op, _ in ACTIVATIONS], ids=repr)
def test_single_precision_gives_the_same_bands(op: Elementwise) -> None:
    lower = 3 * torch.randn(1, 200, dtype=torch.float64)
    box = Bounds(lower, lower + 4 * torch.rand_like(lower))
    slope = torch.randn_like(lower)
    narrow = op.band((slope.float(),), (Bounds(box.lower.float(), box.upper.float()),))
    wide = op.band((slope.float().double(),), (Bounds(box.lower.float().double(), box.upper.float().double()),))
    torch.testing.assert_close(narrow.lower.double(), wide.lower, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(narrow.upper.double(), wide.upper, rtol=1e-5, atol=1e-5)


def test_a_softplus_knows_that_pytorch_drops_at_the_threshold() -> None:
    box = Bounds(torch.tensor([[19.9]], dtype=torch.float64), torch.tensor([[20.1]], dtype=torch.float64))
    slope = torch.ones_like(box.lower)
    band = ops.Softplus().band((slope,), (box,))
    torch.testing.assert_close(band.upper.item(), math.log1p(math.exp(-19.9)), rtol=1e-6, atol=0)
    assert band.lower.item() == 0.0  # the identity, above the threshold


@pytest.mark.parametrize(("op", "_"), RESTRICTED, ids=IDS["ids"])
def test_a_box_that_leaves_the_domain_has_an_infinite_band(op: Elementwise, _: object) -> None:
    lower = torch.tensor([[-1.0, -1e-300, -2.0, torch.nan]], dtype=torch.float64)
    upper = torch.tensor([[2.0, 1.0, -0.0, 1.0]], dtype=torch.float64)
    box = Bounds(lower, upper)
    for band in (op.image((box,)), op.band((torch.full_like(lower, 0.3),), (box,))):
        assert (~band.lower.isfinite()).all()
        assert (~band.upper.isfinite()).all()
        assert (band.lower[:, :3] == -torch.inf).all() and (band.upper[:, :3] == torch.inf).all()


def test_a_reciprocal_is_known_on_either_side_of_its_pole() -> None:
    box = Bounds(*(torch.tensor([[v]], dtype=torch.float64) for v in (-2.0, -0.5)))
    mirrored = Bounds(-box.upper, -box.lower)
    for slope in (-3.0, -1.0, -0.1, 0.0, 2.0):
        s = torch.full_like(box.lower, slope)
        for exponent, sign in ((-1, -1), (-2, 1), (-3, -1)):
            op = ops.Pow(exponent)
            here, there = op.band((s,), (box,)), op.band((-sign * s,), (mirrored,))
            ends = (there.lower, there.upper) if sign > 0 else (-there.upper, -there.lower)
            torch.testing.assert_close((here.lower, here.upper), ends)


def test_exp_overflows_to_an_infinite_bound_and_never_to_a_proof() -> None:
    box = Bounds(*(torch.tensor([[v]], dtype=torch.float64) for v in (0.0, 1e3)))
    image = ops.Exp().image((box,))
    assert image.lower.item() == 1.0
    assert image.upper.item() == torch.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_value_beyond_all_floats_is_enclosed(dtype: torch.dtype) -> None:
    """Its lower end is the largest float, and not inf, which the next op would take for a number; and so below."""
    most, far = torch.finfo(dtype).max, torch.finfo(dtype).max ** 0.4
    for op, at in ((ops.Exp(), 800.0), (ops.Pow(3), far), (ops.Square(), far * far)):
        box = Bounds(*(torch.tensor([[at, 1.0]], dtype=dtype) for _ in range(2)))
        for zero in (op.image((box,)), op.band((torch.zeros_like(box.lower),), (box,))):
            assert zero.lower.tolist() == [[most, op(box.lower)[0, 1].item()]]
            assert zero.upper[0, 0] == torch.inf
        tilted = op.band((torch.ones_like(box.lower),), (box,))
        assert tilted.lower[0, 0] <= most and tilted.lower[0, 1].isfinite()  # f - x is above the largest float as well
        inverse = ops.Reciprocal().image((op.image((box,)),))
        assert not inverse.upper[0, 0] <= 0  # 1 / f is positive; what is not known is NaN
    cube = ops.Pow(3).image((Bounds(*(torch.tensor([[-far]], dtype=dtype) for _ in range(2))),))
    assert (cube.lower.item(), cube.upper.item()) == (-torch.inf, -most)


@pytest.mark.parametrize("op", [ops.Sin(), ops.Cos()], ids=repr)
def test_waves_far_out_are_bounded_by_one(op: Elementwise) -> None:
    lower = torch.tensor([[1e17, 1e9, 1e300, -1e20]], dtype=torch.float64)
    band = op.image((Bounds(lower, lower.abs() * 2),))
    assert (band.lower == -1).all() and (band.upper == 1).all()


def smooth() -> list[Smooth]:
    return [op for op, _ in (*ACTIVATIONS, *RESTRICTED) if isinstance(op, Smooth)]


@pytest.mark.parametrize("op", smooth(), ids=repr)
def test_derivatives_are_those_of_the_value(op: Smooth) -> None:
    x = torch.linspace(0.11, 7.3, 500, dtype=torch.float64)
    x = torch.cat([x, -x]) if op.curvature.domain[0] < 0 else x
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(op(x).sum(), x)
    torch.testing.assert_close(op.derivative(x.detach()), gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("op", [op for op in smooth() if op.curvature.bends], ids=repr)
def test_between_its_breaks_an_op_bends_as_it_says(op: Smooth) -> None:
    told = op.curvature
    low, high = -12.0 if told.breaks else max(-12.0, told.domain[0]), 12.0
    for (a, b), bend in zip(pairwise([low, *told.breaks, high]), told.bends, strict=True):
        slopes = op.derivative(torch.linspace(a, b, 2001, dtype=torch.float64)[1:-1])
        steep = 1 + slopes.abs().amax()
        assert (bend * slopes.diff() >= -1e-14 * steep).all()
        assert (slopes.diff().abs().max() > 1e-7) == (bend != 0)


@pytest.mark.parametrize("op", [op for op in smooth() if op.curvature.jumps], ids=repr)
def test_at_its_breaks_the_derivative_of_an_op_jumps_as_it_says(op: Smooth) -> None:
    for place, jump in zip(op.curvature.breaks, op.curvature.jumps, strict=True):
        before, after = op.derivative(torch.tensor([place - 1e-9, place + 1e-9], dtype=torch.float64)).tolist()
        assert jump == (0 if abs(after - before) < 1e-6 * (1 + abs(before)) else 1 if after > before else -1)


@pytest.mark.parametrize(("op", "convex", "concave", "increasing"), [
    (ops.ReLU(), True, False, True), (ops.LeakyReLU(0.1), True, False, True), (ops.LeakyReLU(2.0), False, True, True),
    (ops.LeakyReLU(-0.5), True, False, False), (ops.LeakyReLU(1.0), True, True, True), (ops.Abs(), True, False, False),
    (ops.HardTanh(), False, False, True), (ops.Clamp(low=0.0), True, False, True),
    (ops.Clamp(high=1.0), False, True, True),
    (ops.Clamp(), True, True, True), (ops.ELU(), True, False, True), (ops.ELU(2.0), False, False, True),
    (ops.Log(), False, True, True), (ops.Exp(), True, False, True), (ops.Exp(0.0), False, False, True),
    (ops.Pow(-2), False, False, False), (ops.Sqrt(), False, True, False),
], ids=repr)  # fmt: skip
def test_what_follows_from_the_curvature(op: Elementwise, convex: bool, concave: bool, increasing: bool) -> None:
    told = op.curvature
    assert (told.convex, told.concave, told.increasing) == (convex, concave, increasing)
    assert told.piecewise_linear == isinstance(op, PiecewiseLinear)


@pytest.mark.parametrize("given", [{"breaks": (0.0,), "bends": (1,)}, {"breaks": (0.0,), "jumps": (1, 1)}])
def test_a_curvature_whose_numbers_do_not_match_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"1 breaks and . (bends|jumps); give one"):
        Curvature(**given)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: ops.Pow(0), "constant"), (lambda: ops.Pow(1), "identity"), (lambda: ops.Pow(-1, floor=0.0), "floor"),
    (lambda: ops.Log(floor=-1.0), "floor"), (lambda: ops.Softplus(0.0), "beta"), (lambda: ops.ELU(-1.0), "alpha"),
    (lambda: ops.Clamp(1.0, 1.0), "low < high"),
])  # fmt: skip
def test_nonsense_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


class Quotient(nn.Module):
    """Logits that are divided by an activation of the input."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.layer, self.scale, self.shift = nn.Linear(3, 2), nn.Linear(3, 2), shift
        with torch.no_grad():
            self.layer.bias.copy_(torch.tensor([5.0, -5.0]))
            self.scale.weight.mul_(0.1)
            self.scale.bias.fill_(0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) / (self.scale(x) + self.shift)


def test_a_pole_in_the_box_is_unknown_and_its_node_is_named() -> None:
    images = torch.rand(4, 3)
    pole, away = Quotient(0.01), Quotient(2.0)
    for domain in (Box(), DeepPoly(), Box() & DeepPoly()):
        near = [*certify(pole, images, pole(images).argmax(1), eps=0.3, domains=[domain], attack=None, clip=None)]
        for verdict in near:
            if verdict.status is Status.UNKNOWN:
                assert verdict.reason is Reason.NON_FINITE
                assert "node 'div'" in (verdict.detail or ""), verdict.detail
        assert any(verdict.status is Status.UNKNOWN for verdict in near)
        far = [*certify(away, images, away(images).argmax(1), eps=0.05, domains=[domain], attack=None, clip=None)]
        assert all(verdict.status is Status.VERIFIED for verdict in far), [v.detail for v in far]


def test_the_allowance_for_rounding_is_finite_where_the_bounds_avoid_the_pole() -> None:
    graph = freeze(to_graph(Quotient(2.0).double(), torch.rand(2, 3, dtype=torch.float64)))
    room = allowance(graph, Linf(torch.rand(2, 3, dtype=torch.float64), 0.05))
    assert (room < 1e-12).all()


class Attention(nn.Module):
    """A layer norm, a softmax gate and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.gate, self.head = (
            nn.Linear(3, 4), nn.LayerNorm(4, eps=0.1), nn.Linear(4, 4), nn.Linear(4, 2),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.first(x))
        return self.head(h * self.gate(h).softmax(1))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("domain", [Box(), DeepPoly(), Box() & DeepPoly()], ids=str)
def test_softmax_and_layer_norm_have_finite_bounds(domain: Box) -> None:
    graph = to_graph(Attention().double(), torch.rand(2, 3, dtype=torch.float64))
    region = Linf(torch.rand(3, 3, dtype=torch.float64), 0.2)
    trace = domain.propagate(graph, region)
    values = torch.stack([graph(x) for x in region.sample(50)])
    assert trace.lower.isfinite().all() and trace.upper.isfinite().all()
    assert (trace.lower <= values).all() and (values <= trace.upper).all()


def test_softplus_has_a_gradient_beyond_what_exp_can_hold() -> None:
    for dtype, at in ((torch.float64, 200.0), (torch.float32, 30.0)):
        x = torch.tensor(at, dtype=dtype, requires_grad=True)
        value = ops.Softplus(beta=5.0, threshold=1000.0)(x)
        assert value.item() == at
        assert torch.autograd.grad(value, x)[0].item() == 1.0


def test_softplus_that_jumps_at_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold is 0"):
        ops.Softplus(threshold=0.0)

    class Jumping(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.softplus(x, 1.0, 0.0)

    with pytest.raises(UnsupportedOp, match="jumps"):
        to_graph(Jumping(), torch.rand(2, 3))
