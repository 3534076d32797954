"""The suite's own test: each mutant of a shipped function is killed by the public checks, which pass without it.

A mutant that survives would be listed in SURVIVORS by name, with the reason; the table is empty.
"""

from __future__ import annotations

import pytest

from absdomain import Guarantee
from absdomain.domain import Guided, Traits
from absdomain.domains import Box, DeepPoly
from absdomain.laws import LAWS, LawBroken, check_domain
from absdomain.laws.domains import RAISES
from tests.laws import mutants_of_domains, mutants_of_ops, mutants_of_parts, mutants_of_proofs, mutants_of_relations
from tests.laws.mutant import Mutant
from tests.laws.mutants_of_domains import at_the_centre

pytestmark = pytest.mark.figures

MUTANTS = [
    *mutants_of_ops.MUTANTS, *mutants_of_parts.MUTANTS, *mutants_of_domains.MUTANTS, *mutants_of_relations.MUTANTS,
    *mutants_of_proofs.MUTANTS,
]  # fmt: skip
SURVIVORS: dict[str, str] = {}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("mutant", [
    pytest.param(mutant, marks=pytest.mark.slow if mutant.slow else ()) for mutant in MUTANTS
], ids=lambda mutant: mutant.name)  # fmt: skip
def test_the_mutant_is_killed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.check()  # passes as shipped: what it says afterwards is about the mutant
    mutant.apply(monkeypatch)
    with pytest.raises(LawBroken) as caught:
        mutant.check()
    assert caught.value.law != RAISES, f"it crashed, which is not a law: {caught.value}"
    print(f"\n{mutant.name}: killed by the law {caught.value.law!r}")


def test_a_guided_domain_that_forgets_what_its_guide_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slopes over the boxes of a heuristic domain promise nothing, and a domain that says otherwise is found out."""

    class Guess(Box):
        traits = Traits(Guarantee.HEURISTIC)
        relax = at_the_centre(Box.relax)

    contains = tuple(law for law in LAWS if str(law) == "contains")
    check_domain(DeepPoly().guided(by=Guess()), laws=contains)
    monkeypatch.setattr(Guided, "traits", Traits())
    with pytest.raises(LawBroken, match=r"f\(x\)"):
        check_domain(DeepPoly().guided(by=Guess()), laws=contains, shrink=False)


def test_there_are_enough_mutants_and_no_survivor() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 90
    assert not SURVIVORS
