"""Norms, distances, products over axes, and normalisation by them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from absdomain import UnsupportedOp, to_graph
from tests.written import Written, parameter, same

Shape = tuple[int, ...]


def mixed(f: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Written(lambda s, x: f(s.layer(x)), layer=nn.Linear(4, 4))


NORMS: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "2, 1, 3": (mixed(lambda x: x.norm(dim=1, keepdim=True) + x.norm(1, 1, True) - x.norm(3, 1, True)), (4,)),
    "the largest and the least": (
        mixed(lambda x: x.norm(float("inf"), 1, True) - x.norm(-float("inf"), 1, True)), (4,),
    ),
    "over two axes": (mixed(lambda x: torch.linalg.vector_norm(x, 1.5, dim=(1, 2)).unsqueeze(1)), (2, 4)),
    "normalised": (mixed(lambda x: F.normalize(x + 3) + F.normalize(x, 1)), (4,)),
    "cosines": (mixed(lambda x: F.cosine_similarity(x, x.flip(1)).unsqueeze(1)), (4,)),
    "cosines with a constant": (
        lambda: Written(lambda s, x: F.cosine_similarity(x, s.c, -1), c=parameter(2, 4)), (2, 4),
    ),
    "distances of pairs": (mixed(lambda x: F.pairwise_distance(x, 2 * x.flip(1)).unsqueeze(1)), (4,)),
    "distances of rows": (mixed(lambda x: torch.cdist(x, x.flip(1)) + torch.cdist(x, x, p=1.0)), (3, 4)),
    "distances from constants": (
        lambda: Written(lambda s, x: torch.cdist(x, s.c) + torch.cdist(s.c, x).mT, c=parameter(2, 4)), (3, 4),
    ),
    "products": (mixed(lambda x: x.prod(1, keepdim=True) + x.cumprod(1) + x[:, :3].prod(-1, True)), (4,)),
    "instance norm": (lambda: nn.InstanceNorm2d(2, eps=0.1), (2, 4, 3)),
    "instance norm with gains": (lambda: nn.InstanceNorm1d(2, eps=0.1, affine=True), (2, 5)),
    "instance norm by statistics": (lambda: nn.InstanceNorm2d(2, track_running_stats=True), (2, 4, 3)),
}  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NORMS)
def test_a_norm_is_enclosed(name: str) -> None:
    make, shape = NORMS[name]
    torch.manual_seed(0)
    same(make(), *shape)


@pytest.mark.parametrize(("module", "message"), [
    (nn.BatchNorm1d(4, track_running_stats=False), "takes statistics of the batch.*track_running_stats=True"),
    (Written(lambda s, x: x.norm(0, 1)), "counts entries"), (Written(lambda s, x: x.norm(-1, 1)), "of the order -1"),
    (Written(lambda s, x: x.prod(0)), "over the batch"),
])  # fmt: skip
def test_what_is_no_norm_of_a_sample_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedOp, match=message):
        to_graph(module, torch.rand(2, 4))
