"""What a property asks of a graph: regions that hold the box, and specs whose proof covers every unsafe point."""

import pickle
from fractions import Fraction

import pytest
import torch

from absdomain import PropertyError, queries, specify, unsafe, variables
from absdomain.domains import Box, DeepPoly
from absdomain.properties.decimals import exact as exactly
from absdomain.vnnlib import parse_property
from tests.properties.formulas import VARIABLES, inside
from tests.properties.networks import DTYPES, network


def test_beyond_the_range_is_an_error() -> None:
    text = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(assert (and (<= X_0 {0}) (>= X_0 0) (<= X_1 1) (>= X_1 0) (<= Y_0 {1})))"  # noqa: E501
    graph = network()
    with pytest.raises(PropertyError, match="beyond the range") as raised:
        queries(parse_property(text.format("1e39", "0"), graph), graph)
    assert (raised.value.line, raised.value.column) == (1, 16)
    with pytest.raises(PropertyError, match="beyond the range"):
        queries(parse_property(text.format("1", "1e39"), graph), graph)
    assert queries(parse_property(text.format("1", "1e-60"), graph), graph)[0].spec.d[0, 0] <= 0


def test_products_hidden_nodes_and_inputs_are_entries() -> None:
    graph = network(torch.float64)
    x, y, h = variables(graph, hidden=["relu"])
    terms = [(y[0] * y[1] * y[1] + x[0] * h[2], 0.3), (y[2] ** 3 - 2 * x[1] * x[1], -0.2), (3 * x[0] + h[0], 0.25)]
    formula = x.between(-1, 1)
    for term, c in terms:
        formula &= term <= c
    (query,) = queries(unsafe(formula, graph, hidden=["relu"]), graph)
    points = torch.rand(64, 2, dtype=torch.float64) * 2 - 1
    rows = torch.einsum("kn,bn->bk", query.spec.C[0], query.graph(points)) + query.spec.d
    Y, H = graph(points), graph.ending_at(["relu"])(points)
    first = Y[:, 0] * Y[:, 1] ** 2 + points[:, 0] * H[:, 2] - 0.3
    second = Y[:, 2] ** 3 - 2 * points[:, 1] ** 2 + 0.2
    wanted = torch.stack([first, second, 3 * points[:, 0] + H[:, 0] - 0.25], 1)
    for column in wanted.T:
        apart = (rows / column.unsqueeze(1)).std(0)  # one row is a positive multiple of it
        assert apart.min() < 1e-6
    domain = Box() & DeepPoly()
    lower = domain.propagate(query.graph, query.region, query.spec).lower
    assert bool((lower <= rows.min(0).values + 1e-9).all())
    for point in points:
        direct = bool((wanted[(points == point).all(1)][0] <= 0).all())
        assert query.unsafe(point) == direct


def test_boxes_of_one_shape_are_one_batch() -> None:
    graph = network()
    x, y = variables(graph)
    boxes = (x.between(0, 0.1)) | (x.between(0.2, 0.3)) | (x.between(-1, -0.9))
    (query,) = queries(unsafe(boxes & ((y[0] <= y[1]) | (y[2] <= 0)), graph), graph)
    assert query.region.lower.shape == (3, 2)
    assert query.spec.C.shape == (1, 2, 3)
    assert query.graph is graph
    lower = (Box() & DeepPoly()).propagate(query.graph, query.region, query.spec).lower
    assert lower.shape == (3, 2)
    mixed = (x.between(0, 0.1) & (y[0] <= 0)) | (x.between(0.2, 0.3) & (y[1] <= 0)) | (x.between(1, 2) & (y[1] == 0))
    found = queries(unsafe(mixed, graph), graph)
    assert sorted((len(q.cases), tuple(q.spec.C.shape)) for q in found) == [(1, (1, 2, 3)), (2, (2, 1, 3))]


def test_an_unsafe_set_without_rows_is_unsafe_everywhere() -> None:
    graph = network()
    x, _ = variables(graph)
    (query,) = queries(unsafe(x.between(0, 1), graph), graph)
    assert query.unsafe(torch.tensor([0.5, 0.5]))
    lower = Box().propagate(query.graph, query.region, query.spec).lower
    assert not bool(query.spec.holds(lower))


def test_an_empty_unsafe_set_asks_nothing() -> None:
    graph = network()
    x, y = variables(graph)
    assert queries(unsafe(x.between(1, 0) & (y[0] <= 0), graph), graph) == []


def test_values_are_there_of_what_empty_cases_speak() -> None:
    graph = network()
    x, y, h = variables(graph, hidden=["relu"])
    formula = x.between(0, 1) & ((x[0] >= 3) & (h[0] <= 0) | (y[0] <= 100))
    (query,) = queries(unsafe(formula, graph, hidden=["relu"]), graph)
    assert query.unsafe(torch.tensor([0.5, 0.5]))


def test_unsafe_is_as_written() -> None:
    graph = network()
    x, y = variables(graph)
    (query,) = queries(unsafe(x.between(0, 0.1) & (y[0] > 1), graph), graph)
    with pytest.raises(ValueError, match="round the point"):
        query.unsafe(torch.zeros(2, dtype=torch.float64))
    for given_x, given_y, wanted in [
        (0.0, 1.0, False),
        (0.0, 1.0000001, True),
        (-1e-40, 2.0, False),
        (0.1, 2.0, False),
        (0.099, float("nan"), False),
    ]:
        point = torch.tensor([given_x, 0.0])
        assert query.unsafe(point, {"Y": [given_y, 0.0, 0.0]}) == wanted, (given_x, given_y)
    assert query.region.upper[0, 0] >= 0.1  # outward: 0.1 is no float, and the float above it is outside of the set


@pytest.mark.parametrize("dtype", DTYPES)
def test_inner_ends_are_in_the_box_as_written(dtype: torch.dtype) -> None:
    graph = network(dtype)
    x, y = variables(graph)
    box = (x[0] > 0.5) & (x[0] < 0.75) & (x[1] >= 0.1) & (x[1] <= 0.3)
    narrow = (x[0] >= 1) & (x[0] <= 1) & (x[1] >= 0.1) & (x[1] <= 0.1)
    (query,) = queries(unsafe((box | narrow) & (y[0] - y[0] <= 0), graph), graph)
    low, high = query.inner()
    for b, case in enumerate(query.cases):
        for v, least, most, outer in zip(VARIABLES, low[b], high[b], query.region.lower[b], strict=False):
            ends = case.box.of(v)
            if least <= most:
                assert inside(ends, exactly(least)[0]) and inside(ends, exactly(most)[0])
                assert not inside(ends, exactly(least.nextafter(-torch.ones_like(least)))[0])
                assert not inside(ends, exactly(most.nextafter(2 * torch.ones_like(most)))[0])
            else:
                assert ends.lower is not None and ends.lower.value == Fraction(1, 10)  # 0.1 is no float
            assert outer <= least


def test_ends_as_programs_in_float32_read_them() -> None:
    graph = network(torch.float64)
    x, y = variables(graph)
    held = unsafe((x[0] == 0.1) & (x[1] >= 0.3) & (x[1] < 0.3) & (y[0] <= 100), graph)
    assert queries(held, graph) == []
    held = unsafe((x[0] == 0.1) & (x[1] >= 0.3) & (x[1] <= 0.30000001) & (y[0] <= 100), graph)
    read = held.in_floats(torch.float32)
    point = torch.tensor([0.1, 0.3], dtype=torch.float32)
    assert not held.holds({"X": point, "Y": [0.0] * 3})
    assert read.holds({"X": point, "Y": [0.0] * 3})
    (exactly_there,), (wider,) = queries(held, graph), queries(held, graph, boxes=torch.float32)
    for query, covers in ((exactly_there, False), (wider, True)):
        box = query.region.box()
        assert bool(((box.lower <= point) & (point <= box.upper)).all()) == covers
    low, high = exactly_there.inner(torch.float32)
    assert not bool((low <= high).all())
    (query,) = queries(read, graph)
    low, high = query.inner(torch.float32)
    assert torch.equal(low[0], point) and torch.equal(high[0], point)
    with pytest.raises(ValueError, match="does not hold"):
        queries(held, graph, torch.float32, boxes=torch.float64)


def test_specify_is_for_any_region() -> None:
    graph = network(torch.float64)
    x, y = variables(graph)
    asked, spec = specify((y[0] - y[1] > 0.1) | (y[2] * y[2] < 4) & (x[0] > 0), graph)
    points = torch.rand(200, 2, dtype=torch.float64) * 4 - 2
    rows = torch.einsum("kn,bn->bk", spec.C[0], asked(points)) + spec.d
    Y = graph(points)
    holds = (Y[:, 0] - Y[:, 1] > 0.1) | ((Y[:, 2] ** 2 < 4) & (points[:, 0] > 0))
    assert torch.equal(spec.holds(rows), holds)
    linear, spec = specify(y[0] > y[1], graph)
    assert linear is graph
    for nothing in (y[0] - y[0] <= 0, y[0] - y[0] < 0):
        with pytest.raises(PropertyError, match="whatever the network is"):
            specify(nothing, graph)


def test_queries_pickle() -> None:
    graph = network()
    x, y = variables(graph)
    (query,) = queries(unsafe(x.between(0, 1) & (y[0] * y[1] <= 0), graph), graph)
    again = pickle.loads(pickle.dumps(query))
    assert repr(again) == repr(query)
    assert torch.equal(again.spec.C, query.spec.C)
    assert again.unsafe(torch.tensor([0.5, 0.5])) == query.unsafe(torch.tensor([0.5, 0.5]))
