"""`torchrun` on the commands: two processes train and certify as one does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from absdomain.cli.main import app
from absdomain.runtime.processes import World, launched

TRAIN = ["train", "--data", "digits", "--network", "mlp-2x100", "--epochs", "3", "--eps", "0.03", "--device", "cpu"]
CHECK = ["--subset", "60", "--batch", "16", "--steps", "5", "--restarts", "1", "--curve", "0", "--device", "cpu"]


def call(*args: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result.output


def torchrun(*command: object) -> "subprocess.CompletedProcess[str]":
    given = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, command)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(given, env=environment, capture_output=True, text=True, timeout=400, check=False)


def verdicts(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.glob("certified/*/verdicts.jsonl")
    _, *lines = map(json.loads, file.read_text().splitlines())
    return sorted(lines, key=lambda row: int(row["index"]))


def results(folder: Path) -> dict[str, Any]:
    (file,) = folder.glob("certified/*/results.json")
    return {name: value for name, value in json.loads(file.read_text()).items() if name != "folder"}


@pytest.mark.slow
def test_torchrun_trains_and_certifies_as_one_process(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    call(*TRAIN, "--threads", 1, "--out", one)
    trained = torchrun("-m", "absdomain.cli", *TRAIN, "--threads", 1, "--out", two)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.count("trained. Now:") == 1  # one process speaks
    assert trained.stderr.count("train mlp-2x100: 3/3") == 1
    expected, found = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)  # float32, after 54 steps of Adam
    (two / "model.safetensors").write_bytes((one / "model.safetensors").read_bytes())
    call("certify", one, *CHECK)
    script = Path(sys.executable).with_name("absdomain")
    command = ["--no-python", script] if script.exists() else ["-m", "absdomain.cli"]
    checked = torchrun(*command, "certify", two, *CHECK, "--json")
    assert checked.returncode == 0, checked.stderr
    (line,) = [line for line in checked.stdout.splitlines() if line.startswith("{")]
    assert verdicts(two) == verdicts(one)
    assert results(two) == results(one)
    assert json.loads(line)["verified_error"] == results(one)["verified_error"]
    assert not list(two.glob("certified/*/*.part*"))


@pytest.mark.slow
def test_an_error_ends_all_processes(tmp_path: Path) -> None:
    ended = torchrun("-m", "absdomain.cli", *TRAIN, "--validation", 5000, "--out", tmp_path)
    assert ended.returncode != 0
    assert "error: validation: 5000 cannot be used" in ended.stderr


def test_other_commands_are_refused_in_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launched() == 1  # some other program's variable
    call("list", "data")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    text = " ".join(call("list", "data", code=2).split())
    assert "list works in one process, and torchrun has started 2" in text


def test_a_process_alone_is_a_world() -> None:
    world = World.here()
    assert (world.rank, world.size, world.first, world.alone) == (0, 1, True, True)
    x = torch.ones(3)
    assert world.sum(x) is x
    assert world.once(lambda: 5) == world.ahead(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        world.once(lambda: 1 // 0)
