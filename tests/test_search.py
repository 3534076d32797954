"""alpha-CROWN: slopes that are searched for, and tables of slopes that were found."""

from typing import Any

import pytest
import torch

from absdomain import Graph, Node, margins, parse, slopes
from absdomain.domains import DeepPoly
from absdomain.kinds import Nonlinear, Slopes
from absdomain.laws import check_domain
from absdomain.ops import Dense, ReLU
from absdomain.search import Optimised, Table
from tests.test_oracles import BALL_1, EXAMPLE_1, LABEL
from tests.test_orderings import assert_inside, bounds, relu_problem, room

SEARCHED = (
    "deeppoly(slopes=optimised(steps=3))",
    "deeppoly(slopes=optimised(steps=2, intermediate=True, start=zero))",
    "deeppoly(slopes=optimised(steps=3)).guided(by=box)",
    "box & deeppoly(slopes=optimised(steps=3))",
)


@pytest.mark.parametrize("text", SEARCHED)
def test_searched_slopes_keep_every_law(text: str) -> None:
    """They are constants where bounds are differentiated, which is the one law that is not asked of them."""
    check_domain(parse(text), examples=15)


def test_example_1_reaches_the_optimum_of_the_triangle() -> None:
    """Adaptive slopes give -0.1; the best, 3/4 for both neurons, 0.15."""
    lower = parse("alpha-crown").propagate(EXAMPLE_1, BALL_1, margins(LABEL, 2)).lower
    assert lower.item() == pytest.approx(0.15, abs=1e-6)


@pytest.mark.parametrize("start", ["adaptive", "zero", "one", "parallel"])
def test_the_search_is_never_looser_than_its_start(start: str) -> None:
    for seed in range(20):
        problem = relu_problem(seed)
        searched = bounds(f"deeppoly(slopes=optimised(steps=4, start={start}))", problem)
        assert_inside(searched, bounds(f"deeppoly(slopes={start})", problem), room(problem))


def test_the_search_improves_most_bounds_that_are_not_exact() -> None:
    better = []
    for seed in range(20):
        problem = relu_problem(seed)
        plain, searched = (bounds(text, problem) for text in ("deeppoly", "deeppoly(slopes=optimised)"))
        better.append((searched.width < 0.999 * plain.width)[plain.width > 0])
    assert float(torch.cat(better).double().mean()) > 0.2


@pytest.mark.parametrize("text", ["optimised(steps=5)", "optimised(steps=3, intermediate=True)"])
def test_a_table_gives_the_same_bounds_again(text: str) -> None:
    for seed in range(8):
        problem = relu_problem(seed)
        trace = parse(f"deeppoly(slopes={text})").propagate(problem.graph, problem.region)
        again = DeepPoly(slopes=_table(trace)).propagate(problem.graph, problem.region)
        assert torch.equal(again.lower, trace.lower)
        assert torch.equal(again.upper, trace.upper)


def test_a_table_of_another_graph_is_refused() -> None:
    table = _table(parse("alpha-crown").propagate(EXAMPLE_1, BALL_1, margins(LABEL, 2)))
    with pytest.raises(ValueError, match="another graph, batch or spec"):
        _ = DeepPoly(slopes=table).propagate(EXAMPLE_1, BALL_1).lower


def test_a_table_of_intermediate_slopes_needs_an_op_for_each_place() -> None:
    relu = ReLU()
    w = torch.eye(2, dtype=torch.float64)
    graph = Graph([Node("x", None, (), (2,))]).then(Dense(w)).then(relu).then(Dense(w - 1)).then(relu).then(Dense(w))
    trace = parse("deeppoly(slopes=optimised(steps=2, intermediate=True))").propagate(graph, BALL_1)
    with pytest.raises(ValueError, match="stands in two places"):
        _table(trace)


def test_bounds_have_the_gradients_of_the_slopes_found() -> None:
    """The gradient to the weights is that of the table's bounds, whose slopes are constants."""
    problem = relu_problem(3)
    w = torch.randn(3, problem.graph.output.shape[-1], dtype=torch.float64, requires_grad=True)
    graph = problem.graph.then(Dense(w))
    searched = parse("deeppoly(slopes=optimised(steps=3))").propagate(graph, problem.region)
    table = DeepPoly(slopes=_table(searched)).propagate(graph, problem.region)
    gradients = [torch.autograd.grad(trace.lower.sum(), w)[0] for trace in (searched, table)]
    assert bool((gradients[0] != 0).any())
    assert torch.equal(*gradients)


def test_the_search_runs_where_gradients_are_off() -> None:
    problem = relu_problem(5)
    with torch.no_grad():
        off = bounds("alpha-crown", problem)
    assert torch.equal(off.lower, bounds("alpha-crown", problem).lower)
    assert not off.lower.requires_grad


def test_a_search_needs_a_step() -> None:
    with pytest.raises(ValueError, match="steps is 0"):
        Optimised(steps=0)


@pytest.mark.parametrize("text", [
    "deeppoly(slopes=optimised())", "deeppoly(slopes=optimised(steps=7, rate=0.1, intermediate=True))",
    "deeppoly(slopes=optimised(start=parallel))", "box & deeppoly(slopes=optimised(decay=0.5)).guided(by=box)",
])  # fmt: skip
def test_the_text_form_is_read_back(text: str) -> None:
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


def test_a_plain_function_is_no_policy_until_it_is_fixed() -> None:
    def half(op: Nonlinear, boxes: tuple[Any, ...]) -> tuple[Slopes, Slopes]:
        return tuple(torch.full_like(b.lower, 0.5) for b in boxes), op.chord(boxes)

    with pytest.raises(TypeError, match="no policy"):
        DeepPoly(slopes=half)  # type: ignore[arg-type]
    fixed = DeepPoly(slopes=slopes.Fixed(half))
    assert fixed.propagate(EXAMPLE_1, BALL_1, margins(LABEL, 2)).lower.item() == pytest.approx(2.4 + 0.5 - 3)
    assert str(fixed) == "deeppoly(slopes=half)"


def _table(trace: Any) -> Table:
    table: Table = trace.domain.slopes.table(trace.output)
    return table
