"""Bounds against exact optima on small random networks: never beyond them, and not far from them."""

from random import Random
from typing import Any

import pytest
import torch

from absdomain.domains import Box
from absdomain.laws import LawBroken, check_domain, check_tightness, optima, witnesses
from absdomain.laws.domains import named
from absdomain.laws.problems import AnyDomain
from absdomain.laws.tightness import LEVELS
from absdomain.linear import Bounds
from tests.subjects import DOMAINS

pytestmark = pytest.mark.figures

NETWORKS = 60
# The median slack that a domain may have, as a share of the exact range of the functional.
MEDIANS = {
    "box": 0.4,
    "deeppoly": 0.1,
    "deeppoly(slopes=zero)": 0.1,
    "deeppoly(slopes=one)": 1.0,
    "deeppoly(slopes=parallel)": 0.25,
    "dual": 0.25,
    "zonotope": 0.25,
    "deeppoly.guided(by=box)": 0.15,
    "box & deeppoly": 0.1,
    "mix(deeppoly.guided(by=box), box, weight=0.3)": 0.3,
}


def test_the_oracle_is_attained_and_never_beaten_by_points() -> None:
    """Sampled and attacked points stay within the exact ends, and come close to most of them."""
    missed = []
    for number in range(NETWORKS):
        problem = optima.numbered(number)
        least, greatest = optima.ends(problem)
        values = witnesses.values(problem, witnesses.points(problem, Random(0)))
        optima.hold(least, greatest, problem)
        scale = 1 + float(values.abs().max())
        assert bool((values >= least - optima.TOLERANCE * scale).all())
        assert bool((values <= greatest + optima.TOLERANCE * scale).all())
        missed.append((values.amin(0) - least) / (greatest - least).clamp(min=1e-9))
    assert float(torch.cat(missed).median()) < 0.05


@pytest.mark.sampled(3)
@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_bounds_are_never_beyond_the_optimum_and_not_far_from_it(domain: AnyDomain) -> None:
    found = check_tightness(domain, median=MEDIANS[str(domain)], networks=NETWORKS)
    print(f"\n{domain}: {found}")
    assert found.networks == NETWORKS
    assert list(found.quantiles) == sorted(found.quantiles)
    assert len(found.quantiles) == len(LEVELS)


def test_a_domain_that_is_too_loose_is_told_its_median() -> None:
    with pytest.raises(LawBroken, match="the median slack is small"):
        check_tightness(Box(), median=1e-6, networks=10)
    tally = check_domain(Box(), laws=named("never_beyond_the_optimum"), examples=3, median_slack=0.4)
    assert tally.slack is not None
    assert "slack on 3 networks" in str(tally)


def test_a_bound_inside_the_optimum_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a thousandth of the width: points are rarely that near an end, the optimum always is."""

    def raised(self: Box, e: Any, *_: Any, **__: Any) -> Bounds:
        return Bounds(e.box().lower + 1e-3 * e.box().width, e.box().upper)

    monkeypatch.setattr(Box, "bounds", raised)
    with pytest.raises(LawBroken, match="the exact minimum"):
        check_domain(Box(), laws=named("never_beyond_the_optimum"), examples=40, shrink=False)
