"""What hypothesis finds against each sound domain and combinator: points of a region, and exact optima."""

from random import Random

import pytest
from hypothesis import given, settings

from absdomain import Guarantee, parse
from absdomain.laws import Example, check_domain, optima, strategies
from absdomain.laws.domains import named
from absdomain.laws.problems import AnyDomain
from absdomain.laws.promises import contains
from tests.subjects import DOMAINS, NESTED, SOLVERS

SOUND = [domain for domain in (*DOMAINS, *map(parse, NESTED)) if domain.guarantee == Guarantee.SOUND]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("domain", SOUND, ids=str)
@given(problem=strategies.problems())
@settings(max_examples=settings().max_examples // 5)
def test_no_sample_corner_or_attacked_point_leaves_the_bounds(domain: AnyDomain, problem: Example) -> None:
    contains(domain, problem, Random(0))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("domain", SOUND, ids=str)
@given(problem=strategies.solvable())
@settings(max_examples=settings().max_examples // 10)
def test_no_bound_is_beyond_the_exact_optimum(domain: AnyDomain, problem: Example) -> None:
    trace = domain.propagate(problem.graph, problem.region, problem.spec)
    optima.hold(trace.lower, trace.upper, problem)


@pytest.mark.slow
@pytest.mark.parametrize("domain", [*SOUND, *map(parse, SOLVERS)], ids=str)
def test_five_hundred_optima_are_within_the_bounds(domain: AnyDomain) -> None:
    tally = check_domain(domain, laws=named("never_beyond_the_optimum"), examples=500)
    assert tally.tried["never_beyond_the_optimum"] > 450
