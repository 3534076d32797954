"""The worked examples: two nets small enough to bound by hand (Example 1 is 2-2-2, Example 2 a single neuron)."""

from functools import partial

import pytest
import torch
from torch import Tensor

from absdomain import Domain, Graph, Interval, Linf, Node, margins, parse
from absdomain.domains import DeepPoly
from absdomain.kinds import Nonlinear, Slopes
from absdomain.linear import Bounds
from absdomain.ops import Dense, ReLU

D64 = torch.float64


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=D64)


# Example 1: x = (1, 0), eps = 1, y = 0; z = (1, 1) in [-1, 3]^2 before the ReLU, so that the chord has slope 3/4.
EXAMPLE_1 = Graph.of(
    [
        Node("x", None, (), (2,)),
        Node("z", Dense(tensor([[1.0, 1.0], [1.0, -1.0]])), (0,), (2,)),
        Node("h", ReLU(), (1,), (2,)),
        Node("o", Dense(torch.eye(2, dtype=D64), tensor([2.4, 0.0])), (2,), (2,)),
    ]
)
BALL_1 = Linf(tensor([[1.0, 0.0]]), 1.0)
LABEL = torch.tensor([0])
EXACT = 0.4

MARGINS_1 = {
    "box": -0.6,
    "deeppoly(slopes=zero)": -0.6,
    "deeppoly(slopes=one)": -0.1,
    "deeppoly": -0.1,
    "deeppoly(slopes=parallel)": 0.15,
    # one hidden layer, whose boxes are exact: guided and unguided agree
    "deeppoly.guided(by=box)": -0.1,
    "deeppoly(slopes=parallel).guided(by=box)": 0.15,
    "box & deeppoly": -0.1,
    "box & deeppoly(slopes=parallel)": 0.15,
    "mix(deeppoly(slopes=parallel).guided(by=box), box, weight=0.2)": 0.2 * 0.15 + 0.8 * -0.6,
}


def margin(domain: Domain[object]) -> float:
    return domain.propagate(EXAMPLE_1, BALL_1, margins(LABEL, 2)).lower.item()


@pytest.mark.parametrize(("text", "value"), MARGINS_1.items())
def test_margins_of_example_1(text: str, value: float) -> None:
    assert margin(parse(text)) == pytest.approx(value, abs=1e-9)


def test_the_exact_margin_of_example_1() -> None:
    axis = torch.linspace(-1, 1, 401, dtype=D64)
    x = BALL_1.centre + torch.cartesian_prod(axis, axis)
    logits = EXAMPLE_1(x)
    assert (logits[:, 0] - logits[:, 1]).min().item() == pytest.approx(EXACT, abs=1e-9)


def worst_cross_entropy(lower: float) -> float:
    """log(1 + exp(-m))."""
    return torch.nn.functional.softplus(tensor(-lower)).item()


@pytest.mark.parametrize(("text", "value"), [
    ("box", 1.037488), ("deeppoly", 0.744397), ("deeppoly(slopes=parallel)", 0.620957),
])  # fmt: skip
def test_cross_entropies_of_example_1(text: str, value: float) -> None:
    assert worst_cross_entropy(margin(parse(text))) == pytest.approx(value, abs=5e-7)


def test_nominal_and_exact_cross_entropy_of_example_1() -> None:
    nominal = torch.nn.functional.cross_entropy(EXAMPLE_1(BALL_1.centre), LABEL).item()
    assert nominal == pytest.approx(0.086836, abs=5e-7)
    assert worst_cross_entropy(EXACT) == pytest.approx(0.513015, abs=5e-7)


def test_box_logits_of_example_1() -> None:
    trace = parse("box").propagate(EXAMPLE_1, BALL_1, keep=True)
    assert trace.lower.tolist() == [[pytest.approx(2.4), 0.0]]
    assert trace.upper.tolist() == [[pytest.approx(5.4), 3.0]]
    hidden = trace.at("z")
    assert (hidden.lower.tolist(), hidden.upper.tolist()) == ([[-1.0, -1.0]], [[3.0, 3.0]])


def below(alpha: float, op: Nonlinear, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
    """The lower slope alpha, the upper one the chord."""
    return tuple(torch.full_like(b.lower, alpha) for b in boxes), op.chord(boxes)


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5, 0.75, 0.8, 1.0])
def test_example_1_over_all_lower_slopes(alpha: float) -> None:
    """2.4 + alpha - 3 up to 3/4, then 2.4 - alpha - 1.5: at best 0.15, which is the LP's bound."""
    value = 2.4 + alpha - 3 if alpha <= 0.75 else 2.4 - alpha - 1.5
    found = margin(DeepPoly(slopes=partial(below, alpha)))
    assert found == pytest.approx(value, abs=1e-9)
    assert found <= 0.15 + 1e-9


@pytest.mark.parametrize(("text", "value"), [
    ("box", 0.0), ("deeppoly(slopes=zero)", 0.0), ("deeppoly(slopes=parallel)", -0.75), ("deeppoly", -1.0),
    ("deeppoly(slopes=one)", -1.0), ("deeppoly.guided(by=box)", -1.0), ("box & deeppoly", 0.0),
])  # fmt: skip
def test_example_2_interval_bounds_may_beat_crown(text: str, value: float) -> None:
    """relu(x) over [-1, 3]: 0 exactly; all lower slopes but 0 go below."""
    graph = Graph.of([Node("x", None, (), (1,)), Node("h", ReLU(), (0,), (1,))])
    trace = parse(text).propagate(graph, Interval(tensor([[-1.0]]), tensor([[3.0]])))
    assert trace.lower.item() == pytest.approx(value, abs=1e-9)
    assert trace.upper.item() == pytest.approx(3.0, abs=1e-9)
