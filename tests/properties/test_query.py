"""What a property asks of a graph: regions that hold the box, and specs whose proof covers every unsafe point."""

import pickle
from fractions import Fraction
from itertools import product

import networkx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from absdomain import Graph, PropertyError, Spec, queries, specify, unsafe, variables
from absdomain.domains import Box, DeepPoly
from absdomain.ops import Dense, ReLU, Sum
from absdomain.properties import Property, Query, normal
from absdomain.properties.decimals import exact as exactly
from absdomain.properties.formula import Formula
from absdomain.properties.polynomial import OUTPUT
from absdomain.properties.rounded import above, below, split
from absdomain.vnnlib import parse_property
from tests.properties.formulas import NETWORK, VARIABLES, at, boxed, formulas, inside, points

DTYPES = (torch.float32, torch.float64)


def network(dtype: torch.dtype = torch.float32, seed: int = 0) -> Graph:
    """2 -> 4 -> 3, the nodes being x, hidden, relu and y."""
    draw = torch.Generator().manual_seed(seed)
    digraph: networkx.DiGraph[str] = networkx.DiGraph()
    digraph.add_node("x", shape=(2,))
    for name, inputs, outputs in (("hidden", 2, 4), ("y", 4, 3)):
        weight, bias = (
            torch.randn(shape, generator=draw, dtype=dtype) for shape in ((1, outputs, inputs), (1, outputs))
        )
        digraph.add_node(name, op=Dense(weight, bias))
    digraph.add_node("relu", op=ReLU())
    digraph.add_edges_from([("x", "hidden"), ("hidden", "relu"), ("relu", "y")])
    return Graph(digraph)


def identity() -> Graph:
    """X and Y as one vector of five, so that every point is a value."""
    digraph: networkx.DiGraph[str] = networkx.DiGraph()
    digraph.add_node("x", shape=(2,))
    digraph.add_node("y", op=Dense(torch.zeros(1, 3, 2), torch.zeros(1, 3)))
    digraph.add_edge("x", "y")
    return Graph(digraph)


def may_be_unsafe(spec: Spec, values: list[Fraction]) -> bool:
    """Whether some group has no positive row."""
    assert spec.groups is not None
    groups = spec.groups.tolist()
    return any(all(v <= 0 for g, v in zip(groups, values, strict=True) if g == name) for name in set(groups))


@pytest.mark.parametrize("dtype", DTYPES)
@given(formula=formulas(degree=2), point=points)
def test_a_spec_covers_every_unsafe_point(dtype: torch.dtype, formula: Formula, point) -> None:  # type: ignore[no-untyped-def]
    """Of what is asked of the flat value, computed exactly here, and not by a network: every unsafe point breaks it."""
    stated = Property((NETWORK,), boxed(formula))
    found = queries(stated, identity(), dtype)
    if not normal(stated).shared and stated.holds(at(point)):
        x = torch.tensor([float(point[v]) for v in VARIABLES[:2]], dtype=dtype)
        covered = False
        for query in found:
            z = _entries(query, point)
            for b, values in enumerate(value_exactly(query, z)):
                box = query.region.box()
                held = all(
                    Fraction(float(low)) <= point[v] <= Fraction(float(high))
                    for v, low, high in zip(VARIABLES[:2], box.lower[b], box.upper[b], strict=True)
                )
                covered |= held and may_be_unsafe(query.spec, values)
        assert covered, x


@pytest.mark.parametrize("dtype", DTYPES)
@given(formula=formulas(degree=2), point=points, other=points)
def test_rows_are_multiples_of_terms(dtype: torch.dtype, formula: Formula, point, other) -> None:  # type: ignore[no-untyped-def]
    """C z + d <= factor * term <= C z + d + the rounding of d, exactly, where the factor is from 1 to 2."""
    for query in queries(Property((NETWORK,), boxed(formula)), identity(), dtype):
        if query.layout.positions["X"] != (0, 1):  # the two inputs are one
            continue
        here, there = (value_exactly(query, _entries(query, z)) for z in (point, other))
        for case, ours, theirs in zip(query.cases, here, there, strict=True):
            rows = [row for conjunction in case.conjunctions for row in conjunction or (None,)]
            for row, value, second in zip(rows, ours, theirs, strict=True):
                if row is None:
                    continue
                term, apart = (row.term.value(z.__getitem__) for z in (point, other))
                if term != apart:
                    factor = (value - second) / (term - apart)
                    assert 1 <= factor < 2
                    rounding = factor * term - value
                    assert 0 <= rounding <= 2 * abs(row.term.offset) * Fraction(torch.finfo(dtype).eps)


def _entries(query: Query, point) -> list[Fraction]:  # type: ignore[no-untyped-def]
    """What the query's graph would compute if the network's value were the point's, exactly."""
    layout = query.layout
    base: dict[int, Fraction] = {}
    for v in VARIABLES:
        if (v.kind == OUTPUT and v.name in layout.starts) or (v.kind != OUTPUT and layout.joint is not None):
            base[layout.column(v)] = point[v]
    first = layout.graph.output.name
    width = layout.graph.output.shape[0]
    entries = {first: [base.get(i, Fraction(0)) for i in range(width)]}
    names = [node.name for node in query.graph.nodes]
    for node in query.graph.nodes[names.index(first) + 1 :]:
        args = [entries[query.graph.nodes[a].name] for a in node.args]
        op = node.op
        match type(op).__name__:
            case "Gather":
                entries[node.name] = [args[0][i] for i in op.index.tolist()]  # type: ignore[union-attr]
            case "Concat":
                entries[node.name] = [entry for some in args for entry in some]
            case "Product":
                entries[node.name] = [a * b for a, b in zip(*args, strict=True)]
            case "Square" | "Pow":
                entries[node.name] = [a ** int(op.exponent) for a in args[0]]  # type: ignore[union-attr]
            case other:
                raise AssertionError(f"{other} behind the network")
    return entries[query.graph.output.name]


def value_exactly(query: Query, entries: list[Fraction]) -> list[list[Fraction]]:
    count = len(query.cases)
    C, d = (t.double().expand(count, *t.shape[1:]).tolist() for t in (query.spec.C, query.spec.d))
    return [
        [
            sum((Fraction(a) * z for a, z in zip(row, entries, strict=True)), Fraction(e))
            for row, e in zip(A, c, strict=True)
        ]
        for A, c in zip(C, d, strict=True)
    ]


NASTY = ("0.1", "1e-30", "123456789.123456789", "0.333333333333333333", "16777217", "-7e-12")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pair", list(product(NASTY, NASTY)))
def test_coefficients_are_exact(dtype: torch.dtype, pair: tuple[str, str]) -> None:
    row = [Fraction(text) for text in pair]
    factor, lists = split(row, dtype)
    assert 1 <= factor < 2
    assert all(torch.tensor(part, dtype=dtype).double().tolist() == part for part in lists)
    assert [sum(map(Fraction, parts)) for parts in zip(*lists, strict=True)] == [factor * a for a in row]


@given(st.fractions(-1000, 1000, max_denominator=10**9), st.sampled_from([*DTYPES, torch.bfloat16]))
def test_ends_are_rounded_outward(number: Fraction, dtype: torch.dtype) -> None:
    low, high = (f([number], dtype) for f in (below, above))
    assert Fraction(low.item()) <= number <= Fraction(high.item())
    assert bool(high == low) == (Fraction(low.item()) == number)
    assert bool((high == low) | (torch.nextafter(low, high) == high))


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


def test_several_networks_are_one_graph() -> None:
    f, g = network(seed=1), network(seed=2)
    (xf, yf), (xg, yg) = variables(f, network="f"), variables(g, network="g")
    apart = unsafe(xf.between(0, 1) & xg.between(-1, 2) & (yf[0] - yg[1] > 1), {"f": f, "g": g})
    (query,) = queries(apart, {"f": f, "g": g})
    points = torch.rand(16, 4)
    rows = query.graph(points) @ query.spec.C[0].T + query.spec.d
    assert torch.allclose(rows[:, 0], 1 - f(points[:, :2])[:, 0] + g(points[:, 2:])[:, 1], atol=1e-5)
    assert query.region.lower.tolist() == [[0, 0, -1, -1]]

    shared = unsafe(xf.between(0, 1) & (xf[0] == xg[0]) & (xf[1] == xg[1]) & (yf[0] - yg[1] > 1), {"f": f, "g": g})
    (query,) = queries(shared, {"f": f, "g": g})
    assert query.region.lower.shape == (1, 2)
    rows = query.graph(points[:, :2]) @ query.spec.C[0].T + query.spec.d
    assert torch.allclose(rows[:, 0], 1 - f(points[:, :2])[:, 0] + g(points[:, :2])[:, 1], atol=1e-5)
    values = query.values(points[0, :2])
    assert torch.equal(values["f_X"], values["g_X"])
    assert torch.allclose(values["g_Y"], g(points[:1, :2])[0], atol=1e-6)
    assert parse_property(shared.text(), {"f": f, "g": g}) == shared


def test_an_equal_network_needs_no_graph_of_its_own() -> None:
    text = """(vnnlib-version <2.0>)
(declare-network f (declare-input A real [1,2]) (declare-output B real [3]))
(declare-network g (equal-to f) (declare-input C real [1,2]) (declare-output D real [3]))
(assert (and (<= A[0,0] 1) (>= A[0,0] 0) (<= A[0,1] 1) (>= A[0,1] 0)))
(assert (and (== A[0,1] C[0,1]) (<= C[0,0] 1) (>= C[0,0] A[0,0])))
(assert (< D[0] B[0]))"""
    graph = network(seed=3)
    (query,) = queries(parse_property(text, graph), graph)
    assert query.region.lower.shape == (1, 3)
    points = torch.rand(16, 3)
    z = query.graph(points) @ query.spec.C[0].T + query.spec.d
    second = torch.stack([points[:, 2], points[:, 1]], 1)
    wanted = torch.stack([graph(second)[:, 0] - graph(points[:, :2])[:, 0], points[:, 0] - points[:, 2]], 1)
    assert torch.allclose(z.sort(1).values, wanted.sort(1).values, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "node", "fragment"),
    [("[1,3]", "relu", "inputs of 3 entries"), ("[2]", "rely", "no node 'rely'; it has relu"), ("[2]", "x", "but is")],
)
def test_declarations_that_are_not_the_graphs(shape: str, node: str, fragment: str) -> None:
    text = f"""(vnnlib-version <2.0>)
(declare-network f (declare-input X real {shape})
  (declare-hidden H real [4] "{node}") (declare-output Y real [3]))"""
    with pytest.raises(PropertyError, match=fragment) as raised:
        parse_property(text, network())
    assert raised.value.line in (2, 3)


def test_version_1_may_leave_outputs_out() -> None:
    text = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
    assert parse_property(text, network()).version == "1.0"
    with pytest.raises(PropertyError, match="outputs of 4 entries"):
        parse_property(text + "".join(f"(declare-const Y_{i} Real)" for i in range(1, 4)), network())


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


def test_a_graph_of_several_inputs_and_outputs() -> None:
    digraph: networkx.DiGraph[str] = networkx.DiGraph()
    digraph.add_node("a", shape=(2,))
    digraph.add_node("b", shape=(2,))
    for name, start in (("u", "a"), ("v", "b")):
        digraph.add_node(name, op=Dense(torch.randn(1, 3, 2), torch.randn(1, 3)))
        digraph.add_edge(start, name)
    digraph.add_node("s", op=Sum((1,), keepdim=True))
    digraph.add_edge("u", "s")
    graph = Graph(digraph, ["s", "v"])
    text = """(vnnlib-version <2.0>)
(declare-network f (declare-input A real [2]) (declare-input B real [1,2]) (declare-hidden U real [3] "u")
  (declare-output S real [1,1]) (declare-output V real [3]))
(assert (and (<= A[0] 1) (>= A[0] 0) (<= A[1] 1) (>= A[1] 0) (<= B[0,0] 3) (>= B[0,0] 2) (<= B[0,1] 3) (>= B[0,1] 2)))
(assert (<= (+ S[0,0] (* 2 V[2]) (* -1 U[1])) B[0,1]))"""
    (query,) = queries(parse_property(text, graph), graph)
    assert query.region.upper.tolist() == [[1, 1, 3, 3]]
    points = torch.rand(8, 4)
    values = query.values(points[0])
    z = query.graph(points) @ query.spec.C[0].T + query.spec.d
    outputs, u = graph.named(graph(points[:1])), graph.ending_at(["u"])(points[:1])
    for name, wanted in (("S", outputs["s"]), ("V", outputs["v"]), ("U", u), ("B", points[:1, 2:])):
        assert torch.allclose(values[name], wanted.flatten(), atol=1e-6), name
    wanted = values["S"][0] + 2 * values["V"][2] - values["U"][1] - values["B"][1]
    assert torch.allclose(z[0, 0], wanted, atol=1e-5)
    assert torch.allclose(values["S"][0], values["U"].sum(), atol=1e-5)
