"""The examples for users' own scripts: they run, they do what they promise, and their README shows them as they are."""

from __future__ import annotations

import difflib
import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import absdomain
from absdomain import registry
from absdomain.certification import Status
from absdomain.trainers import Certified, load_run
from tests.installed import ABSDOMAIN, install, run

EXAMPLES = Path(__file__).parents[1] / "examples"
PLAIN, CERTIFIED = EXAMPLES / "plain_loop.py", EXAMPLES / "plain_loop_certified.py"
README = (EXAMPLES / "README.md").read_text()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Such small tensors gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def change() -> list[str]:
    """The lines of a diff from the plain loop to the certified one, without its head."""
    before, after = (path.read_text().splitlines() for path in (PLAIN, CERTIFIED))
    return list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]


def test_certified_training_takes_fewer_than_ten_changed_lines() -> None:
    changed = [line for line in change() if line[0] in "+-"]
    assert 3 < len(changed) < 10, changed
    assert len(changed) == 8, "as the READMEs and docs/training.md say"
    assert "absdomain" not in PLAIN.read_text()


def test_the_readme_shows_that_change() -> None:
    (shown,) = re.findall(r"^```diff\n(.*?)\n```$", README, re.DOTALL | re.MULTILINE)
    lines = [line for line in change() if not line.startswith("@@")]
    assert shown.splitlines() == [line.rstrip() for line in lines]


def verified_error(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """By the usual cascade at the radius of the example, in percent."""
    verdicts = absdomain.certify(model, images, labels, eps=0.1)
    return 100 * sum(verdict.status is not Status.VERIFIED for verdict in verdicts) / len(labels)


def test_it_makes_the_network_verifiable(capsys: pytest.CaptureFixture[str]) -> None:
    clean, verified = [], []
    for path in (PLAIN, CERTIFIED):
        names = runpy.run_path(str(path))
        (error,) = re.findall(r"clean error: (.*) %", capsys.readouterr().out)
        clean.append(float(error))
        verified.append(verified_error(names["model"], *names["test"]))
    assert clean[0] < 12
    assert clean[1] < clean[0] + 8
    assert verified[0] > 80
    assert verified[1] < 45, "far better than the plain loop's network"
    told = re.findall(r"(\d+)\s%", README.partition("|---|")[2].partition("Any domain")[0])
    assert [float(number) for number in told] == pytest.approx([clean[0], verified[0], clean[1], verified[1]], abs=4), (
        "as the README has it, but for another machine's rounding"
    )


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["lightning", "accelerate"])
def test_a_framework_s_loop_trains_an_objective(framework: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(framework, reason=f"pip install {framework}")
    pytest.importorskip("sklearn", reason="pip install absdomain[data]")
    runpy.run_path(str(EXAMPLES / f"with_{framework}.py"))
    ((clean, verified),) = re.findall(r"clean error: (.*) %, verified error: (.*) %", capsys.readouterr().out)
    assert float(clean) < 20
    assert float(verified) < 45, "far below the plain loop's 88 %"


# --- an objective of one's own


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(EXAMPLES / "own_objective", tmp_path_factory.mktemp("objective"))


def test_without_the_package_its_name_is_unknown() -> None:
    assert "narrow" not in registry.names("trainers")


@pytest.mark.slow
def test_the_command_line_trains_with_the_objective_and_certifies(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    common: list[str | Path] = ["--data", "digits", "--network", "mlp-2x100", "--eps", "0.1", "--epochs", "12"]
    run(site, ABSDOMAIN, "train", *common, "--trainer", "narrow(width=2.0)", "--threads", "1", "--out", out)
    assert json.loads((out / "config.json").read_text())["recipe"]["trainer"] == "narrow(width=2.0)"
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    assert rows[-1]["more"]["mean_width"] < 1 < 0.5 * max(row["more"].get("mean_width", 0) for row in rows)
    assert rows[-1]["clean_error"] < 0.1
    assert rows[-1]["verified_error"] < 0.6
    network, _ = load_run(out)
    assert isinstance(network, nn.Module)  # the finished network needs the package no more


def test_options_are_checked(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)
    found = runpy.run_path(str(site / "narrow" / "__init__.py"))
    assert issubclass(found["Narrow"], Certified)
    with pytest.raises(ValueError, match=r"width: 0\.0 cannot be used"):
        found["Settings"](width=0.0)
