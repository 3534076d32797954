"""Operators of other people's networks: their graph is the module, and its bounds hold the module's values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from absdomain.kinds import Affine
from tests.written import Written, operations, parameter, same

Shape = tuple[int, ...]
W = Written
PLANE: Shape = (2, 4, 3)


def plain(f: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Written(lambda s, x: f(x))


def mixed(f: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    """f of some affine function of x, so that relaxations have something to lose."""
    return lambda: Written(lambda s, x: f(s.layer(x)), layer=nn.Linear(4, 4))


def resized(**options: object) -> Callable[[], nn.Module]:
    return plain(lambda x: F.interpolate(x, **options))  # type: ignore[arg-type]


AFFINE: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "transposed convolution of a line": (lambda: nn.ConvTranspose1d(2, 3, 3, 2, 1, 1), (2, 4)),
    "transposed convolution": (
        lambda: nn.ConvTranspose2d(2, 4, (3, 2), (2, 1), (1, 0), (1, 0), 2, dilation=(1, 2)), PLANE,
    ),
    "transposed convolution of a space": (lambda: nn.ConvTranspose3d(1, 2, 2, bias=False), (1, 2, 3, 2)),
    "convolution of a space": (lambda: nn.Conv3d(1, 2, 2, padding=1), (1, 2, 3, 2)),
    "nearest": (resized(scale_factor=2), PLANE),
    "nearest, exactly": (resized(size=(3, 5), mode="nearest-exact"), PLANE),
    "linear": (resized(scale_factor=2, mode="linear"), (2, 3)),
    "bilinear": (resized(size=(5, 7), mode="bilinear"), PLANE),
    "bilinear at the corners": (resized(size=(5, 7), mode="bilinear", align_corners=True), PLANE),
    "bilinear by factors": (resized(scale_factor=(1.5, 0.7), mode="bilinear"), PLANE),
    "trilinear": (resized(scale_factor=2, mode="trilinear"), (1, 2, 2, 3)),
    "bicubic": (resized(scale_factor=(1.5, 2.0), mode="bicubic"), PLANE),
    "cumulative sum": (plain(lambda x: x.cumsum(1) - x.cumsum(-1)), PLANE),
    "triangles": (plain(lambda x: x.tril() + 2 * x.triu(1)), PLANE),
    "means of lines": (lambda: nn.AvgPool1d(2, 1, 1), (2, 5)),
    "means of spaces": (plain(lambda x: F.avg_pool3d(x, 2, (1, 2, 1), (0, 1, 0), True, False)), (1, 3, 3, 4)),
    "means of spaces by a divisor": (plain(lambda x: F.avg_pool3d(x, 2, divisor_override=3)), (1, 2, 3, 2)),
    "means of windows of several sizes": (lambda: nn.AdaptiveAvgPool2d((3, 2)), PLANE),
    "means of windows of a line": (lambda: nn.AdaptiveAvgPool1d(3), (2, 5)),
    "padded by a number": (lambda: nn.ConstantPad2d((1, 0, 2, 1), 0.5), PLANE),
    "padded and cut": (plain(lambda x: F.pad(x, (-1, 1, 1, -2), value=-2.0)), PLANE),
    "padded otherwise": (
        plain(lambda x: F.pad(x, (1, 2), mode="reflect") + F.pad(x, (2, 1), mode="replicate")), (2, 4),
    ),
    "unshuffled": (lambda: nn.PixelUnshuffle(2), (1, 4, 2)),
    "turned": (plain(lambda x: x.rot90(1, (2, 3))), PLANE),
    "repeated": (plain(lambda x: x.tile(1, 2, 1, 1) - x.repeat_interleave(2, 1)), PLANE),
    "the diagonal": (plain(lambda x: x.diagonal(0, 1, 2)), (3, 3)),
    "chosen by numbers": (plain(lambda x: x[:, [1, 0, 1]] + x[:, :1, [0, 2, 3, 3]]), PLANE),
    "a whole index": (plain(lambda x: x[:, torch.tensor([[0, 1], [1, 0]]), torch.tensor([0, 3])]), PLANE),
    "taken along an axis": (
        lambda: W(lambda s, x: x.take_along_dim(s.i, 2) + torch.take_along_dim(x[:, :1], s.j, dim=-1),
                  i=nn.Buffer(torch.tensor([3, 0, 0, 1]).view(1, 1, 4, 1)),
                  j=nn.Buffer(torch.tensor([2, 0, 1, 0, 2, 2]).view(1, 2, 1, 3))), PLANE,
    ),
    "taken by an index of each sample": (
        lambda: W(lambda s, x: x.take_along_dim(s.i.expand(x.shape[0], -1), 1)
                               + 2 * x.gather(1, s.i.expand(x.shape[0], -1)),
                  i=nn.Buffer(torch.tensor([[2, 0, 2]]))), (4,),
    ),
    "a matrix on the left": (lambda: W(lambda s, x: s.w @ x, w=parameter(3, 4)), PLANE),
    "a vector on the right": (lambda: W(lambda s, x: x @ s.w, w=parameter(3)), PLANE),
    "a vector on the right of a vector": (lambda: W(lambda s, x: x @ s.w, w=parameter(4)), (4,)),
    "a vector on the right of steps": (lambda: W(lambda s, x: (x.transpose(0, 1) @ s.w).mT, w=parameter(3)), (4, 3)),
    "a vector on the left": (lambda: W(lambda s, x: s.w @ x, w=parameter(4)), PLANE),
    "a sum with a matrix": (lambda: W(lambda s, x: torch.einsum("bchw,dw->bdch", x, s.w), w=parameter(2, 3)), PLANE),
    "constants made by the batch's size": (
        plain(lambda x: x * x.new_full((x.shape[0], 1, 1, 1), 2.0) + torch.full((x.shape[0], 1, 4, 1), 3.0)
              - x.new_ones(x.shape[0], 2, 1, 3) * x.new_zeros(x.shape)), PLANE,
    ),
    "where by a constant": (lambda: W(lambda s, x: torch.where(s.c > 0, x, 2 * x), c=nn.Buffer(torch.randn(3))), PLANE),
    "masked by a constant": (
        lambda: W(lambda s, x: x.masked_fill(s.c > 0, 0.5), c=nn.Buffer(torch.randn(1, 1, 4, 3))), PLANE,
    ),
}  # fmt: skip
NONLINEAR: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "prelu": (lambda: nn.Sequential(nn.Linear(4, 4), nn.PReLU(init=-0.5)), (4,)),
    "prelu by channels": (lambda: W(lambda s, x: F.prelu(x, s.a), a=parameter(2)), PLANE),
    "rrelu": (lambda: nn.RReLU(), (4,)),
    "sign": (mixed(torch.sign), (4,)),
    "floor, ceil, round": (mixed(lambda x: x.floor() + 2 * (3 * x).ceil() - x.round()), (4,)),
    "heaviside": (mixed(lambda x: torch.heaviside(x, torch.tensor(0.5, dtype=x.dtype))), (4,)),
    "comparisons": (mixed(lambda x: (x > 0.1).to(x) + (x <= x.flip(1)).to(x.dtype) * x), (4,)),
    "where": (mixed(lambda x: torch.where(x > 0, x * x, x) + torch.where(x < 1, 2.0, x)), (4,)),
    "where not": (mixed(lambda x: x.masked_fill(~(x >= 0.2), 0.5)), (4,)),
    "where between constants": (mixed(lambda x: torch.where(x > 0, x.new_ones(()), x.new_zeros(())) + x), (4,)),
    "constants like x": (
        mixed(lambda x: torch.where(x > 0, torch.full_like(x, 2.0), x.new_zeros(x.shape[0], 4))), (4,),
    ),
    "threshold": (mixed(lambda x: F.threshold(x, 0.1, 0.1) + F.threshold(x, 0.2, -1.0)), (4,)),
    "shrinks": (mixed(lambda x: F.softshrink(x, 0.2) + F.hardshrink(x, 0.3)), (4,)),
    "least": (mixed(lambda x: x.amin(1, keepdim=True) + x.min(1, keepdim=True).values), (4,)),
    "largest of lines": (lambda: nn.MaxPool1d(3, 2, 1), (2, 5)),
    "largest of spaces": (lambda: nn.MaxPool3d(2, 1, 1, dilation=(1, 1, 2)), (1, 2, 3, 3)),
    "largest of windows of several sizes": (lambda: nn.AdaptiveMaxPool2d((3, 2)), PLANE),
    "powers and logarithms of 2": (mixed(lambda x: (x.exp2() + 1).log2() + (x.sigmoid() + 1).log10()), (4,)),
    "x @ x": (mixed(lambda x: x @ x.mT), (3, 4)),
    "bmm": (mixed(lambda x: torch.bmm(x, x.flip(1))), (4, 4)),
    "baddbmm": (mixed(lambda x: torch.baddbmm(x, x, x, beta=0.5, alpha=2)), (4, 4)),
    "matrices that are broadcast": (mixed(lambda x: x @ x.mean(1, keepdim=True)), (2, 4, 4)),
    "einsum": (mixed(lambda x: torch.einsum("bhid,bhjd->bijh", x, x)), (2, 3, 4)),
    "einsum of vectors": (mixed(lambda x: torch.einsum("bi,bj->bij", x, x.exp())), (4,)),
    "attention": (mixed(lambda x: F.scaled_dot_product_attention(x, 2 * x, x.flip(1))), (2, 3, 4)),
    "attention with a mask": (
        lambda: W(lambda s, x: F.scaled_dot_product_attention(x, x, x, s.m, scale=0.3), m=nn.Buffer(torch.randn(3, 3))),
        (2, 3, 4),
    ),
}  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", AFFINE)
def test_an_affine_operator_is_exact(name: str) -> None:
    make, shape = AFFINE[name]
    torch.manual_seed(0)
    graph = same(make(), *shape)
    assert all(issubclass(kind, Affine) for kind, _ in operations(graph))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NONLINEAR)
def test_a_nonlinear_operator_is_enclosed(name: str) -> None:
    make, shape = NONLINEAR[name]
    torch.manual_seed(0)
    same(make(), *shape)
