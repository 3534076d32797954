"""Back-substitution apart from any domain: constants of either sign, deep graphs, and parts of a larger region."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from absdomain import Graph, Linf, Node, Rows, parse
from absdomain.ops import Conv, ReLU, Scale
from absdomain.relations import backward
from absdomain.relations.backward import Constant, Relation
from tests.references import tensor

Sides = tuple[tuple[Rows, ...], Constant, Constant]


def never(rows: Rows) -> tuple[tuple[Rows, ...], Constant]:
    raise AssertionError("the share serves both signs")


def between(low: float, high: float, arg: Relation) -> Relation:
    """y in [x + low, x + high], whose share leaves out an end that is zero."""

    def least(c: Tensor, low: float, high: float) -> Tensor:
        return (c.relu() * low - (-c).relu() * high).flatten(2).sum(-1)

    def share(rows: Rows) -> Sides:
        ends = least(rows.data, low, high), least(-rows.data, low, high)
        mine, its = (end if bool(end.any()) else None for end in ends)
        return (rows,), mine, its

    return backward.relaxed((arg,), arg.shape, lambda rows: ((rows,), least(rows.data, low, high)), share)


@pytest.mark.parametrize(("low", "high"), [(0.0, 5.0), (-5.0, 0.0), (-1.0, 5.0), (0.0, 0.0)])
@pytest.mark.parametrize("count", [1, 3])
def test_a_constant_of_one_sign_alone_is_kept(low: float, high: float, count: int) -> None:
    """Over a relation that tells the signs apart, where the constants of both are joined."""
    source = backward.source(Linf(torch.zeros(2, count, dtype=torch.float64), 1.0))
    signed = backward.relaxed((source,), (count,), lambda rows: ((rows,), None))
    found = backward.bounds(between(low, high, signed))
    assert found.lower.tolist() == [[-1.0 + low] * count] * 2
    assert found.upper.tolist() == [[1.0 + high] * count] * 2
    shared = replace(between(low, high, replace(source, exact=None)), pull=never)  # no relation tells the signs apart
    assert backward.bounds(shared).upper.tolist() == [[1.0 + high] * count] * 2


def test_a_place_whose_channels_would_hold_too_much_is_asked_neuron_by_neuron(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(3, 3, 3, 3, generator=generator).double() for _ in range(2)]
    ops = (Conv(weights[0], padding=(1, 1)), ReLU(), Conv(weights[1], padding=(1, 1)))
    graph = Graph.of([Node("x", None, (), (3, 4, 4)), *(Node(str(i), op, (i,), (3, 4, 4)) for i, op in enumerate(ops))])
    e = parse("deeppoly").propagate(graph, Linf(torch.rand(2, 3, 4, 4, generator=generator).double(), 0.3)).output
    taken: list[int] = []
    minima = backward._minima

    def watched(e: Relation, rows: Rows) -> tuple[Tensor, Tensor, int]:
        taken.append(len(rows.data))
        return minima(e, rows)

    monkeypatch.setattr(backward, "_minima", watched)
    whole = backward.bounds(e)
    assert set(taken) == {3}
    taken.clear()
    monkeypatch.setattr(backward, "_COARSE", 2 * e.widest * 3 - 1)
    single = backward.bounds(e)
    assert set(taken) == {1}
    torch.testing.assert_close(single.lower, whole.lower)
    torch.testing.assert_close(single.upper, whole.upper)


def chain(length: int) -> Graph:
    """x, halved and cut at 0, again and again."""
    nodes = [Node("x", None, (), (2,))]
    for i in range(length):
        nodes.append(Node(f"half_{i}", Scale(tensor(0.99)), (len(nodes) - 1,), (2,)))
        nodes.append(Node(f"relu_{i}", ReLU(), (len(nodes) - 1,), (2,)))
    return Graph.of(nodes)


@pytest.mark.parametrize("text", ["deeppoly", "deeppoly(search=ascent(steps=1))"])
def test_a_graph_may_be_deeper_than_the_interpreters_stack(text: str) -> None:
    """The relaxations are found, and their lines exchanged, without recursion."""
    region = Linf(tensor([[1.0, -1.0]]), 0.5)
    trace = parse(f"{text}.guided(by=box)").propagate(chain(600), region)
    torch.testing.assert_close(trace.lower, tensor([[0.5 * 0.99**600, 0.0]]))
    torch.testing.assert_close(trace.upper, tensor([[1.5 * 0.99**600, 0.0]]))


def test_relaxations_come_after_those_that_they_depend_on() -> None:
    output = parse("deeppoly").propagate(chain(3), Linf(tensor([[0.0, 0.0]]), 1.0)).output
    found = backward.relaxations(output)
    assert [node.depth for node in found] == [2, 4, 6]
    assert found[-1] is output
