"""Attention, with every kind of mask, and the norms and reductions beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from absdomain import UnsupportedOp, to_graph
from tests.written import Written, parameter, same

Forward = Callable[[Any, Tensor], Tensor]
SOME = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1]]) > 0
ATTENTION: dict[str, Forward] = {
    "causal": lambda s, x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "truth values": lambda s, x: F.scaled_dot_product_attention(x, x, x, SOME, scale=0.3),
    "numbers": lambda s, x: F.scaled_dot_product_attention(x, x, x, torch.arange(16.0).view(4, 4).to(x) / 9),
    "minus infinity among numbers": lambda s, x: F.scaled_dot_product_attention(
        x, x, x, torch.where(SOME, 0.5, -torch.inf).to(x)
    ),
    "filled": lambda s, x: (x @ x.mT).masked_fill(~SOME, -torch.inf).softmax(-1) @ x,
    "filled, over the other axis": lambda s, x: (x @ x.mT).masked_fill(~SOME.mT, -torch.inf).softmax(-2).mT @ x,
    "chosen": lambda s, x: torch.where(SOME, x @ x.mT, torch.finfo(x.dtype).min).softmax(-1) @ x,
    "added": lambda s, x: (x @ x.mT + torch.full((4, 4), -torch.inf).triu(1).to(x)).softmax(-1) @ x,
    "queries of its own": lambda s, x: (s.q.expand(x.shape[0], -1, -1, -1).squeeze(1) @ x.flatten(1, 2).mT).softmax(-1),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ATTENTION)
def test_masks(name: str) -> None:
    same(Written(ATTENTION[name], q=parameter(1, 1, 2, 3)), 2, 4, 3)


def test_grouped_queries() -> None:
    same(Written(lambda s, x: F.scaled_dot_product_attention(x, x[:, :2], x[:, :2], enable_gqa=True)), 4, 3, 2)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("weights", [True, False])
def test_multihead_attention(first: bool, weights: bool) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = x if first else x.transpose(0, 1)
        value: Tensor = self.layer(y, y, y, need_weights=weights)[0]
        return value if first else value.transpose(0, 1)

    same(Written(forward, layer=nn.MultiheadAttention(4, 2, batch_first=first)), 3, 4)


def test_an_encoder_layer() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, norm_first=True)
    same(layer, 3, 4)


BESIDE: dict[str, Forward] = {
    "rms norm": lambda s, x: F.rms_norm(x, (4,), s.w, 1e-3),
    "variance": lambda s, x: x.var(-1) + torch.var(x, (1, 2), correction=0).unsqueeze(1),
    "deviation": lambda s, x: (x + 2 * torch.arange(4.0).to(x)).std(1, keepdim=True),
    "variance and mean": lambda s, x: torch.add(*torch.var_mean(x, -1)),
    "logsumexp": lambda s, x: x.logsumexp(1) + x.logsumexp((1, 2)).unsqueeze(1) + x[..., :1].logsumexp(-1).sum(1, True),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", BESIDE)
def test_norms_and_reductions(name: str) -> None:
    same(Written(BESIDE[name], w=parameter(4)), 3, 4)


def test_a_row_of_which_every_score_is_masked_is_refused() -> None:
    mask = torch.ones(4, 4, dtype=torch.bool).tril(-1)
    with pytest.raises(UnsupportedOp, match="every score is masked"):
        to_graph(Written(lambda s, x: F.scaled_dot_product_attention(x, x, x, mask)), torch.randn(2, 2, 4, 3))


def test_minus_infinity_is_for_the_softmax_alone() -> None:
    with pytest.raises(UnsupportedOp, match="minus infinity"):
        to_graph(Written(lambda s, x: x.masked_fill(SOME, -torch.inf).log_softmax(-1)), torch.randn(2, 4, 4))
