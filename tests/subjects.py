"""The domains that the suites try, by their text form."""

from collections.abc import Sequence
from typing import Any

import pytest

from absdomain import parse

# Every domain, every slope policy, every combinator.
EXPRESSIONS = (
    "box",
    "deeppoly",
    "deeppoly(slopes=zero)",
    "deeppoly(slopes=one)",
    "deeppoly(slopes=parallel)",
    "dual",
    "zonotope",
    "deeppoly.guided(by=box)",
    "box & deeppoly",
    "mix(deeppoly.guided(by=box), box, weight=0.3)",
)
# Combinators of combinators.
NESTED = (
    "deeppoly.guided(by=box & deeppoly)",
    "(box & deeppoly).guided(by=box)",
    "box & mix(deeppoly, box, weight=0.5)",
    "deeppoly(slopes=zero) & deeppoly & box",
    "mix(deeppoly.guided(by=box & deeppoly), box & deeppoly, weight=0.5)",
    "mix(deeppoly.guided(by=box), box, weight=0.0)",
    "box & dual.guided(by=box)",
    "box & zonotope & deeppoly",
    "zonotope(symbols=4).guided(by=box & zonotope)",
    "deeppoly(slopes=parallel).guided(by=deeppoly(slopes=zero).guided(by=box))",
)
# Domains that ask a solver: fewer problems.
SOLVERS = ("lp", "lp.guided(by=box)", "exact.guided(by=box)")
# Estimates, which promise less.
ESTIMATES = ("symbolic_gap", "symbolic_gap(slopes=parallel)", "dual(projections=3)")
DOMAINS = tuple(parse(text) for text in EXPRESSIONS)


def some(subjects: Sequence[Any], *fast: str) -> list[Any]:
    """Parameters of a test that takes long: all but those of these texts run in the slow suite alone."""
    return [pytest.param(one, marks=() if str(one) in fast else pytest.mark.slow) for one in subjects]
