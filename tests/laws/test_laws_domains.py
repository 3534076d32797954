"""Every domain, slope policy and combinator keeps the laws of a domain; a domain that breaks one is told so."""

import contextlib
import io
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from absdomain import Bounds, Graph, Guarantee, Interval, Linf, Node, parse
from absdomain.domain import Domain, Traits
from absdomain.domains import Box, DeepPoly
from absdomain.kinds import Affine, Nonlinear
from absdomain.laws import LAWS, DomainLaw, Example, LawBroken, check_domain, drawing, strategies
from absdomain.laws.domains import named
from absdomain.laws.examples import example
from absdomain.laws.growth import branching
from absdomain.laws.problems import AnyDomain, meeting
from absdomain.laws.promises import contains
from absdomain.linear import Ends
from absdomain.lowering import UnsupportedOp
from absdomain.ops import Add, Concat, Dense, Product, ReLU, Scale, Sum
from absdomain.region import Region
from tests.subjects import DOMAINS, ESTIMATES, NESTED, SOLVERS, some

EXAMPLES = 12
DEAR = tuple(law for law in LAWS if law.extreme or str(law) == "proves")  # they evaluate in 200 digits, or certify
OTHERS = tuple(law for law in LAWS if law not in DEAR)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_every_domain_keeps_its_laws(domain: AnyDomain, law: DomainLaw) -> None:
    check_domain(domain, examples=EXAMPLES // 3 if law in DEAR else EXAMPLES, laws=(law,))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", some(SOLVERS, "lp.guided(by=box)"))
def test_domains_that_ask_a_solver_keep_the_laws(text: str) -> None:
    domain, nightly = parse(text), settings().max_examples > 50
    assert domain.traits.solved and not domain.traits.differentiable
    tally = check_domain(domain, examples=500 if nightly else 1, laws=OTHERS)
    assert "differentiable" not in tally.tried
    check_domain(domain, examples=500 if nightly else 0, laws=DEAR)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", ESTIMATES)
def test_estimates_keep_the_laws_but_for_containment(text: str) -> None:
    domain = parse(text)
    assert domain.guarantee < Guarantee.SOUND
    check_domain(domain, examples=8)


@given(strategies.problems())
def test_hypothesis_finds_no_point_outside_any_bounds(problem: Example) -> None:
    """Corners, samples and gradient steps on branching graphs of all ops, over all regions and specifications."""
    for domain in DOMAINS:
        contains(domain, problem, Random(0))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", some(NESTED, *NESTED[:3]))
def test_combinators_of_combinators_keep_the_laws(text: str) -> None:
    check_domain(parse(text), examples=6, laws=OTHERS)
    check_domain(parse(text), examples=2, laws=DEAR)


@given(strategies.problems(batch=1))
def test_box_is_never_tighter_than_its_reduced_product(problem: Example) -> None:
    product, box = (d.propagate(problem.graph, problem.region, problem.spec) for d in (Box() & DeepPoly(), Box()))
    room = 1e-9 * (1 + box.lower.abs().max() + box.upper.abs().max())
    assert bool((product.lower >= box.lower - room).all())
    assert bool((product.upper <= box.upper + room).all())


def test_a_product_asks_its_later_parts_just_where_the_first_leaves_an_op_unsettled() -> None:
    product, box, crown = Box() & DeepPoly(), Box(), DeepPoly()
    improved = 0
    for seed in range(40):
        problem = example(Random(seed), makers=(drawing.dense, drawing.dense, drawing.relu), size=7)
        elements = [product.lift(problem.region)]
        for step in problem.graph.schedule:
            args = tuple(elements[a] for a in step.args)
            if isinstance(step.op, Nonlinear):
                (known,), (first,) = product.boxes(step.op, args), box.boxes(step.op, (args[0][0],))
                (settled,) = step.op.settled((first,)) or ()
                both = first.meet(crown.bounds(args[0][1]))
                exact = torch.where(settled, first.lower, both.lower), torch.where(settled, first.upper, both.upper)
                torch.testing.assert_close((known.lower, known.upper), exact, rtol=1e-9, atol=1e-9)
                improved += int((~settled & (both.width < first.width - 1e-6)).sum())
            elements.append(product.transfer(step.op, *args))
    assert improved > 20


@given(strategies.graphs(size=4))
def test_a_mixture_is_the_mixture_of_its_parts(graph: Graph) -> None:
    centre = torch.linspace(-1, 1, graph.input.shape[0], dtype=torch.float64)
    point = centre.view(-1, *[1] * (len(graph.input.shape) - 1)).expand(1, *graph.input.shape)
    region = Interval(point - 0.5, point + 0.5)
    parts = [parse(text).propagate(graph, region) for text in ("deeppoly.guided(by=box)", "box")]
    for weight in (0.0, 0.3, 1.0):
        mixed = parse(f"mix(deeppoly.guided(by=box), box, weight={weight})").propagate(graph, region)
        for end in ("lower", "upper"):
            first, second = (getattr(part, end) for part in parts)
            exact = weight * first + (1 - weight) * second
            torch.testing.assert_close(getattr(mixed, end), exact, rtol=1e-9, atol=1e-9)


def test_a_mixture_traces_a_part_that_the_first_carries_once(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, calls = example(Random(3), size=8), []
    shipped = Box.affine
    monkeypatch.setattr(Box, "affine", lambda self, *args: (calls.append(1), shipped(self, *args))[1])
    counted = {}
    for text in ("box", "mix(deeppoly.guided(by=box), box, weight=0.3)", "mix(deeppoly, box, weight=0.3)"):
        calls.clear()
        parse(text).propagate(problem.graph, problem.region)
        counted[text] = len(calls)
    assert counted["box"] > 1
    assert set(counted.values()) == {counted["box"]}


# ---- the kit judges domains that are not ours


@dataclass(frozen=True)
class Corners(Domain[Tensor]):
    """{ all corners of the input }: exact on affine ops, and wrong behind a nonlinear one."""

    def lift(self, region: Region) -> Tensor:
        box = region.box()
        return torch.stack([box.lower, box.upper])

    def affine(self, op: Affine, *args: Tensor) -> Tensor:
        ends = [op(*(a[i] for a in args)) for i in (0, 1)]
        return torch.stack([torch.minimum(*ends), torch.maximum(*ends)])

    def relax(self, op: Nonlinear, args: tuple[Tensor, ...], boxes: tuple[Bounds, ...] | None) -> Tensor:
        return torch.stack([op(*(a[i] for a in args)) for i in (0, 1)])

    def bounds(self, e: Tensor, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        return Bounds(e[0], e[1])


class Guess(Corners):
    """The same, and honest about it."""

    traits = Traits(Guarantee.HEURISTIC)


class Everything(Box):
    """R^n: sound, and of no use."""

    def bounds(self, e: Region | Bounds, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        box = e.box()
        return Bounds(torch.full_like(box.lower, -torch.inf), torch.full_like(box.lower, torch.inf))


class Vague(Box):
    """Box, half a unit wider on either side."""

    def bounds(self, e: Region | Bounds, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        box = e.box()
        return Bounds(box.lower - 0.5, box.upper + 0.5)


class Broken(Box):
    """A domain that fails where it should answer."""

    def bounds(self, e: Region | Bounds, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        raise RuntimeError("no bounds today")


class Pair(Box):
    """A domain whose `relax` returns no element."""

    def relax(self, op: Nonlinear, args: tuple[Any, ...], boxes: tuple[Bounds, ...] | None) -> Any:
        box = super().relax(op, args, boxes).box()
        return box.lower, box.upper


class Detached(Box):
    """Box without gradients, which it does not say."""

    def bounds(self, e: Region | Bounds, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        box = e.box()
        return Bounds(box.lower.detach(), box.upper.detach())


def test_what_a_domain_does_wrong_is_named() -> None:
    with pytest.raises(
        LawBroken, match=r"'tuple' object.*raised by \w+.*given the tuple that relax\(.*\) at node '\w+' gave"
    ):
        check_domain(Pair(), laws=law("contains"), shrink=False)
    with pytest.raises(LawBroken, match=r"no gradient; .* or declare traits = Traits\(differentiable=False\)"):
        check_domain(Detached(), laws=law("differentiable"), shrink=False)


def law(name: str) -> tuple[DomainLaw]:
    (found,) = (each for each in LAWS if str(each) == name)
    return (found,)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("domain", "broken"), [
    (Corners(), r"lower <= f|f\(x\) <= upper"), (Everything(), "finite"), (Vague(), "exact"),
    (Broken(), "no bounds today"),
])  # fmt: skip
def test_a_broken_domain_is_told_which_law_it_breaks(domain: AnyDomain, broken: str) -> None:
    with pytest.raises(LawBroken, match=broken):
        check_domain(domain, shrink=False)


def test_a_heuristic_domain_is_spared_containment_alone() -> None:
    check_domain(Guess(), laws=law("contains"), examples=10)
    with pytest.raises(LawBroken, match="exact"):
        check_domain(Guess(), laws=law("exact_where_affine"), shrink=False)


def forgetful(self: Box, op: Nonlinear, args: tuple[Region | Bounds, ...], boxes: object) -> Bounds:
    """Box with relu's image taken at the lower end."""
    box = args[0].box()
    return Bounds(op(box.lower), op(box.lower))


def test_a_failure_is_shrunk_and_told_as_a_script_that_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Box, "relax", forgetful)
    with pytest.raises(LawBroken, match=r"f\(x\)") as caught:
        check_domain(Box(), laws=law("contains"), examples=100)
    script = caught.value.script
    assert str(caught.value).endswith(script) and caught.value.law == "f(x) <= upper"
    assert script.count("Node(") == 2, f"not shrunk:\n{script}"
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(script, "script", "exec"), names := {})
    assert bool((names["y"].amax(0) > names["trace"].upper[0]).any()), shown.getvalue()


class Picky(Box):
    """Box, which refuses about every second problem."""

    def lift(self, region: Region) -> Region | Bounds:
        if region.centre[0].numel() % 2:
            raise UnsupportedOp("an odd number of inputs; take one more")
        return super().lift(region)


class Refusing(Box):
    """Box, which refuses everything."""

    def lift(self, region: Region) -> Region | Bounds:
        raise UnsupportedOp("no")


def test_what_a_domain_refuses_is_counted_and_another_problem_is_drawn() -> None:
    tally = check_domain(Picky(), laws=named("contains"), examples=20)
    assert tally.problems == tally.tried["contains"] == 21  # the simplest problem, and 20 others
    assert tally.refused["contains"] > 3
    assert "others refused" in str(tally)
    with pytest.raises(LawBroken, match=r"refuses all \d\d\d problems"):
        check_domain(Refusing(), laws=named("contains"))


def test_laws_bind_the_domains_of_which_they_are_theorems() -> None:
    bound = {text: {str(each) for each in LAWS if each.binds(parse(text))} for text in ("box", "deeppoly", "lp")}
    assert "monotone" in bound["box"] - bound["deeppoly"]
    assert "planes_lie_above" in bound["deeppoly"] - bound["box"]
    assert "differentiable" in bound["deeppoly"] - bound["lp"]
    with pytest.raises(ValueError, match="no law is called 'sound'"):
        named("sound")


def test_a_domain_that_is_not_monotone_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DeepPoly, "traits", Traits(relational=True, monotone=True))
    with pytest.raises(LawBroken, match="monotone"):
        check_domain(DeepPoly(), laws=named("monotone"), examples=600, seed=1, shrink=False)


def test_how_near_a_law_came_to_being_broken_is_noted() -> None:
    tally = check_domain(DeepPoly(), laws=named("contains"), examples=30)
    assert 0 < tally.closest["contains"].share < 0.01  # of the rounding allowed: there is room


def test_branches_that_meet_again_are_mixed_and_gated() -> None:
    ends = [meeting(Box(), Random(seed)).graph for seed in range(40)]
    assert all(branching(graph) for graph in ends)
    assert {type(graph.nodes[-2].op) for graph in ends} == {Add, Concat, Product}
    grown = [example(Random(seed), size=9).graph for seed in range(200)]
    assert sum(any(isinstance(node.op, Product) for node in graph.nodes) for graph in grown) > 20


def test_the_same_seed_tries_the_same_problems() -> None:
    one, two, other = (check_domain(Box(), laws=law("contains"), examples=10, seed=seed) for seed in (5, 5, 6))
    assert one == two
    assert one != other


def test_your_own_law_and_your_own_problems() -> None:
    def lower_is_below_upper(domain: AnyDomain, problem: Example, rng: Random) -> None:
        trace = domain.propagate(problem.graph, problem.region)
        if not bool((trace.lower <= trace.upper + 1e-9).all()):
            raise LawBroken("lower <= upper", "no")

    def of_dense_and_relu(domain: AnyDomain, rng: Random) -> Example:
        return example(rng, makers=(drawing.dense, drawing.relu), size=6)

    tally = check_domain(Box(), laws=(DomainLaw(lower_is_below_upper, of_dense_and_relu),), examples=20)
    assert tally.problems == 21
    assert {op for op, _ in tally.pairs} <= {"Dense", "ReLU", "Add", "Concat", "Reshape", "Scale"}
    assert "21 problems" in str(tally)


def test_half_of_the_graphs_branch() -> None:
    graphs = [example(Random(seed)).graph for seed in range(100)]
    assert sum(map(branching, graphs)) > 50


@pytest.mark.parametrize("text", [
    "box", "deeppoly", "deeppoly(search=ascent(steps=2, intermediate=True))", "dual", "dual(projections=2)",
    "dual(projections=9)", "zonotope(symbols=2)", "symbolic_gap", "lp", "exact",
])  # fmt: skip
def test_an_activation_may_have_no_axis(text: str) -> None:
    """A sum over all axes, and a nonlinear op after it."""
    torch.manual_seed(0)
    graph = Graph.of([Node("x", None, (), (3,))]).then(Dense(torch.randn(4, 3, dtype=torch.float64))).then(ReLU())
    graph = graph.then(Sum((1,))).then(Scale(None, torch.tensor(-1.0, dtype=torch.float64))).then(ReLU())
    region = Linf(torch.randn(2, 3, dtype=torch.float64), 0.3)
    trace = parse(text).propagate(graph, region)
    values = torch.stack([graph(x) for x in region.sample(200)])
    assert trace.lower.shape == values.shape[1:] == (2,)
    if trace.guarantee is Guarantee.SOUND:
        assert bool((trace.lower <= values.amin(0) + 1e-9).all())
        assert bool((values.amax(0) <= trace.upper + 1e-9).all())
    assert trace.upper.isfinite().all()
