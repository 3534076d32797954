"""Slopes that move together: from one of McCormick's planes to the other, of products of numbers and of matrices."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain import Graph, Linf, parse, to_graph
from absdomain.ops import MatMul, Product
from tests.written import Written, parameter

D = 4
PRODUCTS: dict[str, Callable[[Tensor], Tensor]] = {
    "numbers": lambda x: x[:, :D] * x[:, D:],
    "matrices": lambda x: x[:, :D].view(-1, 2, 2) @ x[:, D:].view(-1, 2, 2),
}


def bounds(text: str, graph: Graph, region: Linf) -> tuple[Tensor, Tensor]:
    trace = parse(text).propagate(graph, region)
    return trace.lower, trace.upper


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_mean_of_two_planes_is_found(name: str) -> None:
    """x y on [-1, 1]^2: each plane alone gives [-3, 3], their mean the image [-1, 1]; of matrices, for each k."""
    x = torch.zeros(1, 2 * D, dtype=torch.float64)
    graph = to_graph(Written(lambda s, x: PRODUCTS[name](x)), x)
    of_each = 1 if name == "numbers" else 2
    start, found = (bounds(text, graph, Linf(x, 1.0)) for text in ("deeppoly", "alpha-crown"))
    for sign, before, after in zip((-1, 1), start, found, strict=True):
        assert bool((before == sign * 3 * of_each).all()), before
        assert bool((sign * after >= of_each).all()), after
        assert bool((sign * after < 1.1 * of_each).all()), after


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("start", ["adaptive", "zero", "parallel"])
def test_attention_is_tighter_and_never_looser(start: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    block = Written(
        lambda s, x: F.scaled_dot_product_attention(x @ s.q, x @ s.k, x @ s.v).flatten(1) @ s.out,
        **{name: parameter(6, 6) for name in ("q", "k", "v")}, out=parameter(24, 3),
    ).to(dtype)  # fmt: skip
    x = torch.randn(2, 4, 6, dtype=dtype)
    graph = to_graph(block, x)
    (low, high), (lower, upper) = (
        bounds(text, graph, Linf(x, 0.02))
        for text in (f"deeppoly(slopes={start})", f"deeppoly(slopes={start}, search=ascent)")
    )
    room = 100 * torch.finfo(dtype).eps * (high - low).max()
    assert bool((lower >= low - room).all() and (upper <= high + room).all())
    assert bool(((upper - lower) < 0.98 * (high - low)).all()), (upper - lower) / (high - low)
    points = x + 0.02 * (2 * torch.rand(200, *x.shape, dtype=dtype) - 1)
    with torch.no_grad():
        values = torch.stack([graph(point) for point in points])
    assert bool((values >= lower - room).all() and (values <= upper + room).all())


def test_a_factor_that_is_known_leaves_the_gradient_alone() -> None:
    """(x + 3 x) (y + 2) where y is a point: the product is linear, whatever the slope of the point's own side."""
    x = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    region = Linf(x, torch.tensor([[0.5, 0.0]], dtype=torch.float64))
    graph = to_graph(Written(lambda s, x: x[:, :1] * x[:, 1:]), x)
    for text in ("deeppoly", "alpha-crown"):
        lower, upper = bounds(text, graph, region)
        assert (lower.item(), upper.item()) == pytest.approx((1.0, 3.0), abs=1e-12)


def test_gradients_go_along_the_edge() -> None:
    """Each slope is given what the edge's own number would be, with the sign with which it moves."""
    a, b, c, d = (torch.tensor([[[value]]]) for value in (1.0, 2.0, 3.0, 5.0))
    assert [t.item() for t in Product.ties.along((a, b), (c, d))] == [3.0, 3.0, -2.0, 2.0]
    torch.manual_seed(0)
    x, y = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 5, 6)
    below_x, below_y, above_x, above_y = MatMul.ties.along((x, y), (x, y))
    total = x.sum(-2) + y.sum(-1)
    assert torch.equal(below_x, total[:, :, None].expand_as(x))
    assert torch.equal(below_y, total[..., None].expand_as(y))
    less = x.sum(-2) - y.sum(-1)
    assert torch.equal(above_x, less[:, :, None].expand_as(x))
    assert torch.equal(above_y, -less[..., None].expand_as(y))


def test_ties_need_the_ranges_in_which_slopes_move() -> None:
    class Rangeless(Product):
        def slope_range(self, boxes: object) -> None:
            return None

    graph = to_graph(Written(lambda s, x: x[:, :1] * x[:, 1:]), torch.zeros(1, 2))
    nodes = [n if n.op is None or not isinstance(n.op, Product) else replace(n, op=Rangeless()) for n in graph.nodes]
    with pytest.raises(ValueError, match="`ties` move slopes within `slope_range`, which is None; give both"):
        bounds("alpha-crown", Graph.of(nodes), Linf(torch.zeros(1, 2), 1.0))
