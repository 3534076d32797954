"""A region for each input: all laws of regions, and bounds of a network of several inputs."""

import pickle
from random import Random

import pytest
import torch
from networkx import DiGraph

from absdomain import L1, L2, CartesianProduct, Graph, Interval, Linf, Region, Rows, domains, parse
from absdomain.laws import check_region, drawing
from absdomain.laws.examples import REGIONS
from absdomain.ops import Add, Dense, Permute, ReLU, Reshape, Scale

D64 = torch.float64
W = torch.tensor([[1.0, -1.0], [2.0, 0.5]], dtype=D64)


def product(seed: int, parts: int = 3, batch: int = 2) -> CartesianProduct:
    rng = Random(seed)
    return CartesianProduct(tuple(rng.choice(REGIONS)(rng, batch, drawing.shape(rng)) for _ in range(parts)))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", range(6))
def test_a_product_keeps_the_laws_of_regions(seed: int) -> None:
    check_region(product(seed), seed=seed)


def test_a_diagonal_op_makes_another_product() -> None:
    region = CartesianProduct((L2(torch.randn(2, 2, dtype=D64), 0.5), Linf(torch.randn(2, 2, 2, dtype=D64), 0.3)))
    weight = torch.tensor([-2.0, 0.5, 1.0], dtype=D64)
    wide, turned = Reshape((2, 3)), Permute((0, 2, 1))
    moved: Region = region
    for op in (wide, Scale(weight, weight), turned, Reshape((6,)), Scale(torch.tensor(3.0), None)):
        image = moved.image(op)
        assert isinstance(image, CartesianProduct)
        check_region(image)
        inside = moved.sample(8, torch.Generator().manual_seed(0))
        there = op(inside.flatten(0, 1)).unflatten(0, inside.shape[:2])
        torch.testing.assert_close(image.project(there), there, rtol=0, atol=1e-12)
        moved = image


def test_its_minimum_is_the_sum_of_the_parts() -> None:
    x, y = torch.tensor([[1.0, 2.0]], dtype=D64), torch.tensor([[[0.0], [1.0]]], dtype=D64)
    region = CartesianProduct((L2(x, 0.5), L1(y, 2.0)))
    c = torch.tensor([[[3.0, -4.0, 1.0, -5.0]]], dtype=D64)
    torch.testing.assert_close(region.minimum(Rows.of(c)), torch.tensor([[3 - 8 - 2.5 - 5 - 10.0]], dtype=D64))
    assert region.centre.tolist() == [[1.0, 2.0, 0.0, 1.0]]


def network() -> Graph:
    """relu(W x) + y."""
    net = DiGraph()
    net.add_node("x", shape=(2,))
    net.add_node("y", shape=(2,))
    for name, op, reads in (("z", Dense(W), ["x"]), ("h", ReLU(), ["z"]), ("s", Add(), ["h", "y"])):
        net.add_node(name, op=op)
        for place, source in enumerate(reads):
            net.add_edge(source, name, args=(place,))
    return Graph(net)


@pytest.mark.parametrize(
    ("text", "most"),
    [("box", [2.25, 2.5]), ("zonotope", [2.25, 2.5]), ("deeppoly", [1.9572, 2.2808]), ("lp", [1.9572, 2.2808])],
)
def test_every_domain_bounds_a_network_over_it(text: str, most: list[float]) -> None:
    """Back-substitution reaches the ball and the cross-polytope; an interval of a part is that of its box."""
    graph = network()
    parts = {"x": L2(torch.zeros(1, 2, dtype=D64), 0.5), "y": L1(torch.ones(1, 2, dtype=D64), 0.25)}
    region = CartesianProduct(tuple(parts[name] for name in graph.inputs))
    trace = parse(text).propagate(graph, region)
    found = graph(region.sample(200, torch.Generator().manual_seed(0)).flatten(0, 1))
    assert bool((trace.lower <= found + 1e-9).all() and (found <= trace.upper + 1e-9).all())
    assert bool((trace.upper <= torch.tensor(most, dtype=D64) + 1e-3).all()), "looser than the parts allow"


def test_of_boxes_it_is_the_interval_of_the_joined_ends() -> None:
    graph = network()
    low = {"x": torch.randn(3, 2, dtype=D64), "y": torch.randn(3, 2, dtype=D64)}
    joined = Interval(graph.joined(low), graph.joined(low) + 0.5)
    region = CartesianProduct(tuple(Interval(low[name], low[name] + 0.5) for name in graph.inputs))
    one, other = (domains.DeepPoly().propagate(graph, r) for r in (joined, region))
    torch.testing.assert_close(one.lower, other.lower)


def test_it_pickles_and_is_selected_from() -> None:
    region = product(3, batch=4)
    same = pickle.loads(pickle.dumps(region))
    assert torch.equal(same.box().lower, region.box().lower)
    chosen = region.select(torch.tensor([2, 0]))
    assert torch.equal(chosen.box().upper, region.box().upper[[2, 0]])


def test_parts_of_different_batches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 parts of batches \[1, 2\]"):
        CartesianProduct((Linf(torch.zeros(1, 2), 0.1), Linf(torch.zeros(2, 2), 0.1)))
    with pytest.raises(ValueError, match="0 parts"):
        CartesianProduct(())
