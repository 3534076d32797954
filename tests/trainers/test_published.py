"""The table of published results: every row has a preset that trains it, or the reason why there is none."""

from collections import Counter

import pytest

from absdomain.registry import find, names
from absdomain.trainers import read
from absdomain.trainers.presets.published import RESULTS
from absdomain.trainers.presets.result import Result

TRAINED = [row for row in RESULTS if row.preset]
NAMES = [f"{row.paper.split()[0]} {row.place} {row.data} {row.eps} {row.method} {row.network}" for row in RESULTS]


def number(text: str) -> float:
    above, _, below = text.partition("/")
    return float(above) / float(below or 1)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("row", RESULTS, ids=NAMES)
def test_a_row_has_a_preset_or_a_reason(row: Result) -> None:
    assert row.preset or len(row.remark) > 20
    assert all(0 < error <= 100 for error in row.verified)
    assert len(row.verified) in (0, 1, 3)
    assert list(row.verified) == sorted(row.verified)
    known = [error for error in (row.clean, row.pgd, *row.verified) if error is not None]
    assert known == sorted(known)
    assert row.clean is None or all(row.clean < error for error in row.verified)
    recipe = row.recipe
    if recipe is None:
        assert not row.options
        return
    read(recipe.trainer)
    assert recipe.data == row.data
    own = row.network in ("small", "large", "medium", "wide") or recipe.network == row.network
    assert own, f"{recipe.network} is not {row.network}"
    certified, trained = number(row.eps), recipe.eps
    assert certified <= trained * (1 + 1e-9) <= 6.01 * certified  # SingleProp's networks are certified far below, too
    assert certified <= recipe.certified_eps * (1 + 1e-9)
    assert row.preset.startswith(recipe.data)
    assert row.method.split("(")[0].removeprefix("natural-") in f"{row.preset} {recipe.trainer}"


def test_every_result_is_told_once() -> None:
    counts = Counter((name, row.options) for name, row in zip(NAMES, RESULTS, strict=True))
    assert max(counts.values()) == 1
    papers = Counter(row.paper for row in RESULTS)
    assert {paper.split()[0]: count for paper, count in papers.items()} == {
        "Gowal": 55, "Zhang": 111, "Boopathy": 45, "Li": 34, "Fan": 61
    }  # fmt: skip
    assert len(TRAINED) == len(RESULTS) - 35


def test_every_preset_of_a_paper_is_of_a_row() -> None:
    """But for the demonstration and what only stands beside a paper's own: the names that no row has are known."""
    extra = set(names("presets")) - {row.preset for row in TRAINED}
    assert extra == {
        "digits-demo",
        "mnist-natural-B",
        "mnist-0.1-ibp-gowal-small",
        "mnist-0.1-ibp-gowal-large",
        "mnist-0.3-ibp-gowal-small",
        "mnist-0.3-ibp-gowal-medium",
        "mnist-0.3-ibp-gowal-large",
        "mnist-0.3-pure-ibp-A",
        "cifar10-8-255-ibp-gowal-small",
        "cifar10-8-255-ibp-gowal-medium",
    }
    assert all(find("presets", name) for name in extra)


def test_the_schedules_of_some() -> None:
    found = {name: find("presets", name) for name in names("presets")}
    long = found["cifar10-8-255-ibp-long-gowal-large"]
    assert (long.epochs, long.batch) == (3200, 1600)
    slow = found["cifar10-16-255-advibp-dm-large"]
    assert (slow.warmup, slow.ramp, read(slow.trainer).settings.natural) == (410, 1400, 200)
    fine = found["mnist-0.1-advcrown-ibp-dm-small"]
    assert (fine.eps, fine.certified_eps, fine.beta_end, fine.domain[:4]) == (0.2, 0.1, 0.0, "mix(")
    assert read(fine.trainer).settings.fosc == pytest.approx(256e-5)
    zero, fast = (found[f"{name}-small"] for name in ("mnist-0.3-singleprop-zero", "cifar10-8-255-singleprop-fastlin"))
    assert (zero.domain, fast.domain) == ("symbolic_gap", "symbolic_gap(slopes=parallel)")
    assert found["cifar10-2-255-crown-ibp-dm-large"].beta_end == 1.0
