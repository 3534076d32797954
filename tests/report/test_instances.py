"""Benchmarks: rows, results one by one, runs that are killed or find the disk full, and what came of it all."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from absdomain.certification.journal import JournalError
from absdomain.report import others
from absdomain.report.answering import Answered, Way
from absdomain.report.instances import RESULTS, Instance, Result, read, run
from absdomain.report.standing import Count, Standing, line
from absdomain.runtime.writing import WriteError
from tests.cli.test_cli import call
from tests.cli.written import BOX, SAT, TWO, UNSAT, network, unsafe
from tests.mappers import Backwards

WAY = Way(threads=1)
ROWS = "net.onnx,sat.vnnlib,20,sat\nnet.onnx,unsat.vnnlib,20,unsat\nnet.onnx,third.vnnlib,20,unsat?\n"


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A folder with a CSV file of three instances, whose last expected verdict is contested."""
    network(tmp_path / "net.onnx")
    unsafe(tmp_path / "sat.vnnlib", SAT)
    unsafe(tmp_path / "unsat.vnnlib", UNSAT)
    unsafe(tmp_path / "third.vnnlib", "(assert (>= Y_0 1.25))\n")
    (tmp_path / "instances.csv").write_text(ROWS)
    return tmp_path


@pytest.mark.parametrize("head", ["", "onnx,vnnlib,timeout,expected\n", "onnx, vnnlib, timeout_s, verdict\n\n"])
def test_rows_with_and_without_a_header(bench: Path, head: str) -> None:
    (bench / "instances.csv").write_text(head + ROWS)
    rows = read(bench / "instances.csv")
    assert [(one.onnx, one.timeout, one.expected) for one in rows] == [
        ("net.onnx", 20, "sat"), ("net.onnx", 20, "unsat"), ("net.onnx", 20, ""),
    ]  # fmt: skip


def test_a_row_of_several_networks(bench: Path) -> None:
    network(bench / "g.onnx", slope=2.0)
    (bench / "two.vnnlib").write_text(TWO.replace("LIMIT", "1.5"))
    (bench / "instances.csv").write_text("f=net.onnx; g=g.onnx,two.vnnlib,20,unsat\n")
    rows = read(bench / "instances.csv")
    (found,) = run(rows, bench / "out", WAY)
    assert (found.answer.verdict, found.right(rows)) == ("unsat", True), found.answer.reason
    assert list(Standing.of(rows, [found]).groups) == [bench.name]
    for cell in ("f=a.onnx;b.onnx", "f=a.onnx;f=b.onnx", "f=;g=b.onnx"):
        (bench / "instances.csv").write_text(f"{cell},two.vnnlib,20\n")
        with pytest.raises(ValueError, match=r"csv:1: .*NAME=FILE"):
            read(bench / "instances.csv")
    (bench / "a=b.onnx").write_bytes((bench / "net.onnx").read_bytes())
    (bench / "instances.csv").write_text("a=b.onnx,sat.vnnlib,20\n")
    assert read(bench / "instances.csv")[0].networks == {"": "a=b.onnx"}


def test_columns_are_found_by_their_names(bench: Path) -> None:
    (bench / "instances.csv").write_text("id,timeout,vnnlib,onnx\n7,5,sat.vnnlib,net.onnx\n")
    (one,) = read(bench / "instances.csv")
    assert (one.onnx, one.vnnlib, one.timeout, one.expected) == ("net.onnx", "sat.vnnlib", 5, "")


@pytest.mark.parametrize(("text", "message"), [
    ("", "has no rows"), ("net.onnx,sat.vnnlib\n", "header"), ("a.onnx,b.vnnlib,1\na.onnx,b.vnnlib,soon\n", "csv:2: "),
    ("a.onnx,b.vnnlib,1\na.onnx\n", "csv:2: "), ("a.onnx,b.vnnlib,1\na.onnx,b.vnnlib,nan\n", "csv:2: "),
])  # fmt: skip
def test_rows_that_are_none_are_refused(bench: Path, text: str, message: str) -> None:
    (bench / "instances.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(bench / "instances.csv")


def test_a_gzipped_file_stands_for_one_that_is_not_there(bench: Path) -> None:
    one = Instance("net.onnx", "other.vnnlib", 1.0, "", bench)
    (bench / "other.vnnlib.gz").touch()
    assert one.asked.unsafe == bench / "other.vnnlib.gz"
    assert one.asked.network == bench / "net.onnx"


def test_the_command_answers_all_and_compares(bench: Path) -> None:
    (bench / "others.csv").write_text(
        "tool,onnx,vnnlib,seconds,verdict\nswift,x/net.onnx.gz,unsat.vnnlib,0.5,sat\nswift,net.onnx,sat.vnnlib,1,sat\n"
    )
    asked = ["verify", "--instances", bench / "instances.csv", "--threads", "1", "--others", bench / "others.csv"]
    told = call(*asked, "--out", bench / "out").stdout
    assert "swift" in told
    assert "unsat, swift sat" in " ".join(told.split())
    assert {path.name for path in (bench / "out").iterdir()} == {".absdomain", RESULTS, "summary.json", "cactus.png"}
    found = json.loads(call(*asked, "--out", bench / "out", "--json").stdout.splitlines()[-1])
    assert found == json.loads((bench / "out" / "summary.json").read_text())
    assert (found["total"]["right"], found["total"]["wrong"], len(found["times"]["swift"])) == (2, 0, 2)


def test_a_contradiction_is_red_and_an_error(bench: Path) -> None:
    (bench / "instances.csv").write_text("net.onnx,sat.vnnlib,20,unsat\n")
    asked = ["verify", "--instances", bench / "instances.csv", "--out", bench / "out", "--threads", "1"]
    assert "sat, but unsat is expected" in call(*asked, code=3).stderr
    rows = read(bench / "instances.csv")
    assert line(Result(0, Answered("sat", 1.0)), rows, 1).startswith("\x1b[31m")
    assert not line(Result(0, Answered("unknown", 1.0)), rows, 1).startswith("\x1b")


def test_what_cannot_be_answered_is_an_error_of_its_own_and_the_others_are_tried(bench: Path) -> None:
    (bench / "instances.csv").write_text("none.onnx,sat.vnnlib,9\nnet.onnx,unsat.vnnlib,9\n")
    found = list(run(read(bench / "instances.csv"), bench / "out", WAY))
    assert [one.answer.verdict for one in found] == ["error", "unsat"]
    assert "none.onnx" in found[0].answer.reason


def test_results_are_of_one_question(bench: Path) -> None:
    rows = read(bench / "instances.csv")[1:2]
    list(run(rows, bench / "out", WAY))
    for other, way in ((rows, Way(threads=1, domain="box")), (read(bench / "instances.csv"), WAY)):
        with pytest.raises(JournalError, match="another configuration"):
            list(run(other, bench / "out", way))
    unsafe(bench / "unsat.vnnlib", "(assert (>= Y_0 1.75001))\n")
    with pytest.raises(JournalError, match="files"):
        list(run(rows, bench / "out", WAY))
    (bench / "theirs").mkdir()
    (bench / "theirs" / "thesis.tex").write_text("words")
    with pytest.raises(WriteError, match=r"thesis\.tex"):
        list(run(rows, bench / "theirs", WAY))


def in_a_process(work: Callable[[], Any]) -> Any:
    process = get_context("fork").Process(target=work)
    process.start()
    return process


def lines(folder: Path) -> list[bytes]:
    file = folder / RESULTS
    return file.read_bytes().splitlines(keepends=True) if file.exists() else []


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_killed_run_goes_on_where_it_stopped(bench: Path) -> None:
    silent = bench / "third.vnnlib"
    silent.unlink()
    os.mkfifo(silent)  # whoever opens it waits for a writer
    rows, out = read(bench / "instances.csv"), bench / "out"
    process = in_a_process(lambda: list(run(rows, out, WAY)))
    until = time.monotonic() + 60
    while len(lines(out)) < 3:
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    kept = lines(out)
    assert len(kept) == 3
    (out / RESULTS).write_bytes(b"".join(kept) + b'{"index": 2, "verd')  # and its last line was cut off
    writer = threading.Thread(target=silent.write_text, args=(BOX + UNSAT,))
    writer.start()
    found = list(run(rows, out, WAY))
    writer.join()
    assert [one.index for one in found] == [0, 1, 2]
    assert [one.answer.verdict for one in found] == ["sat", "unsat", "unsat"]
    assert lines(out)[:3] == kept
    assert len(lines(out)) == 4


def test_instances_that_are_tried_elsewhere_in_any_order_have_the_same_answers(
    bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(found: list[Result]) -> list[dict[str, Any]]:
        return [one.to_json() | {"seconds": 0} for one in sorted(found, key=lambda one: one.index)]

    monkeypatch.chdir(bench)
    rows, mapper = read(Path("instances.csv")), Backwards()
    begun = run(rows, bench / "out", WAY, mapper=mapper)
    assert next(begun).index == 2
    begun.close()  # type: ignore[attr-defined]  # killed after its first instance
    found = list(run(rows, bench / "out", WAY, mapper=mapper))
    assert [one.index for one in found] == [2, 1, 0]
    assert mapper.names == [f"net.onnx {name}.vnnlib" for name in ("third", "unsat", "sat")]
    assert told(found) == told(list(run(rows, bench / "one", WAY)))


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_run_that_finds_the_disk_full_goes_on_when_it_is_not(bench: Path) -> None:
    rows, out = read(bench / "instances.csv"), bench / "out"

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))  # of any file: the header and a line
        asked = ["verify", "--instances", bench / "instances.csv", "--out", out, "--threads", "1"]
        assert "too large" in call(*asked, code=3).stderr

    process = in_a_process(full)
    process.join()
    assert process.exitcode == 0
    assert 0 < len((out / RESULTS).read_bytes()) <= 400
    done = [text for text in lines(out) if text.endswith(b"\n")]
    found = list(run(rows, out, WAY))
    assert [one.answer.verdict for one in found] == ["sat", "unsat", "unsat"]
    assert lines(out)[: len(done)] == done
    assert [json.loads(text)["index"] for text in lines(out)[1:]] == [0, 1, 2]


def test_the_count_of_verdicts(tmp_path: Path) -> None:
    rows = [Instance("a/n.onnx", f"{i}.vnnlib", 1.0, e, tmp_path) for i, e in enumerate(["sat", "unsat", "", "sat"])]
    answers = [Answered("sat", 1.0), Answered("sat", 2.0), Answered("unsat", 3.0), Answered("timeout", 4.0)]
    results = [Result(i, one) for i, one in enumerate(answers)]
    found = Standing.of(rows, results, [others.Other("t", 2, 9.0, "sat"), others.Other("t", 3, 9.0, "sat")])
    verdicts = {"sat": 2, "unsat": 1, "unknown": 0, "timeout": 1, "error": 0}
    assert found.total == found.groups["a"] == Count(4, 1, 1, verdicts, 10.0)
    assert found.times == {"absdomain": [1.0, 2.0, 3.0], "t": [9.0, 9.0]}
    assert found.contested == ["a/n.onnx 2.vnnlib: unsat, t sat"]
    assert Result.from_json(results[3].to_json()) == results[3]


@pytest.mark.parametrize("text", ["tool,seconds\n", "tool,instance,seconds,verdict\nt,one,1,sat\n"])
def test_others_that_cannot_be_read_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "others.csv").write_text(text)
    with pytest.raises(ValueError, match=r"others\.csv"):
        others.read(tmp_path / "others.csv", [])


def test_others_by_the_number_of_the_row(tmp_path: Path) -> None:
    (tmp_path / "others.csv").write_text("tool,instance,seconds,verdict\nt,1,0.5,UNSAT\nt,9,1,sat\n")
    rows = [Instance("n.onnx", "p.vnnlib", 1.0, "", tmp_path)]
    assert others.read(tmp_path / "others.csv", rows) == [others.Other("t", 0, 0.5, "unsat")]


REAL = Path(os.environ.get("ABSDOMAIN_DATA", "no folder")) / "vnnlib" / "instances.csv"


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="ABSDOMAIN_DATA names no folder with vnnlib/instances.csv")
def test_real_instances_have_the_verdicts_on_which_tools_agree(tmp_path: Path) -> None:
    """Those of 2021 and 2022: the first rows."""
    rows = read(REAL)[:37]
    found = Standing.of(rows, list(run(rows, tmp_path / "out", Way(timeout=60, threads=1), own_timeout=False)))
    assert (found.wrong, found.total.right) == (0, 37)
