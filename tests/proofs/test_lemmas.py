"""Every lemma holds, every twin is refuted, and every operation and domain names a lemma that speaks of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from absdomain import ops
from absdomain.cli.main import app
from absdomain.domain import Domain, Guided, Meet, Mix
from absdomain.kinds import Op
from absdomain.proofs import coverage
from absdomain.proofs import lemma as lemma_module
from absdomain.proofs.lemma import Lemma, lemmas, markdown, verify
from absdomain.registry import find, names
from tests.proofs.equivalent import FEW, reason
from tests.proofs.mutation import Outcome, mutants, outcome

ROOT = Path(__file__).parents[2]
LEMMAS = lemmas()
RENEW = "run `absdomain prove --readme proofs/README.md`, with the lemmas' names"
PATCHES = 2  # of each function that a lemma lists, for one lemma of six in the fast tests; all in the slow ones


@pytest.mark.parametrize("lemma", LEMMAS.values(), ids=LEMMAS)
def test_a_lemma_holds_and_its_twins_are_refuted(lemma: Lemma) -> None:
    result = verify(lemma)
    assert not result.fault, result.fault
    assert result.claims > 0


@pytest.mark.sampled(6)
@pytest.mark.parametrize("lemma", LEMMAS.values(), ids=LEMMAS)
def test_wrong_patches_fail_the_lemma(lemma: Lemma) -> None:
    """Two wrong patches of each function that the lemma lists, drawn from its source by rule."""
    result = verify(lemma)
    for f in lemma.functions:
        failed = 0
        for mutant in sorted(mutants(f), key=lambda mutant: bool(reason(f, mutant.mistake))):  # these run every check
            if failed == PATCHES:
                break
            verdict = outcome(mutant, result)
            failed += verdict in (Outcome.FAILS, Outcome.LATE)
            seen = verdict is not Outcome.PASSES or reason(f, mutant.mistake)
            assert seen, f"{lemma.name} does not see a patch of {f.__qualname__}: {mutant.mistake}"
        assert failed == PATCHES or f.__qualname__ in FEW, f"{f.__qualname__}: {failed} wrong patches, not {PATCHES}"


@pytest.mark.slow
@pytest.mark.timeout(7200)  # robustra has 472 patches
@pytest.mark.figures
@pytest.mark.parametrize("lemma", LEMMAS.values(), ids=LEMMAS)
def test_all_wrong_patches_fail_but_those_with_a_reason(lemma: Lemma) -> None:
    result = verify(lemma)
    counts, passing = Counter[Outcome](), []
    for f in lemma.functions:
        for mutant in mutants(f):
            verdict = outcome(mutant, result)
            counts[verdict] += 1
            if verdict is Outcome.PASSES and not reason(f, mutant.mistake):
                passing.append(f"{f.__qualname__}: {mutant.mistake}")
    tried = counts.total() - counts[Outcome.NOTHING]
    print(f"{lemma.name}: {len(lemma.functions)} functions, {tried} patches, {counts[Outcome.PASSES]} are no mistakes")
    assert not passing, f"{lemma.name} does not see:\n" + "\n".join(passing)


def test_every_lemma_has_a_twin() -> None:
    without = [name for name, lemma in LEMMAS.items() if not lemma.twins]
    assert not without, f"{without} have no falsified twin, so that nothing shows that their checks can fail"


SHIPPED = [vars(ops)[name] for name in ops.__all__ if isinstance(vars(ops)[name], type)]


@pytest.mark.parametrize("op", SHIPPED, ids=lambda op: op.__name__)
def test_every_operation_names_its_lemma(op: type[Op]) -> None:
    assert op.lemma in LEMMAS, f"{op.__name__}.lemma is {op.lemma!r}; give it a lemma in proofs/ and name it"
    code = {getattr(thing, "__qualname__", "").split(".")[0] for thing in LEMMAS[op.lemma].about}
    known = {cls.__name__ for cls in op.__mro__} & code
    assert known, f"the lemma {op.lemma!r} speaks of {sorted(code)}, but not of {op.__name__} or what it derives from"


def domains() -> list[type[Domain[Any]]]:
    found = [find("domains", name) for name in names("domains")]
    return [*(d for d in found if isinstance(d, type) and d.__module__.startswith("absdomain.")), Guided, Meet, Mix]


@pytest.mark.parametrize("domain", domains(), ids=lambda domain: domain.__name__)
def test_every_domain_names_its_lemma(domain: type[Domain[Any]]) -> None:
    assert domain.lemma in LEMMAS, f"{domain.__name__}.lemma is {domain.lemma!r}; give it a lemma and name it"


def test_all_domains_are_asked() -> None:
    assert len(domains()) >= 5


def test_the_readme_has_the_table_of_the_lemmas() -> None:
    text = (ROOT / "proofs" / "README.md").read_text()
    assert markdown() in text, "proofs/README.md is not up to date; write absdomain.proofs.lemma.markdown() into it"


def test_the_readme_has_what_each_lemma_runs() -> None:
    """The counts of what is listed; which ways are gone, the slow test below compares."""
    rows = coverage.rows((ROOT / "proofs" / "README.md").read_text())
    assert list(rows) == list(LEMMAS), RENEW
    for name, lemma in LEMMAS.items():
        counts = [int(cell.split(" of ")[1]) for cell in rows[name].split(" | ")[1:4]]
        assert tuple(counts) == coverage.asked(lemma), f"{name}: {RENEW}"


@pytest.mark.slow
@pytest.mark.parametrize("lemma", LEMMAS.values(), ids=LEMMAS)
def test_the_ways_that_a_lemma_goes_are_those_in_the_readme(lemma: Lemma) -> None:
    row = coverage.row(verify(lemma, branches=True))
    assert row == coverage.rows((ROOT / "proofs" / "README.md").read_text())[lemma.name], RENEW


def test_a_table_is_renewed_in_its_place() -> None:
    head = "\n".join(coverage.HEAD)
    result = verify(LEMMAS["guided"], branches=True)
    row = coverage.row(result)
    old = "| `relu` | as it was |"
    text = coverage.renewed(f"before\n\n{head}\n| `gone` | 1 |\n| `guided` | 2 |\n{old}\n\nafter\n", [result])
    assert text == f"before\n\n{head}\n{old}\n{row}\n\nafter\n"
    with pytest.raises(ValueError, match="has no table"):
        coverage.renewed("nothing", [result])


def test_the_command_proves_and_says_so() -> None:
    done = CliRunner().invoke(app, ["prove", "mix", "guided"])
    assert done.exit_code == 0, done.output
    assert "2 lemmas hold" in done.output


def test_the_command_says_what_is_run_and_writes_it(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("\n".join(coverage.HEAD) + "\n")
    done = CliRunner().invoke(app, ["prove", "guided", "--coverage", "--readme", str(readme)])
    assert done.exit_code == 0, done.output
    assert "guided: 8 of 8 functions" in done.output and "through " in done.output
    assert "| `guided` | 8 of 8 |" in readme.read_text()
    refused = CliRunner().invoke(app, ["prove", "guided", "--readme", str(tmp_path / "none.md")])
    assert refused.exit_code == 2


def test_a_plug_in_has_lemmas_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(LEMMAS["guided"], name="theirs")
    monkeypatch.setattr(lemma_module, "names", lambda group: ["plug"] if group == "lemmas" else [])
    for found, wrong in (((own,), ""), ((LEMMAS["relu"],), "is known already"), ((), "has no lemmas")):
        monkeypatch.setattr(lemma_module, "find", lambda group, name, found=found: SimpleNamespace(LEMMAS=found))
        if wrong:
            with pytest.raises(ValueError, match=wrong):
                lemmas()
        else:
            assert list(lemmas()) == [*LEMMAS, "theirs"]


def test_lemmas_about_what_is_not_installed_are_left_out_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lemma_module, "find_spec", lambda package: None)
    assert set(LEMMAS) - set(lemma_module.shipped()) == {"ball"}
    done = CliRunner().invoke(app, ["prove", "mix"])
    assert done.exit_code == 0 and "left out: the lemmas of ball" in done.output


def test_the_command_fails_where_a_lemma_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mix, "_mixed", lambda self, ends: 2 * ends[0] - ends[1] if len(ends) == 2 else ends[0])
    done = CliRunner().invoke(app, ["prove", "mix", "guided"])
    assert done.exit_code == 1
    assert "mix" in done.output


@pytest.mark.parametrize(("name", "hint"), [
    ("fermat", "there are"), ("Sqrt", "did you mean pow?"), ("deeppolly", "did you mean deeppoly"),
])  # fmt: skip
def test_an_unknown_lemma_is_no_failed_one(name: str, hint: str) -> None:
    done = CliRunner().invoke(app, ["prove", "relu", name])
    assert done.exit_code == 2
    told = " ".join(done.output.replace("│", "").split())
    assert f"no lemma is called {name!r}; {hint}" in told
