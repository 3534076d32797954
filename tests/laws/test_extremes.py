"""Regions and boxes of numbers at the ends of the floats: subnormal, equal but for rounding, huge and infinite."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from absdomain import L1, L2, Graph, Interval, Linf, Node, parse
from absdomain.ops import Dense, LeakyReLU, ReLU, Sigmoid, Tanh
from absdomain.region import Region

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
SOUND = (
    "box", "deeppoly", "deeppoly(slopes=parallel)", "zonotope", "zonotope(symbols=2)", "dual", "box & deeppoly",
    "deeppoly & zonotope", "box & deeppoly & zonotope & dual", "deeppoly.guided(by=box)",
    "mix(deeppoly, box, weight=0.3)",
    "deeppoly(search=ascent(steps=3))",
)  # fmt: skip


def network(seed: int, dtype: torch.dtype, width: int = 6) -> Graph:
    """Dense, ReLU, Dense, LeakyReLU or sigmoid, Dense, with outputs of both signs."""
    generator = torch.Generator().manual_seed(seed)

    def dense(n: int, m: int) -> Dense:
        w, b = (torch.randn(*size, generator=generator, dtype=torch.float64) for size in ((m, n), (m,)))
        return Dense((w / n**0.5).to(dtype), b.to(dtype))

    middle = (LeakyReLU(0.1), Sigmoid(), Tanh(), ReLU())[seed % 4]
    chain = [dense(4, width), ReLU(), dense(width, width), middle, dense(width, 3)]
    nodes = [Node("x", None, (), (4,))]
    for place, op in enumerate(chain):
        nodes.append(Node(f"n{place}", op, (place,), op.shape(nodes[-1].shape)))
    return Graph.of(nodes)


@pytest.mark.sampled(5)
@DTYPES
@pytest.mark.parametrize("text", SOUND)
def test_bounds_are_ordered_however_small_the_region(text: str, dtype: torch.dtype) -> None:
    """Asked together, apart, in either order, and at every node on the way."""
    for seed in range(2):
        graph = network(seed, dtype)
        x = torch.randn(3, 4, dtype=dtype, generator=torch.Generator().manual_seed(seed))
        for eps in (0.0, 1e-300, 1e-9, 1e-6):
            for region in (Linf(x, eps), L2(x, eps)):
                trace, again = (parse(text).propagate(graph, region, keep=True) for _ in range(2))
                upper = again.upper
                assert bool((trace.lower <= trace.upper).all())
                assert bool((again.lower <= upper).all())
                for node in graph.nodes:
                    box = trace.at(node.name)
                    Interval(box.lower, box.upper)


@DTYPES
@pytest.mark.parametrize("text", SOUND)
def test_a_box_of_the_smallest_numbers_loses_none(text: str, dtype: torch.dtype) -> None:
    t = torch.nextafter(torch.zeros(1, dtype=dtype), torch.ones(1, dtype=dtype)).item()
    lower = torch.tensor([[t, -2 * t, 0.0, 3 * t]], dtype=dtype)
    upper = torch.tensor([[2 * t, -t, t, 6 * t]], dtype=dtype)
    graph = Graph.of([Node("x", None, (), (4,)), Node("y", Dense(torch.eye(4, dtype=dtype)), (0,), (4,)),
                   Node("z", ReLU(), (1,), (4,))])  # fmt: skip
    trace = parse(text).propagate(graph, Interval(lower, upper))
    assert bool((trace.lower <= lower.relu()).all())
    assert bool((trace.upper >= upper.relu()).all())


@DTYPES
@pytest.mark.parametrize("kind", [L1, L2])
def test_a_small_ball_keeps_its_radius(kind: Callable[[Tensor, float], Region], dtype: torch.dtype) -> None:
    """Squares of its coefficients are too small for floats."""
    eps = 1e-200 if dtype == torch.float64 else 1e-30
    graph = Graph.of([Node("x", None, (), (4,)), Node("y", Dense(torch.ones(1, 4, dtype=dtype)), (0,), (1,))])
    reach = eps * (2 if kind is L2 else 1)
    for text in SOUND:
        trace = parse(text).propagate(graph, kind(torch.zeros(1, 4, dtype=dtype), eps))
        assert trace.upper.item() >= 0.999 * reach, text
        assert trace.lower.item() <= -0.999 * reach, text


@pytest.mark.parametrize(("make", "where"), [
    (lambda x: Interval(x, x + torch.tensor([0.0, math.inf])), r"\[0, inf\]"),
    (lambda x: Interval(x - math.inf, x), r"\[-inf, 0\]"),
    (lambda x: Linf(x, torch.tensor([0.0, math.inf])), r"\[-inf, inf\]"),
    (lambda x: L2(x, math.inf), r"\[-inf, inf\]"),
    (lambda x: L1(x, math.inf), r"\[-inf, inf\]"),
])  # fmt: skip
def test_an_infinite_end_is_refused_with_its_place(make: Callable[[Tensor], Region], where: str) -> None:
    with pytest.raises(ValueError, match=rf"is infinite at index \[0, \d\]: {where}; give finite ends"):
        make(torch.zeros(1, 2))
