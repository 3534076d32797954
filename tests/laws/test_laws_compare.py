"""`compare` finds what two domains disagree on, and measures centring and tightness layer by layer."""

import math
from random import Random

import pytest
import torch
from torch import Tensor

from absdomain import Graph, Guarantee, Linf, Node, Region, margins, parse
from absdomain.domain import Traits
from absdomain.domains import Box, DeepPoly
from absdomain.laws import Example, LawBroken, compare, drawing
from absdomain.laws.derivatives import jittered
from absdomain.laws.examples import example
from absdomain.laws.orderings import theorem
from absdomain.linear import Bounds, Ends
from absdomain.ops import Dense, LeakyReLU, ReLU

MAKERS = (drawing.dense, drawing.dense, drawing.conv2d, drawing.scale, *[drawing.relu] * 4)
TEXTS = (
    "box", "deeppoly", "deeppoly(slopes=zero)", "deeppoly(slopes=zero).guided(by=box)", "deeppoly.guided(by=box)",
    "box & deeppoly", "(box & deeppoly).guided(by=box)",
)  # fmt: skip


def problem(seed: int, size: int = 7) -> Example:
    drawn = example(Random(seed), makers=MAKERS, size=size)
    return Example(jittered(drawn.graph, Random(seed)), drawn.region, drawn.spec)


def test_the_domains_agree_as_far_as_theorems_say() -> None:
    domains, found = [parse(text) for text in TEXTS], set()
    for seed in range(12):
        asked = problem(seed)
        found |= set(compare(domains, asked.graph, asked.region, asked.spec).ordered)
    assert found == {
        ("deeppoly(slopes=zero)", "box", "zero_slopes"),
        ("deeppoly(slopes=zero).guided(by=box)", "box", "zero_slopes"),
        ("deeppoly(slopes=zero)", "deeppoly(slopes=zero).guided(by=box)", "zero_slopes"),
        ("box & deeppoly", "box", "product_of_monotone"),
        ("(box & deeppoly).guided(by=box)", "deeppoly.guided(by=box)", "product_over_the_same_boxes"),
    }


@pytest.mark.parametrize(("one", "other"), [
    ("deeppoly", "box"), ("deeppoly.guided(by=box)", "box"), ("deeppoly", "deeppoly.guided(by=box)"),
    ("deeppoly", "deeppoly(slopes=parallel)"), ("box & deeppoly", "deeppoly"), ("box", "deeppoly(slopes=zero)"),
])  # fmt: skip
def test_what_is_no_theorem_is_not_asserted(one: str, other: str) -> None:
    assert theorem(parse(one), parse(other), problem(0).graph) is None


def test_a_theorem_about_relu_is_not_asserted_of_other_ops() -> None:
    graph = Graph.of([Node("x", None, (), (2,)), Node("y", LeakyReLU(0.1), (0,), (2,))])
    assert theorem(parse("deeppoly(slopes=zero)"), parse("box"), graph) is None
    assert theorem(parse("box & deeppoly"), parse("box"), graph) == "product_of_monotone"


class High(Box):
    """Bounds that are nowhere near the values."""

    def bounds(self, e: Region | Bounds, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        box = e.box()
        return Bounds(box.lower + 3, box.upper + 3)


class Guess(High):
    """The same, and honest about it."""

    traits = Traits(Guarantee.HEURISTIC)


def test_two_domains_that_cannot_both_be_right_are_told_and_heuristics_are_spared() -> None:
    region = Linf(torch.zeros(1, 1, dtype=torch.float64), 1.0)
    graph = Graph.of([Node("x", None, (), (1,))]).then(ReLU())
    with pytest.raises(LawBroken, match=r"overlap.*High|overlap.*high"):
        compare([Box(), High()], graph, region)
    compare([Box(), Guess()], graph, region)


def test_a_broken_ordering_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = DeepPoly.bounds
    monkeypatch.setattr(
        DeepPoly,
        "bounds",
        lambda self, e, where=None, ends=Ends.BOTH: Bounds(shipped(self, e, where).lower - 9, shipped(self, e).upper),
    )
    asked = problem(3)
    with pytest.raises(LawBroken, match="zero_slopes"):
        compare([parse("deeppoly(slopes=zero)"), Box()], asked.graph, asked.region)


def test_the_measures_are_those_of_the_definition() -> None:
    """x in [-1, 3] around 1, y = relu(x - 1) in [0, 2] around 0: the interval's centre is 1."""
    region = Linf(torch.ones(1, 1, dtype=torch.float64), 2.0)
    one = torch.ones(1, 1, dtype=torch.float64)
    graph = Graph.of([Node("x", None, (), (1,))]).then(Dense(one, -one[0]), "z").then(ReLU(), "y").then(Dense(one), "w")
    found = compare([Box(), parse("deeppoly(slopes=parallel)")], graph, region)
    at = dict(zip(found.nodes, found.layers, strict=True))
    assert [layer.width for layer in at["z"]] == [4.0, 4.0]
    assert [layer.metric1 for layer in at["z"]] == [0.0, 0.0]
    assert (at["y"][0].width, at["y"][0].metric1, at["y"][0].metric2) == (2.0, 1.0, 0.5)
    # parallel slopes of 1/2: x/2 <= relu(x) <= x/2 + 1 over [-2, 2], so [-1, 2] around 0
    assert (at["w"][1].width, at["w"][1].metric1) == (3.0, 0.5)
    assert at["w"][1].metric2 == pytest.approx(0.5 / 3)
    assert found.tightness(1, 0) == (1.0, 1.0, 1.5, 1.5)
    assert "1.500" in str(found)
    assert str(found).count("deeppoly(slopes=parallel)") == 4


def test_a_domain_that_misses_the_value_at_the_centre_is_told() -> None:
    region = Linf(torch.zeros(1, 1, dtype=torch.float64), 1.0)
    with pytest.raises(LawBroken, match=r"lower <= f\(x\)"):
        compare([High()], Graph.of([Node("x", None, (), (1,))]).then(ReLU()), region)
    with pytest.raises(ValueError, match="at least one"):
        compare([], Graph.of([Node("x", None, (), (1,))]).then(ReLU()), region)


class Tight(Box):
    """Upper bounds that miss a thousandth of the range: they hold the value at the centre, and overlap with others."""

    def bounds(self, e: Region | Bounds, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        box = e.box()
        return Bounds(box.lower, box.upper - 1e-3 * box.width)


def test_a_domain_that_misses_values_near_the_corners_is_told() -> None:
    asked = problem(2)
    with pytest.raises(LawBroken, match=r"f\(x\) <= upper"):
        compare([Tight(), DeepPoly()], asked.graph, asked.region)


def test_over_a_point_there_is_no_second_metric() -> None:
    region = Linf(torch.ones(1, 2, dtype=torch.float64), 0.0)
    found = compare([Box()], Graph.of([Node("x", None, (), (2,))]).then(ReLU()), region)
    assert all(math.isnan(layer.metric2) and layer.metric1 == 0 for (layer,) in found.layers)


def test_a_specification_is_bounded_fused_and_apart() -> None:
    graph = Graph.of([Node("x", None, (), (3,))]).then(Dense(drawing.normal(Random(0), 4, 3))).then(ReLU())
    graph = graph.then(Dense(drawing.normal(Random(1), 3, 4)))
    region = Linf(drawing.normal(Random(2), 2, 3), 0.5)
    found = compare([Box(), DeepPoly()], graph, region, margins(torch.tensor([0, 2]), 3))
    assert found.layers[-1][0].width > 0
