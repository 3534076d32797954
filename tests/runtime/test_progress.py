"""The bar of a training stays on one line: on a narrow terminal what matters least is left out."""

import io
import re

import pytest
from rich.console import Console

import absdomain
from absdomain.runtime import progress
from absdomain.runtime.progress import fitting, layout
from absdomain.trainers.recipe import Values
from absdomain.trainers.run.metrics import Metrics, StepMetrics

EPOCH = Metrics(12, 1200, 0.512, 0.1, 0.5, 0.5, 1e-3, 0.0123, 0.1134, 60.0)
STEP = StepMetrics(13, 1210, 10_000, 0.512, Values(0.1, 0.5, 0.5), 0.04, 0.2)


def seen(monkeypatch: pytest.MonkeyPatch, width: int, title: str, text: str) -> str:
    """What stands on the terminal when the work is done."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    monkeypatch.setattr(progress, "errors", lambda: console)
    with progress.progress(title, 100) as show:
        show(12.1, text)
    lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line).rstrip() for line in re.split(r"[\r\n]", file.getvalue())]
    lines = [line for line in lines if line]
    assert all(len(line) <= width for line in lines)
    assert all("12/100" in line for line in lines[1:]), f"the text is on a line of its own: {lines}"
    return lines[-1]


@pytest.mark.parametrize("title", ["train cnn7", "train crown-ibp-dm-large", f"train {'long-' * 20}"])
@pytest.mark.parametrize("text", [EPOCH.told, "  ".join([*EPOCH.rates, STEP.told]), STEP.told], ids=["e", "e+s", "s"])
def test_eighty_columns_keep_epoch_time_and_verified_error(
    monkeypatch: pytest.MonkeyPatch, title: str, text: str
) -> None:
    line = seen(monkeypatch, 80, title, text)
    assert re.search(
        r"12/100 +(-:--:--|\d+:\d\d:\d\d) +verified error (11\.34 % \(held out\)|20\.00 % \(batch\))", line
    )
    assert "loss" not in line


def test_a_wide_terminal_shows_more(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "  ".join([*EPOCH.rates, STEP.told])
    line = seen(monkeypatch, 120, "train cnn7", text)
    assert line.startswith("train cnn7 ━")
    assert "verified error 11.34 % (held out)  clean error 1.23 % (held out)" in line
    everything = seen(monkeypatch, 220, "train cnn7", text)
    assert everything.endswith("loss 0.512  eps 0.1")
    assert "verified error 20.00 % (batch)  clean error 4.00 % (batch)" in everything


def test_work_inside_of_work_shows_no_bar_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("outer", 2) as outer, progress.progress("inner", 2) as inner:
        inner(2, "")
        outer(2, "done")
    assert capsys.readouterr().err == "outer: 2/2  done\n"
    with progress.progress("inner", 2) as inner:  # alone it does
        inner(2, "")
    assert capsys.readouterr().err == "inner: 2/2  \n"


def test_it_is_silent_when_asked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with absdomain.quiet(), progress.progress("work", 1) as show:
        show(1, "")
        progress.say("a line")
    monkeypatch.setenv(progress.QUIET, "1")
    with progress.progress("work", 1) as show:
        show(1, "")
        progress.say("a line")
    assert capsys.readouterr().err == ""


def test_a_notebook_has_a_bar_if_it_has_what_the_bar_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Console(force_jupyter=True)
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    assert not progress.drawn(notebook)
    monkeypatch.setattr(progress, "find_spec", lambda name: object())
    assert progress.drawn(notebook)
    assert not progress.drawn(Console(file=io.StringIO(), force_jupyter=False))


def test_brackets_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "[bold]x" in seen(monkeypatch, 120, "train [red]net", "[bold]x")


def test_what_fits() -> None:
    assert fitting("abc  def  g", 8) == "abc  def"
    assert fitting("abc  def  g", 7) == "abc"
    assert fitting("abcdef", 4) == "abcd"
    assert layout("train", 100, 200)[1] == 40
    assert layout("train", 100, 80)[1] == 10
    assert layout("t" * 60, 100, 80)[:2] == ("", 0)
