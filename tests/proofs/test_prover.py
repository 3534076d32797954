"""What proofs rest on: exact tensors are PyTorch's in exact arithmetic, and certificates prove only what is true."""

from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.proofs.kernel.branches import Executed
from absdomain.proofs.kernel.certificate import Fact, boundary, contradicts
from absdomain.proofs.kernel.exact import Exact, exact, numbers, prove, real, reals
from absdomain.proofs.kernel.executed import unwatched, watched
from absdomain.proofs.kernel.polynomial import Poly
from absdomain.proofs.kernel.world import Refuted, Undefined, Unproved, World, explore
from absdomain.proofs.lemma import SYMBOLS, Lemma, Twin, verify

x, y, z = (Poly.symbol(name) for name in "xyz")


def test_polynomials_are_a_ring() -> None:
    assert (x + y) * (x - y) == x * x - y * y
    assert (x * y - 2) * Fraction(1, 2) == x * y * Fraction(1, 2) - 1
    assert (x * x * y).replaced("x", y - 1) == y * y * y - 2 * y * y + y
    assert (x - x).constant == 0 and x.constant is None


@pytest.mark.parametrize(
    ("facts", "zeros", "degree", "proved"),
    [
        ([Fact(x), Fact(-x, strict=True)], [], 1, True),
        ([Fact(x), Fact(-x)], [], 2, False),  # x = 0
        ([Fact(x - 1), Fact(y - 1), Fact(1 - x * y, strict=True)], [], 1, False),
        ([Fact(x - 1), Fact(y - 1), Fact(1 - x * y, strict=True)], [], 2, True),
        ([Fact(x, strict=True)], [x * y - 1, y], 2, True),
        ([Fact(x, strict=True)], [x * y - 1], 3, False),
        ([Fact(1 - x * x), Fact(x - 2)], [], 2, True),
    ],
)
def test_contradictions_are_found_where_there_are_any(
    facts: list[Fact], zeros: list[Poly], degree: int, proved: bool
) -> None:
    assert any(contradicts(tuple(facts), tuple(zeros), d) for d in range(1, degree + 1)) is proved


def test_a_boundary_holds_every_point() -> None:
    facts = (Fact(x), Fact(y), Fact(-x * y))
    edge = boundary(facts, (), 2)
    assert edge is not None and {fact.poly for fact in edge} <= {x, y, -x * y}


def test_claims_that_are_false_are_not_proved() -> None:
    def check(world: World) -> None:
        a, b = world.real("a"), world.real("b")
        world.assume(b - a)
        world.prove(b * b - a * a, "b^2 >= a^2 for b >= a")

    with pytest.raises(Unproved):
        explore(check)
    with pytest.raises(Refuted):
        check(World(values={"a": -1, "b": 0}))


def test_a_product_is_recalled_of_what_is_known_alone() -> None:
    def check(world: World) -> None:
        a, b = world.real("a"), world.real("b")
        world.assume(a)
        with pytest.raises(ValueError, match="neither supposed nor proved"):
            world.times(a, b)
        world.assume(b)
        world.times(a, b, b)
        world.check(world.known(a * b * b), "a b^2 >= 0")

    assert explore(check) == 1


def test_hypotheses_that_contradict_each_other_prove_nothing() -> None:
    def check(world: World) -> None:
        a = world.real("a")
        world.assume(a - 1)
        world.assume(-a)
        world.prove(-1 - a * a, "nonsense")

    with pytest.raises(Unproved, match="contradict"):
        explore(check)


def test_both_outcomes_of_a_comparison_are_run() -> None:
    seen: list[bool] = []

    def check(world: World) -> None:
        seen.append(bool((real(world, "a") >= 0).all()))
        world.prove(Poly.of(1), "1 >= 0")

    assert explore(check) == 2
    assert sorted(seen) == [False, True]


def test_a_division_by_what_may_be_zero_is_refused_where_it_counts() -> None:
    world = World()
    ratio = real(world, "a") / real(world, "b")
    with pytest.raises(Undefined):
        ratio + 1
    assert numbers(torch.where(torch.tensor([[True]]), torch.ones(1, 1), ratio)) == [Poly.of(1)]


def test_a_twin_that_passes_and_a_check_that_claims_nothing_are_faults() -> None:
    def holds(world: World) -> None:
        a = reals(world, "a", 2)
        prove(world, a * a + 1 - a * a, "1")

    twin = Twin("nothing changed", holds, {"a0": 1, "a1": 2})
    assert "passes" in verify(Lemma("l", "s", (), (holds,), (twin,), SYMBOLS, leaves="")).fault
    assert (
        "check 2 proves no claim" in verify(Lemma("l", "s", (), (holds, lambda _: None), (), SYMBOLS, leaves="")).fault
    )


def _two_ways(positive: bool) -> int:
    if positive:
        return 1
    return 0


def test_a_line_that_no_check_runs_is_a_fault() -> None:
    def one(world: World) -> None:
        world.check(_two_ways(True) == 1, "1")

    def other(world: World) -> None:
        world.check(_two_ways(False) == 0, "0")

    line = _two_ways.__code__.co_firstlineno + 3
    half = verify(Lemma("l", "s", (_two_ways,), (one,), (), SYMBOLS, leaves=""))
    assert half.fault == f"no check runs line {line} of _two_ways, which it lists"
    both = verify(Lemma("l", "s", (_two_ways,), (one, other), (), SYMBOLS, leaves=""))
    assert not both.fault and both.claims == 2
    with pytest.raises(TypeError, match="no function"):
        assert Lemma("l", "s", (World,), (), (), "", leaves="").functions


def test_calls_are_not_followed_where_nothing_is_watched_and_are_again_after_that() -> None:
    before = sys.gettrace()
    with watched([_two_ways]) as seen:
        with unwatched():
            assert _two_ways(True) == 1
        assert not seen.lines(_two_ways.__code__)
        assert _two_ways(False) == 0
    assert len(seen.lines(_two_ways.__code__)) == 2
    assert sys.gettrace() is before


def _branching(x: int, xs: list[int], other: int | None = None) -> int:
    if x < 0 and other is None:
        raise ValueError("negative")
    total = sum(2 * y for y in xs if y) if x else 1
    for y in xs:
        if y > 5:
            break
    return total if other is None else other


def _never(*runs: tuple[int, list[int], int | None]) -> tuple[int, tuple[str, ...]]:
    with watched([_branching], branches=True) as seen:
        for run in runs:
            _branching(*run)
    found = Executed.of(_branching, seen)
    assert found.lines == 6 and found.entered
    return found.ways, found.never


def test_each_way_of_a_branch_is_told() -> None:
    assert _never((1, [1, 2], None)) == (15, (
        "`x < 0` is never true", "`other` is always None", "`x` is never false", "`y > 5` is never true",
        "`other` is always None", "`y` is never false",
    ))  # fmt: skip
    assert _never((1, [0, 9], None), (0, [], None), (-1, [1], 3)) == (15, ())


def test_functions_that_are_run_and_not_listed_are_named() -> None:
    def check(world: World) -> None:
        world.check(_two_ways(True) + _two_ways(False) + _branching(0, []) == 2, "2")

    result = verify(Lemma("l", "s", (_two_ways,), (check,), (), SYMBOLS, leaves=""), branches=True)
    assert not result.fault and result.others == (f"{__name__}._branching",)


def test_the_tracer_of_another_is_left_in_peace() -> None:
    before, calls = sys.gettrace(), list[str]()
    sys.settrace(lambda frame, event, arg: calls.append(frame.f_code.co_name))
    try:
        with unwatched():
            _two_ways(True)
    finally:
        sys.settrace(before)
    assert "_two_ways" in calls


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
def test_a_claim_about_what_is_no_number_fails(value: float) -> None:
    def check(world: World) -> None:
        prove(world, real(world, "a") * 0 + torch.full((1, 1), value, dtype=torch.float64), "not a number")

    assert verify(Lemma("l", "s", (), (check,), (), SYMBOLS, leaves="")).fault


def test_claims_on_a_way_that_cannot_be_taken_do_not_count() -> None:
    def check(world: World) -> None:
        a = world.real("a")
        world.assume(a, strict=True)
        world._facts.extend([Fact(-a)] if world.holds(world.real("b")) else [])  # a > 0 and a <= 0
        world.prove(a * a + 1, "a^2 + 1 >= 0")

    assert explore(check) == 1


FUNCTIONS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda a, b: a + 2 * b - a * b / 4,
    lambda a, b: torch.addcmul(a, a, b, value=-1) + torch.lerp(a, b, 0.25),
    lambda a, b: torch.maximum(a, b) - torch.minimum(a, 0 * b) + a.relu() + b.abs() + a.sign(),
    lambda a, b: a.clamp(-1, 0.5) + F.hardtanh(b) + F.leaky_relu(a, 0.25) + b.clamp(min=0),
    lambda a, b: torch.where(a >= b, a, -b) + (a > 0).to(a) * (b <= 0).to(a),
    lambda a, b: a @ b.t() + F.linear(a, b, torch.ones(2, dtype=a.dtype)),
    lambda a, b: torch.bmm(a.unsqueeze(0), b.t().unsqueeze(0)).squeeze(0),
    lambda a, b: torch.cat([a, b], 1).sum(0) + torch.stack([a, b]).mean((0, 1)).repeat(2),
    lambda a, b: a.amax(1) + b.amin(1) + a.flatten().sort().values[:2] + a.cumsum(1)[:, 1],
    lambda a, b: a.argmax(1).to(a) + torch.linalg.vector_norm(b, ord=1, dim=1),
    lambda a, b: a.index_add(1, torch.tensor([0, 0, 2]), b) + F.pad(a, (1, 0))[:, :3],
    lambda a, b: a.gather(1, torch.tensor([[2], [0]])) + b.scatter(1, torch.tensor([[1], [0]]), 3.0),
    lambda a, b: F.conv1d(a.unsqueeze(1), b[:, :2].unsqueeze(1), None, 2, 1),
    lambda a, b: F.conv_transpose1d(a.unsqueeze(1), b[:1, :2].unsqueeze(1), None, 2, 1),
    lambda a, b: F.avg_pool2d(a.view(1, 1, 2, 3), 2, 1, 1) + b.sum(),
    lambda a, b: torch.func.vjp(lambda v: (v * b).sum(1), a)[1](a.sum(1))[0],
    lambda a, b: a.aminmax().min + b.aminmax(dim=1).max,
    lambda a, b: F.hardswish(a) + b.masked_fill(a > 0, 2.0),
)


@pytest.mark.parametrize("function", FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_exact_tensors_compute_what_pytorch_computes(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    a = torch.tensor([[-1.5, 0.25, 2.0], [0.5, 0.0, -0.75]], dtype=torch.float64)
    b = torch.tensor([[0.5, -2.0, 1.0], [3.0, 0.5, 0.0]], dtype=torch.float64)
    world = World(values={})
    found = function(Exact(world, exact(world, a)), Exact(world, exact(world, b)))
    values = torch.tensor([float(p.constant or 0) for p in numbers(found)], dtype=torch.float64)
    torch.testing.assert_close(values.view(found.shape), function(a, b), rtol=1e-12, atol=1e-12)
