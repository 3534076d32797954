"""`absdomain verify` and `supports`: verdicts, formats, exit codes; nothing but the question decides a verdict."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from absdomain import verify
from absdomain.cli.main import app
from absdomain.cli.verify import EXITS
from absdomain.properties.decimals import exact
from absdomain.vnnlib import read_property
from tests.cli.test_cli import call
from tests.cli.written import SAT, TWO, UNSAT, network, unsafe


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    network(tmp_path / "net.onnx")
    unsafe(tmp_path / "sat.vnnlib", SAT)
    unsafe(tmp_path / "unsat.vnnlib", UNSAT)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def ran(*args: object) -> tuple[int, Any]:
    """The exit code, and the last line of stdout as JSON."""
    done = CliRunner().invoke(app, ["verify", *map(str, args), "--json"])
    return done.exit_code, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("limits", [[], ["--timeout", "60"], ["--timeout", "60", "--memory", "60"]], ids=" ".join)
@pytest.mark.parametrize("verdict", ["sat", "unsat"])
def test_the_verdict_is_the_same_however_it_is_asked(verdict: str, limits: list[str]) -> None:
    asked = ["net.onnx", f"{verdict}.vnnlib", "--threads", "1", *limits]
    code, found = ran(*asked)
    assert (code, found["verdict"]) == (EXITS[verdict], verdict)
    assert set(found) == {"verdict", "seconds", "reason", "branches", "counterexample"}
    told = call("verify", *asked, code=EXITS[verdict]).stdout
    assert told.splitlines()[0] == verdict
    assert str(verify("net.onnx", f"{verdict}.vnnlib").verdict) == verdict


def test_a_counterexample_is_written_in_the_format_of_the_competition(tmp_path: Path) -> None:
    told = call("verify", "net.onnx", "sat.vnnlib", "--result", "result.txt", code=1).stdout
    assert (tmp_path / "result.txt").read_text() == told
    text = re.sub(r"\s+", " ", told).strip()
    found = re.fullmatch(r"sat \(\(X_0 (\S+)\) \(X_1 (\S+)\) \(Y_0 (\S+)\)\)", text)
    assert found is not None, told
    x0, x1, y = map(float, found.groups())
    assert read_property("sat.vnnlib").holds({"X": exact(torch.tensor([x0, x1])), "Y": exact(torch.tensor([y]))})
    assert y == pytest.approx(abs(x0 - x1))
    call("verify", "net.onnx", "unsat.vnnlib", "--result", "result.txt")
    assert (tmp_path / "result.txt").read_text() == "unsat\n"


def test_a_file_of_others_is_no_place_for_a_result(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("unsat, I believe\n")
    assert "stays" in call("verify", "net.onnx", "unsat.vnnlib", "--result", "notes.txt", code=3).stderr
    assert (tmp_path / "notes.txt").read_text() == "unsat, I believe\n"


def test_a_question_that_cannot_be_read_is_ended_by_its_time(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "silent.vnnlib")  # whoever opens it waits for a writer
    code, found = ran("net.onnx", "silent.vnnlib", "--timeout", "0.2")
    assert (code, found["verdict"]) == (2, "timeout")
    assert "0.2 s" in found["reason"]
    code, found = ran("net.onnx", "silent.vnnlib", "--memory", "0.01")
    assert (code, found["verdict"]) == (2, "unknown")
    assert found["reason"].startswith("memory: ")


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("args", "message"), [
    (["net.onnx", "none.vnnlib"], "none.vnnlib"),
    (["none.onnx", "sat.vnnlib"], "none.onnx"),
    (["net.onnx"], "give NET and PROPERTY"),
    (["net.onnx", "sat.vnnlib", "--domain", "boks"], "boks"),
    (["net.onnx", "sat.vnnlib", "--domain", "symbolic_gap"], "SOUND"),
    (["net.onnx", "sat.vnnlib", "--timeout", "soon"], "--timeout"),
    (["net.onnx", "sat.vnnlib", "--nonsense"], "--nonsense"),
    (["net.onnx", "sat.vnnlib", "more"], "more"),
    (["sat.vnnlib", "--network", "net.onnx"], "NAME=FILE"),
    (["sat.vnnlib", "--network", "M=net.onnx"], "its networks are N"),
    (["net.onnx", "sat.vnnlib", "--out", "folder"], "--out"),
    (["--instances", "none.csv"], "--out"),
    (["net.onnx", "broken.vnnlib"], "broken.vnnlib:1:"),
])  # fmt: skip
def test_an_error_is_a_verdict(args: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "broken.vnnlib").write_text("(assert (<= X_0 1))")
    code, found = ran(*args)
    assert (code, found["verdict"]) == (3, "error")
    assert message in found["reason"]
    done = CliRunner().invoke(app, ["verify", *args])
    assert (done.exit_code, done.stdout) == (3, "")
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback() -> None:
    done = CliRunner().invoke(app, ["verify", "net.onnx", "none.vnnlib", "--debug"])
    assert isinstance(done.exception, FileNotFoundError)


@pytest.mark.parametrize(("limit", "verdict"), [("0.5", "sat"), ("1.5", "unsat")])
def test_two_networks_of_a_newer_property(limit: str, verdict: str, tmp_path: Path) -> None:
    network(tmp_path / "g.onnx", slope=2.0)
    (tmp_path / "two.vnnlib").write_text(TWO.replace("LIMIT", limit))
    asked = ["two.vnnlib", "--network", "f=net.onnx", "--network", "g=g.onnx"]
    told = call("verify", *asked, code=EXITS[verdict]).stdout.splitlines()
    assert told[0] == verdict
    heads = [line for line in told[1:] if " " in line]
    kinds = ["A float32 [1,2]", "B float32 [1,1]", "C float32 [1,2]", "D float32 [1,1]"]
    assert heads == (kinds if verdict == "sat" else [])
    if verdict == "sat":
        a0, a1, b, c0, c1, d = (float(line) for line in told[1:] if " " not in line)
        assert (a0, a1) == (c0, c1)
        assert d >= b + 0.5
    code, found = ran(*asked)
    assert (code, found["verdict"]) == (EXITS[verdict], verdict)


def test_a_time_out_is_called_by_its_newer_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "silent.vnnlib")
    asked = ["silent.vnnlib", "--network", "f=net.onnx", "--timeout", "0.1"]
    assert call("verify", *asked, code=2).stdout == "timed-out\n"


def test_a_search_tells_how_it_goes() -> None:
    seen: list[tuple[int, int, float]] = []
    tight = unsafe(Path("tight.vnnlib"), "(assert (>= Y_0 1.0001))\n")
    found = verify("net.onnx", tight, domain="box", batch=1, watch=lambda *told: seen.append(told))
    assert str(found.verdict) == "unsat"
    assert seen
    assert all(open_ >= 1 for _, open_, _ in seen)
    assert [bounded for bounded, _, _ in seen] == sorted(bounded for bounded, _, _ in seen)


def test_what_is_supported_is_told_in_the_words_of_the_standard() -> None:
    operators = call("supports", "--onnx-operators").stdout.split()
    assert {"Conv", "Gemm", "Relu", "Sigmoid"} <= set(operators)
    assert call("supports", "--vnnlib-versions").stdout == "1.0\n2.0\n"
    least, most = map(int, call("supports", "--onnx-opset-versions").stdout.split())
    assert least == 7 < most
    assert call("supports", "--onnx-element-types").stdout == "real\n"
    assert "--unsat-proofs" in call("supports", "--colours", code=1).stderr
    assert call("--name").stdout == "absdomain\n"
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", call("--version").stdout)


ROOT = Path(__file__).parents[2]
PROBE = """
import json, sys
from absdomain.cli.main import app
try:
    app(["verify", *sys.argv[1:]])
except SystemExit as end:
    assert end.code == 0
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
HEAVY = {"cvxpy", "hypothesis", "matplotlib", "pooch", "safetensors", "scipy", "sklearn", "sympy", "rich", "onnxscript"}


def test_a_small_question_imports_nothing_heavy(tmp_path: Path) -> None:
    """Else no answer is quick: `python -m benchmarks startup` measures it."""
    asked = [sys.executable, "-c", PROBE, str(tmp_path / "net.onnx"), str(tmp_path / "unsat.vnnlib")]
    out = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=ROOT)
    assert not HEAVY & set(json.loads(out.stdout.splitlines()[-1]))
