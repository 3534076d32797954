"""Rows of a spec against the terms that they stand for, in exact arithmetic."""

from fractions import Fraction

import networkx
import pytest
import torch
from hypothesis import given

from absdomain import Graph, Spec, queries
from absdomain.ops import Dense
from absdomain.properties import Property, Query, normal
from absdomain.properties.formula import Formula
from absdomain.properties.polynomial import OUTPUT
from tests.properties.formulas import NETWORK, VARIABLES, at, boxed, formulas, points
from tests.properties.networks import DTYPES


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
