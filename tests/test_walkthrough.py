"""The walk-through for authors of domains says what happens: its code runs, and its bug is found as it shows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from absdomain.laws import LawBroken, check_domain
from absdomain.laws.domains import named

DOC = (Path(__file__).parents[1] / "docs" / "new-domain.md").read_text()
FILES = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", DOC, re.DOTALL | re.MULTILINE))
(SHOWN,) = re.findall(r"^```text\n(.*?)^```$", DOC, re.DOTALL | re.MULTILINE)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's files in a folder on the path."""
    for name, code in FILES.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in FILES:
        sys.modules.pop(name, None)


def run(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(FILES[name], f"{name}.py", "exec"), names)
    return names


def test_the_domain_is_one_file_of_at_most_60_lines() -> None:
    assert set(FILES) == {"symbolic", "check", "hasty", "break"}
    lines = FILES["symbolic"].splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 120


@pytest.mark.slow
@pytest.mark.usefixtures("site")
def test_the_domain_keeps_the_laws_and_its_slack_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    run("check")
    printed = capsys.readouterr().out
    assert re.match(r"\d+ problems, \d+ of them branching; .*; slack on 40 networks", printed)


def parts(message: str) -> tuple[str, str, list[str], str]:
    """The law that is broken, the name of the law's test, the lines of the nodes, and the script."""
    told = re.match(
        r"(.*?): \S+ <= \S+ fails at \[.*\] \(\d+ entries\)\n\w+ breaks the law `(\w+)` \(seed 0\):\nAgain: .*\n\n",
        message,
    )
    assert told, message
    script = message[told.end() :].rstrip()
    return told[1], told[2], re.findall(r"^    Node\(.*$", script, re.MULTILINE), script


@pytest.mark.slow
@pytest.mark.usefixtures("site")
def test_the_bug_is_found_and_shown_as_the_page_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    run("break")
    law, name, nodes, script = parts(capsys.readouterr().out)
    shown_law, shown_name, shown_nodes, shown_script = parts(SHOWN)
    assert name == shown_name == "contains"
    assert {law, shown_law} <= {"f(x) <= upper", "lower <= f(x)", "f(x) <= upper at an inner node"}
    assert len(shown_nodes) == 3
    # hypothesis stops at a local minimum, which moves with the list of ops that are drawn: 3 nodes on the page
    assert len(nodes) <= 6, f"not shrunk:\n{script}"
    assert [line.partition(" =")[0] for line in script.splitlines()[-8:]] == [
        line.partition(" =")[0] for line in shown_script.splitlines()[-8:]
    ]


@pytest.mark.usefixtures("site")
def test_the_script_on_the_page_shows_the_failure(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec("from hasty import Hasty\n" + parts(SHOWN)[3], names)
    printed = capsys.readouterr().out
    assert float(names["trace"].lower) == pytest.approx(1.0)
    assert float(names["y"].min()) < 0.55
    assert "bounds" in printed


@pytest.mark.usefixtures("site")
def test_the_same_problems_do_not_break_the_domain_itself() -> None:
    names: dict[str, Any] = {}
    exec("from symbolic import Symbolic\nfrom hasty import Hasty", names)
    check_domain(names["Symbolic"](), laws=named("contains"), examples=100)
    with pytest.raises(LawBroken):
        check_domain(names["Hasty"](), laws=named("contains"), examples=100, shrink=False)


def test_the_page_speaks_of_what_exists() -> None:
    assert "tests/test_walkthrough.py" in DOC
    for option in re.findall(r"`absdomain fuzz (.*?)`", DOC):
        assert re.findall(r"--(\w+)", option) == ["domain", "examples", "seed"]
