"""Entries put at constant places lower to affine ops: over what is there, added to it, and windows of columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from absdomain import UnsupportedOp, to_graph
from absdomain.kinds import Affine
from tests.written import Written, operations, parameter, same

Shape = tuple[int, ...]
PLANE: Shape = (2, 4, 3)


def plain(f: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Written(lambda s, x: f(x))


def assigned(change: Callable[[Tensor], Any]) -> Callable[[], nn.Module]:
    """A copy of x that is changed in place."""

    def forward(s: Any, x: Tensor) -> Tensor:
        y = x.clone()
        change(y)
        return y

    return lambda: Written(forward)


def at(*places: int) -> nn.Buffer:
    return nn.Buffer(torch.tensor(places))


FIRST, ROWS = (slice(None), 1), (slice(None), slice(None), slice(0, 4, 2))
MOVES: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "a slice": (plain(lambda x: x.slice_scatter(2 * x[:, :, 1:3], 2, 1, 3)), PLANE),
    "assigned to an entry": (assigned(lambda y: y.__setitem__(FIRST, 2 * y[:, 0])), PLANE),
    "assigned at a step": (assigned(lambda y: y.__setitem__(ROWS, 3 * y[:, :, 1::2])), PLANE),
    "assigned by a list": (assigned(lambda y: y.__setitem__((slice(None), [1]), 0.5)), PLANE),
    "a diagonal": (plain(lambda x: x.diagonal_scatter(2 * x.diagonal(0, 2, 3), 0, 2, 3)), PLANE),
    "copied by index": (lambda: Written(lambda s, x: x.index_copy(2, s.i, 2 * x[:, :, :2]), i=at(3, 0)), PLANE),
    "filled by index": (lambda: Written(lambda s, x: x.index_fill(2, s.i, 2.0), i=at(3, 0, 3)), PLANE),
    "added by index": (lambda: Written(lambda s, x: x.index_add(2, s.i, x[:, :, :3], alpha=2), i=at(1, 0, 1)), PLANE),
    "taken from another": (assigned(lambda y: y.copy_(2 * y.flip(1))), PLANE),
    "written into memory": (
        plain(lambda x: torch.empty_like(x).copy_(x) + torch.empty(x.shape[0], 2, 4, 3, dtype=x.dtype).copy_(2 * x)
              + x.new_empty(x.shape).copy_(x.flip(1))), PLANE,
    ),
    "numbers in memory": (
        plain(lambda x: 2 * x + torch.empty(3).fill_(2.0) * torch.empty_like(x).fill_(3.0)
              - torch.empty_like(x).zero_() + x.new_empty(3).copy_(torch.tensor([1.0, 2.0, 3.0]))), PLANE,
    ),
    "columns of windows": (lambda: nn.Unfold((2, 2), dilation=(2, 1), padding=1, stride=(1, 2)), PLANE),
    "windows of columns": (lambda: nn.Fold((4, 5), (2, 2), stride=(1, 2), padding=(0, 1)), (4, 9)),
    "folds of a line": (plain(lambda x: x.unfold(2, 2, 1)), PLANE),
    "a short tile": (plain(lambda x: x.tile(2)), PLANE),
    "lerp": (plain(lambda x: torch.lerp(x, x.flip(1), 0.3)), PLANE),
    "lerp to a constant": (
        lambda: Written(lambda s, x: torch.lerp(x, s.c, s.w) - torch.lerp(s.c, x, s.w), c=parameter(3), w=parameter(3)),
        PLANE,
    ),
    "addcmul and addcdiv": (
        lambda: Written(lambda s, x: torch.addcmul(x, s.c, x.flip(1), value=0.5).addcdiv(x, s.c, value=2)
                        .addcmul(s.c, s.c).addcdiv(s.c, s.c), c=parameter(3)), PLANE,
    ),
    "addmm": (
        lambda: Written(lambda s, x: torch.addmm(s.b, x, s.w, beta=2, alpha=3) + torch.addmm(x, x, s.v),
                        b=parameter(4), w=parameter(4, 4), v=parameter(4, 4)), (4,),
    ),
    "scattered by a sum": (
        lambda: Written(
            lambda s, x: x.scatter_reduce(1, s.at.expand(x.shape[0], 3), x[:, 1:], "sum"), at=at(2, 0, 2)
        ), (4,),
    ),
    "reduced, scattered": (plain(lambda x: x.diff(dim=2).fliplr()), PLANE),
    **{
        f"padded by {mode} along {n}": (plain(lambda x, mode=mode, n=n: F.pad(x, (1, 2, 1, 1, 1, 0)[: 2 * n], mode)),
                                        (2, *(3,) * n))
        for mode in ("reflect", "replicate", "circular") for n in (1, 2, 3)
    },
}  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", MOVES)
def test_what_is_put_at_a_place_is_affine(name: str) -> None:
    make, shape = MOVES[name]
    torch.manual_seed(0)
    graph = same(make(), *shape)
    assert all(issubclass(kind, Affine) for kind, _ in operations(graph))


def test_a_product_of_two_sides_is_enclosed() -> None:
    torch.manual_seed(0)
    bilinear = nn.Bilinear(4, 4, 2)
    same(Written(lambda s, x: s.b(x, x.flip(1)), b=bilinear), 4)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("forward", "message"), [
    (lambda s, x: x.scatter_reduce(1, torch.zeros(2, 1, dtype=torch.long), x[:, :1], "amax"), "reduces by 'amax'"),
    (lambda s, x: x.index_copy(1, torch.tensor([0, 0]), x[:, :2]), "writes two entries to one place"),
    (lambda s, x: x.index_fill(0, torch.tensor([0]), 1.0), "between samples"),
])  # fmt: skip
def test_what_is_no_place_of_a_sample_is_refused(forward: Callable[..., Tensor], message: str) -> None:
    with pytest.raises(UnsupportedOp, match=message):
        to_graph(Written(forward), torch.randn(2, 4))
