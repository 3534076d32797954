"""Soundness is tried on every op with every region in every domain; the counts are printed.

At least three times in the fast profile, fifty in the nightly one.
"""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import settings

from absdomain.laws import DomainLaw, Example, Tally, check_domain, drawing, promises
from absdomain.laws.drawing import Maker
from absdomain.laws.examples import REGIONS, RegionMaker, example
from absdomain.laws.problems import AnyDomain
from absdomain.laws.tally import op_kind, region_kind
from tests.subjects import DOMAINS, some

pytestmark = pytest.mark.figures

FAST, NIGHTLY = (3, 300), (50, 3600)  # each pair of op and region so often, in so many problems


def kinds() -> dict[Maker, str]:
    """The name under which each maker's op is counted."""
    return {make: op_kind(drawing.suited(Random(0), make)[0]) for make in drawing.MAKERS}


def region_kinds() -> dict[RegionMaker, str]:
    """The name under which each maker's region is counted."""
    return {make: region_kind(make(Random(0), 1, (2,))) for make in REGIONS}


def rarest_first() -> Callable[[AnyDomain, Random], Example]:
    """Problems that each contain the pair of op and region that was seen least often before, and more rare ops."""
    seen, names, places = Tally(), kinds(), region_kinds()

    def draw(domain: AnyDomain, rng: Random) -> Example:
        place = min(REGIONS, key=lambda place: min(seen.pairs[name, places[place]] for name in names.values()))
        rarest = sorted(drawing.MAKERS, key=lambda make: seen.pairs[names[make], places[place]])
        makers = 4 * tuple(rarest[:6]) + drawing.MIXTURE
        size = rng.randint(3, 11)  # smaller ones hardly branch
        problem = example(rng, first=rarest[0], makers=makers, region=place, size=size)
        seen.count(problem)
        return problem

    return draw


@pytest.mark.sampled(3)
@pytest.mark.parametrize("domain", some(DOMAINS, "box", "zonotope", "box & deeppoly"), ids=str)
def test_soundness_is_tried_on_every_op_and_region(domain: AnyDomain) -> None:
    least, problems = NIGHTLY if settings().max_examples > 50 else FAST
    law = DomainLaw(promises.contains, rarest_first())
    tally = check_domain(domain, examples=problems, laws=(law,))
    print(f"\n{domain}: {tally}")
    every = {(op, region) for op in kinds().values() for region in region_kinds().values()}
    assert {pair for pair, count in tally.pairs.items() if count >= least} >= every
    assert 2 * tally.branching >= tally.problems
    assert 6 * tally.unstable > tally.neurons  # of 5 before ops that jump were drawn: behind one, many are settled
