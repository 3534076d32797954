"""alpha-CROWN: slopes that are searched for, and tables of slopes that were found."""

from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from absdomain import Domain, Graph, Linf, Node, ReferenceSpace, Region, margins, parse
from absdomain.domains import DeepPoly
from absdomain.kinds import Nonlinear, Slopes
from absdomain.laws import activations, check_domain
from absdomain.laws.activations import Maker
from absdomain.laws.derivatives import jittered
from absdomain.laws.drawing import normal
from absdomain.laws.examples import Example, example, linf
from absdomain.ops import GELU, Dense, ReLU, Sigmoid, Sum, Tanh
from absdomain.relations import slopes
from absdomain.relations.search import Ascent, Table
from tests.domain.test_orderings import MAKERS, assert_inside, bounds, relu_problem, room
from tests.domains.test_oracles import BALL_1, EXAMPLE_1, LABEL

SEARCHED = (
    "deeppoly(search=ascent(steps=3))",
    "deeppoly(slopes=zero, search=ascent(steps=2, intermediate=True))",
    "deeppoly(search=ascent(steps=3)).guided(by=box)",
    "box & deeppoly(search=ascent(steps=3))",
)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", SEARCHED)
def test_searched_slopes_keep_every_law(text: str) -> None:
    """They are constants where bounds are differentiated, which is the one law that is not asked of them."""
    check_domain(parse(text), examples=2)


def test_example_1_reaches_the_optimum_of_the_triangle() -> None:
    """Adaptive slopes give -0.1; the best, 3/4 for both, 0.15: Adam comes near it, and nearer with more steps."""
    few, many = (
        parse(f"deeppoly(search=ascent(steps={steps}))").propagate(EXAMPLE_1, BALL_1, margins(LABEL, 2)).lower.item()
        for steps in (20, 60)
    )
    assert 0.14 < few < many < 0.15
    assert many == pytest.approx(0.15, abs=1e-3)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("start", ["adaptive", "zero", "one", "parallel"])
def test_the_search_is_never_looser_than_its_start(start: str) -> None:
    for seed in range(20):
        problem = relu_problem(seed)
        searched = bounds(f"deeppoly(slopes={start}, search=ascent(steps=4))", problem)
        assert_inside(searched, bounds(f"deeppoly(slopes={start})", problem), room(problem))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("op", [Sigmoid, Tanh, GELU], ids=lambda op: op.__name__)
def test_steps_are_relative_to_the_slopes_of_smooth_ops(op: type[Nonlinear]) -> None:
    """Steps that are absolute in the slope left 0.98 to 1 of these widths: the slopes of a sigmoid end at 1/4."""
    torch.manual_seed(0)
    graph = Graph.of([Node("x", None, (), (16,))])
    weights = torch.randn(20, 16) / 2, torch.randn(20, 20) / 2, torch.randn(4, 20)
    for layer in (Dense(weights[0].double()), op(), Dense(weights[1].double()), op(), Dense(weights[2].double())):
        graph = graph.then(layer)
    traces = [
        parse(text).propagate(graph, Linf(torch.rand(1, 16, generator=torch.Generator().manual_seed(1)).double(), 0.2))
        for text in ("deeppoly", "deeppoly(search=ascent)")
    ]
    before, after = (trace.upper - trace.lower for trace in traces)
    assert bool((after <= 0.96 * before).all()), after / before


def test_the_search_improves_bounds() -> None:
    better = []
    for seed in range(20):
        problem = relu_problem(seed)
        plain, searched = (bounds(text, problem) for text in ("deeppoly", "deeppoly(search=ascent)"))
        better.append((searched.width < 0.999 * plain.width)[plain.width > 0])
    assert float(torch.cat(better).double().mean()) > 0.2  # of all bounds; many are exact before


@pytest.mark.parametrize("text", ["ascent(steps=5)", "ascent(steps=3, intermediate=True)"])
def test_a_table_gives_the_same_bounds_again(text: str) -> None:
    for seed in range(8):
        problem = relu_problem(seed)
        trace = parse(f"deeppoly(search={text})").propagate(problem.graph, problem.region)
        again = DeepPoly(search=_table(trace)).propagate(problem.graph, problem.region)
        assert torch.equal(again.lower, trace.lower)
        assert torch.equal(again.upper, trace.upper)


def test_a_table_of_another_graph_is_refused() -> None:
    table = _table(parse("alpha-crown").propagate(EXAMPLE_1, BALL_1, margins(LABEL, 2)))
    with pytest.raises(ValueError, match="another graph, batch or spec"):
        _ = DeepPoly(search=table).propagate(EXAMPLE_1, BALL_1).lower


def test_a_table_of_intermediate_slopes_needs_an_op_for_each_place() -> None:
    relu = ReLU()
    w = torch.eye(2, dtype=torch.float64)
    graph = Graph.of([Node("x", None, (), (2,))]).then(Dense(w)).then(relu).then(Dense(w - 1)).then(relu).then(Dense(w))
    trace = parse("deeppoly(search=ascent(steps=2, intermediate=True))").propagate(graph, BALL_1)
    with pytest.raises(ValueError, match="stands in two places"):
        _table(trace)


def test_bounds_have_the_gradients_of_the_slopes_found() -> None:
    """Those of the table's bounds, whose slopes are constants: held against differences of their values."""
    for seed in range(6):
        problem = relu_problem(seed)
        w = normal(Random(seed), 3, problem.graph.output.shape[-1])
        way = normal(Random(seed + 1), *w.shape)

        def searched(
            domain: Domain[Any], w: Tensor, graph: Graph = problem.graph, region: Region = problem.region
        ) -> Any:
            return domain.propagate(graph.then(Dense(w)).then(ReLU()).then(Dense(w[:, :1].t() + 1)), region)

        moving = w.clone().requires_grad_()
        trace = searched(parse("deeppoly(search=ascent(steps=3))"), moving)
        (gradient,) = torch.autograd.grad(trace.lower.sum(), moving)
        table = DeepPoly(search=_table(trace))
        ahead, behind = (searched(table, w + h * way).lower.sum() for h in (1e-6, -1e-6))
        assert ((ahead - behind) / 2e-6).item() == pytest.approx((gradient * way).sum().item(), rel=1e-4, abs=1e-4)


def test_the_gradient_of_a_chord_is_taken_where_it_is_not_searched() -> None:
    """y = -relu(w x + 1/2) on [-1, 1]: the least value -(w + 1/2) has the derivative -1."""
    w = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    graph = Graph.of([Node("x", None, (), (1,))]).then(Dense(w, torch.full((1,), 0.5).double())).then(ReLU())
    region = Linf(torch.zeros(1, 1, dtype=torch.float64), 1.0)
    lower = parse("alpha-crown").propagate(graph.then(Dense(-torch.ones(1, 1).double())), region).lower
    assert torch.autograd.grad(lower, w)[0].item() == pytest.approx(-1.0)


def test_inference_mode_is_refused_with_the_remedy() -> None:
    problem = relu_problem(5)
    with torch.inference_mode(), pytest.raises(RuntimeError, match="no_grad"):
        bounds("alpha-crown", problem)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("make", [
    activations.leaky_relu, activations.max_, activations.tanh, activations.clamp, activations.product,
    activations.matmul,
])  # fmt: skip
def test_the_search_is_never_looser_on_other_ops(make: Maker) -> None:
    for seed in range(12):
        problem = example(Random(seed), makers=(*MAKERS, *[make] * 6), size=6, region=linf)
        problem = Example(jittered(problem.graph, Random(seed)), problem.region)
        searched = bounds("deeppoly(search=ascent(steps=3))", problem)
        assert_inside(searched, bounds("deeppoly", problem), room(problem))


def test_a_scalar_activation_is_searched() -> None:
    graph = Graph.of([Node("x", None, (), (2,))]).then(Dense(torch.eye(2).double())).then(ReLU())
    graph = graph.then(Sum((1,))).then(ReLU())
    trace = parse("alpha-crown").propagate(graph, BALL_1)
    assert trace.lower.shape == (1,)
    assert trace.upper.item() == pytest.approx(3.0)


def test_inner_boxes_are_searched_over_the_whole_of_a_part() -> None:
    """Over a part that is empty the bounds are +inf, and the boxes over which ops are relaxed are those of the ball."""
    q = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    part = ReferenceSpace(BALL_1, q, torch.zeros(1).double(), torch.full((1,), 100.0).double())
    domain = parse("deeppoly(search=ascent(steps=2, intermediate=True))")
    trace = domain.propagate(EXAMPLE_1, part, margins(LABEL, 2))
    assert trace.lower.item() == torch.inf
    again = DeepPoly(search=_table(trace)).propagate(EXAMPLE_1, part, margins(LABEL, 2))
    assert again.lower.item() == torch.inf


def test_the_search_runs_where_gradients_are_off() -> None:
    problem = relu_problem(5)
    with torch.no_grad():
        off = bounds("alpha-crown", problem)
    assert torch.equal(off.lower, bounds("alpha-crown", problem).lower)
    assert not off.lower.requires_grad
    with torch.no_grad():
        lower = parse("alpha-crown").propagate(EXAMPLE_1, BALL_1, margins(LABEL, 2)).lower.item()
    assert lower > 0.1  # it did search: adaptive slopes give -0.1


@pytest.mark.parametrize(("name", "value"), [
    ("steps", 0), ("steps", 2.5), ("steps", True), ("rate", -1.0), ("rate", float("nan")), ("decay", 0.0),
])  # fmt: skip
def test_a_search_of_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{name} is .*; give"):
        Ascent(**{name: value})


@pytest.mark.parametrize("text", [
    "deeppoly(search=ascent)", "deeppoly(search=ascent(steps=7, rate=0.1, intermediate=True))",
    "deeppoly(slopes=parallel, search=ascent)", "box & deeppoly(search=ascent(decay=0.5)).guided(by=box)",
])  # fmt: skip
def test_the_text_form_is_read_back(text: str) -> None:
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(("former", "text"), [
    ("deeppoly(slopes=optimised)", "deeppoly(search=ascent)"),
    ("deeppoly(slopes=optimised())", "deeppoly(search=ascent)"),
    ("box & deeppoly(slopes=Optimised(steps=7, start=zero)).guided(by=box)",
     "box & deeppoly(slopes=zero, search=ascent(steps=7)).guided(by=box)"),
])  # fmt: skip
def test_the_former_text_of_a_search_is_read_with_a_warning(former: str, text: str) -> None:
    with pytest.warns(DeprecationWarning, match=r"search=ascent"):
        assert str(parse(former)) == text


def test_a_function_is_a_rule() -> None:
    def half(op: Nonlinear, boxes: tuple[Any, ...]) -> tuple[Slopes, Slopes]:
        return tuple(torch.full_like(b.lower, 0.5) for b in boxes), op.chord(boxes)

    domain = DeepPoly(slopes=half)
    assert domain.propagate(EXAMPLE_1, BALL_1, margins(LABEL, 2)).lower.item() == pytest.approx(2.4 + 0.5 - 3)
    assert str(domain) == "deeppoly(slopes=half)"
    searched = DeepPoly(slopes=half, search=Ascent(steps=3))
    assert str(searched) == "deeppoly(slopes=half, search=ascent(steps=3))"
    assert searched.propagate(EXAMPLE_1, BALL_1, margins(LABEL, 2)).lower.item() >= 2.4 + 0.5 - 3


def test_what_is_no_rule_or_no_search_is_refused() -> None:
    with pytest.raises(TypeError, match=r"slopes is 0.5, which is not a function .*; give one of"):
        DeepPoly(slopes=0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"search is <function zero.*; give one of"):
        DeepPoly(search=slopes.zero)  # type: ignore[arg-type]


def _table(trace: Any) -> Table:
    table: Table = trace.domain.search.table(trace.output)
    return table
