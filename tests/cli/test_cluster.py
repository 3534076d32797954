"""Commands on clusters of real processes: what one process gives, though the client is killed on the way."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from absdomain.cli.options import cluster_of, threads_of
from tests.cli.test_cli import call
from tests.cli.written import BOX, SAT, UNSAT, network, unsafe
from tests.clusters import outside, wait_for

pytest.importorskip("distributed", reason="the extra dask is not installed")
TRAIN = ["train", "--data", "digits", "--network", "mlp-2x100", "--epochs", "3", "--eps", "0.03", "--device", "cpu"]
ASK = ["--subset", "120", "--batch", "6", "--domain", "box", "--domain", "crown", "--steps", "20", "--curve", "0"]
LAWS = ["--laws", "contains", "--laws", "proves", "--laws", "keeps_its_dtype"]
PATIENCE = 900  # seconds, where many tests run at once
DOCS = Path(__file__).parents[2] / "docs" / "cluster.md"


def test_a_cluster_is_given_in_one_way_and_has_one_thread_for_each_worker() -> None:
    assert cluster_of(None, None) is None and cluster_of("tcp://a:1", None) == "tcp://a:1" and cluster_of(None, 3) == 3
    assert threads_of(None, None) is None and threads_of(None, 2) == 1 and threads_of(4, "tcp://a:1") == 4
    both = ["--workers", 2, "--scheduler", "tcp://a:1"]
    for command, code in ((["certify", "run"], 1), (["verify", "--instances", "a.csv"], 3)):
        assert "error: give either --scheduler, or --workers" in call(*command, *both, code=code).stderr
    assert "takes no --workers" in call("verify", "a.onnx", "b.vnnlib", "--workers", 2, code=3).stderr


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    threads = torch.get_num_threads()
    call(*TRAIN, "--threads", 1, "--out", tmp_path / "run")
    yield tmp_path / "run"
    torch.set_num_threads(threads)


def lines(file: Path) -> list[dict[str, Any]]:
    """The verdicts of a file that may be written in this moment."""
    whole = file.read_text().rpartition("\n")[0].splitlines() if file.exists() else []
    return [json.loads(line) for line in whole[1:]]


def start(*args: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "absdomain.cli", *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def killed_and_started_again(command: list[object], file: Path) -> list[dict[str, Any]]:
    """The lines of the file when the command was killed after some, and started again."""
    client = start(*command)
    wait_for(lambda: len(lines(file)) >= 12, PATIENCE)
    os.kill(client.pid, signal.SIGKILL)
    client.wait()
    kept = lines(file)
    assert len(kept) < 120, "it had ended before it was killed"
    again = start(*command)
    assert again.wait(PATIENCE) == 0
    found = lines(file)
    assert found[: len(kept)] == kept, "what was known is lost"
    return found


@pytest.mark.slow
def test_a_killed_certification_goes_on_with_the_verdicts_of_one_process(run: Path, tmp_path: Path) -> None:
    call("certify", run, *ASK, "--threads", 1, "--out", tmp_path / "one")
    whole = lines(tmp_path / "one" / "verdicts.jsonl")
    assert len(whole) == 120 and len({row["status"] for row in whole}) > 1
    with outside(tmp_path, workers=2) as (address, _):
        for name, where in (("local", ["--workers", "2"]), ("outside", ["--scheduler", address])):
            file = tmp_path / name / "verdicts.jsonl"
            found = killed_and_started_again(["certify", run, *ASK, *where, "--out", tmp_path / name], file)
            assert sorted(found, key=lambda row: int(row["index"])) == whole
            results = [json.loads((tmp_path / place / "results.json").read_text()) for place in ("one", name)]
            assert results[0] | {"folder": ""} == results[1] | {"folder": ""}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_killed_benchmark_leaves_no_process_and_goes_on(tmp_path: Path) -> None:
    import psutil

    network(tmp_path / "net.onnx")
    for name, text in (("sat", SAT), ("unsat", UNSAT), ("other", "(assert (>= Y_0 1.25))\n")):
        unsafe(tmp_path / f"{name}.vnnlib", text)
    os.mkfifo(tmp_path / "waits.vnnlib")  # whoever opens it waits for a writer
    rows = [f"net.onnx,{name}.vnnlib,100" for name in ("waits", "sat", "unsat", "other")]
    (tmp_path / "instances.csv").write_text("\n".join(rows))
    file = tmp_path / "out" / "results.jsonl"
    asked = ["verify", "--instances", tmp_path / "instances.csv", "--out", tmp_path / "out", "--workers", 2]
    client = start(*asked)
    wait_for(lambda: len(lines(file)) == 3, PATIENCE)
    started = psutil.Process(client.pid).children(recursive=True)
    assert len(started) >= 3  # two workers, and what one of them tries
    client.kill()
    client.wait()
    wait_for(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in started), PATIENCE)
    kept = lines(file)
    again = start(*asked)
    (tmp_path / "waits.vnnlib").write_text(BOX + UNSAT)
    assert again.wait(PATIENCE) == 0
    found = lines(file)
    assert found[:3] == kept
    assert {row["index"]: row["verdict"] for row in found} == {0: "unsat", 1: "sat", 2: "unsat", 3: "unsat"}


@pytest.mark.slow
def test_laws_that_two_workers_try_have_the_outcome_of_one_process() -> None:
    def tried(*where: object) -> str:
        shown = call("fuzz", "--domain", "box & deeppoly", "--examples", 5, "--seed", 7, *LAWS, *where).stdout
        return re.sub(r"│ +\d+ │([^│]*│)$", r"│\1", shown, flags=re.MULTILINE)  # without problems a second

    assert tried("--workers", 2) == tried()


@pytest.mark.slow
def test_a_killed_sweep_goes_on_with_the_weights_and_the_table_of_one_process(tmp_path: Path) -> None:
    asked = ["sweep", "digits-demo", "--budget", "0.05", "--seeds", "2", "--no-cost", "--subset", "40", *ASK[6:8]]
    asked += ["--steps", "3", "--restarts", "1", "--device", "cpu"]

    def outcome(folder: Path) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
        weights = {path.parent.name: path.read_bytes() for path in folder.glob("*/model.safetensors")}
        rows = json.loads((folder / "results.json").read_text())
        return weights, [row | {"epoch_seconds": None} for row in rows]

    threads = torch.get_num_threads()
    call(*asked, "--threads", 1, "--out", tmp_path / "one")
    torch.set_num_threads(threads)
    whole = outcome(tmp_path / "one")
    assert len(whole[0]) == 2
    with outside(tmp_path, workers=2) as (address, _):
        command = [*asked, "--scheduler", address, "--out", tmp_path / "two"]
        client = start(*command)
        wait_for(lambda: any((tmp_path / "two").glob("*/metrics.jsonl")), PATIENCE)
        client.kill()
        client.wait()
        assert not (tmp_path / "two" / "results.json").exists(), "it had ended before it was killed"
        time.sleep(2)  # within which workers give up what nobody asks for any more
        assert start(*command).wait(PATIENCE) == 0
    assert outcome(tmp_path / "two") == whole


@pytest.mark.slow
def test_the_script_of_the_page_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert 0 < float(done.stdout) < 100
    assert len(lines(tmp_path / "verdicts.jsonl")) == 360
