"""Sorted entries: their intervals are those of the order, and what is read of an order lowers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from absdomain import Interval, UnsupportedOp, to_graph
from absdomain.domains import Box
from tests.written import Written, same


def mixed(f: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Written(lambda s, x: f(s.layer(x)), layer=nn.Linear(5, 5))


ORDERS: dict[str, Callable[[], nn.Module]] = {
    "sorted": mixed(lambda x: x.sort().values - x.sort(1, descending=True)[0]),
    "pairs": mixed(lambda x: x[:, :4].view(-1, 2, 2).sort(2).values.sort(1)[0].flatten(1)),
    "the largest and the least": mixed(lambda x: x.topk(2).values + x.topk(2, largest=False)[0]),
    "one of an order": mixed(lambda x: x.kthvalue(2, keepdim=True).values - x.median(1, keepdim=True)[0]),
    "so far": mixed(lambda x: x.cummax(1).values - x.cummin(-1)[0]),
    "both ends": mixed(lambda x: torch.stack(x.aminmax(dim=1), 1)),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ORDERS)
def test_what_is_read_of_an_order_is_enclosed(name: str) -> None:
    torch.manual_seed(0)
    same(ORDERS[name](), 5)


def test_intervals_of_an_order_are_exact() -> None:
    torch.manual_seed(0)
    graph = to_graph(Written(lambda s, x: x.sort(1).values), torch.rand(2, 6, dtype=torch.float64))
    low, high = torch.rand(2, 3, 6, dtype=torch.float64).sort(0).values
    trace = Box().propagate(graph, Interval(low, high))
    torch.testing.assert_close(trace.lower, low.sort(1).values)
    torch.testing.assert_close(trace.upper, high.sort(1).values)


@pytest.mark.parametrize(("forward", "message"), [
    (lambda s, x: x.sort(0).values, "over the batch"),
    (lambda s, x: x.repeat(1, 20).sort(1).values, "orders 80 entries"),
])  # fmt: skip
def test_what_is_not_ordered_is_refused(forward: Callable[..., Tensor], message: str) -> None:
    with pytest.raises(UnsupportedOp, match=message):
        to_graph(Written(forward), torch.rand(2, 4))
