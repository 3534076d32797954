"""Commands on clusters of real processes: what one process gives, though the client is killed on the way."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from absdomain.cli.options import cluster_of, threads_of
from tests.cli.test_cli import call
from tests.clusters import outside, wait_for

pytest.importorskip("distributed", reason="the extra dask is not installed")
TRAIN = ["train", "--data", "digits", "--network", "mlp-2x100", "--epochs", "3", "--eps", "0.03", "--device", "cpu"]
ASK = ["--subset", "120", "--batch", "6", "--domain", "box", "--domain", "crown", "--steps", "20", "--curve", "0"]
DOCS = Path(__file__).parents[2] / "docs" / "cluster.md"


def test_a_cluster_is_given_in_one_way_and_has_one_thread_for_each_worker() -> None:
    assert cluster_of(None, None) is None and cluster_of("tcp://a:1", None) == "tcp://a:1" and cluster_of(None, 3) == 3
    assert threads_of(None, None) is None and threads_of(None, 2) == 1 and threads_of(4, "tcp://a:1") == 4
    assert "either --scheduler or --workers" in call(
        "certify", "nowhere", "--workers", 2, "--scheduler", "tcp://a:1", code=2
    ).stderr.replace("\n", " ")


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
    wait_for(lambda: len(lines(file)) >= 12)
    os.kill(client.pid, signal.SIGKILL)
    client.wait()
    kept = lines(file)
    assert len(kept) < 120, "it had ended before it was killed"
    again = start(*command)
    assert again.wait(300) == 0
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
def test_the_script_of_the_page_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    assert 0 < float(done.stdout) < 100
    assert len(lines(tmp_path / "verdicts.jsonl")) == 360
