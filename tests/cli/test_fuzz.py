"""`absdomain fuzz` tries what it says, shows it, and ends with the exit code of what it found."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from absdomain import parse
from absdomain.cli.main import app
from absdomain.domains import Box
from absdomain.laws import LAWS, LawBroken
from absdomain.laws.domains import named
from absdomain.report import fuzzing
from absdomain.runtime.units import HERE
from tests.laws.mutants_of_domains import at_the_centre
from tests.mappers import Backwards


@pytest.fixture(autouse=True)
def _threads() -> Any:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def fuzz(*arguments: object, code: int) -> Any:
    result = CliRunner().invoke(app, ["fuzz", *map(str, arguments)])
    assert result.exit_code == code, f"exit code {result.exit_code}\n{result.stdout}\n{result.stderr}"
    return result


def test_a_sound_domain_is_green_and_what_was_tried_is_shown() -> None:
    result = fuzz("--domain", "box & deeppoly", "--domain", "box", "--examples", 2, "--seed", 5, code=0)
    for law in LAWS:
        rows = re.findall(rf"\b{law}\s+│ +(\d+) ", result.stdout)
        assert rows == ["3"] * sum(law.binds(parse(text)) for text in ("box & deeppoly", "box")), law
    tried = sum(3 * sum(law.binds(parse(text)) for law in LAWS) for text in ("box & deeppoly",))
    assert f"{tried} problems" in result.stdout
    assert result.stdout.count("slack on 2 networks") == 2
    assert re.search(r"fuzz box: \d+/\d+ +\w+ \d", result.stderr)


def test_a_broken_law_is_exit_code_1_with_the_shrunk_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Box, "relax", at_the_centre(Box.relax))
    result = fuzz("--domain", "box", "--laws", "contains", "--examples", 100, code=1)
    assert "breaks the law `contains`" in result.stdout
    script = result.stdout[result.stdout.index("import torch") :]
    assert script.count("Node(") <= 3, script
    monkeypatch.undo()
    exec(compile(script, "script", "exec"), {})  # it stands alone


@pytest.mark.parametrize("arguments", [
    (), ("--domain", "bx"), ("--domain", "box", "--laws", "contained"), ("--domain", "box", "--profile", "weekly"),
    ("--domain", "box", "--examples", 0), ("--domain", "box &"),
], ids=str)  # fmt: skip
def test_what_is_not_understood_is_exit_code_2(arguments: tuple[object, ...]) -> None:
    assert "Usage" in fuzz(*arguments, code=2).stderr


def test_a_profile_says_how_many() -> None:
    class Solved(Box):
        traits = replace(Box.traits, solved=True)

    assert (fuzzing.count(Box(), "fast"), fuzzing.count(Box(), "nightly")) == (40, 10_000)
    assert fuzzing.count(Solved(), "nightly") == 500


def test_the_same_seed_tries_the_same() -> None:
    one, two, other = (
        fuzzing.fuzz(Box(), examples=3, seed=seed, laws=[law for law in LAWS if str(law) == "contains"]).tally
        for seed in (1, 1, 2)
    )
    assert one == two
    assert one != other


def test_laws_are_chosen_by_the_dtype_of_their_problems_and_by_how_large_rounding_is() -> None:
    single = {str(law) for law in fuzzing.chosen(None, "float32", extremes=False)}
    assert single == {"keeps_its_dtype", "holds_where_rounding_is_large_in_float32"}
    assert {str(law) for law in fuzzing.chosen(None, "float64", extremes=True)} == {"holds_where_rounding_is_large"}
    assert fuzzing.chosen(None, None, extremes=False) == LAWS
    result = fuzz("--domain", "box", "--examples", 2, "--extremes", "--dtype", "float32", code=0)
    assert "holds_where_rounding_is_large_in_float32" in result.stdout
    assert "Usage" in fuzz("--domain", "box", "--dtype", "float16", code=2).stderr
    assert "Usage" in fuzz("--domain", "box", "--laws", "contains", "--extremes", code=2).stderr


def test_laws_that_are_tried_elsewhere_in_any_order_have_the_same_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    laws = named("contains", "exact_at_a_point")
    asked: dict[str, Any] = {"examples": 2, "seed": 5, "laws": laws}
    here, there = (fuzzing.fuzz(Box(), **asked, mapper=mapper) for mapper in (HERE, Backwards()))
    assert (there.tally, there.slack) == (here.tally, here.slack)
    assert list(there.tally.tried) == [str(law) for law in laws] == list(there.seconds)
    monkeypatch.setattr(Box, "relax", at_the_centre(Box.relax))
    told = []
    for mapper in (HERE, Backwards()):
        with pytest.raises(LawBroken, match="breaks the law `contains`") as caught:  # the first, though others are
            fuzzing.fuzz(Box(), **asked | {"examples": 20}, mapper=mapper)
        told.append((str(caught.value), caught.value.script, caught.value.reproduction))
    assert told[0] == told[1]
    with pytest.raises(ValueError, match="a reproduction is of one law, and 2 are asked"):
        fuzzing.fuzz(Box(), **asked, reproduce="6:x")
