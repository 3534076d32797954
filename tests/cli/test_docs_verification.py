"""What docs/verification.md shows runs, and gives the answers that it tells."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path

import pytest
import torch

from tests.cli.test_cli import call
from tests.cli.test_verify import TWO
from tests.cli.written import network

TEXT = (Path(__file__).parents[2] / "docs" / "verification.md").read_text()
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.DOTALL | re.M) for line in block.splitlines()]
CODES = {"near.vnnlib": 1}  # what is sat


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files that the page speaks of; its own examples are run in it."""
    place = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.chdir(place)
        warnings.simplefilter("ignore")  # torch's, of its older export
        names: dict[str, object] = {}
        for code in re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE):
            exec(code, names)
    assert str(names["answer"].verdict) == "sat"  # type: ignore[attr-defined]
    network(place / "f.onnx")
    network(place / "g.onnx", slope=2.0)
    (place / "query.vnnlib").write_text(TWO.replace("LIMIT", "1.5"))
    (place / "instances.csv").write_text("net.onnx,far.vnnlib,20,unsat\nnet.onnx,near.vnnlib,20,sat\n")
    (place / "others.csv").write_text("tool,instance,seconds,verdict\nswift,1,0.1,unsat\n")
    return place


@pytest.mark.sampled(3)
@pytest.mark.parametrize("line", [line for line in COMMANDS if " radius " not in line])
def test_the_commands_do_what_is_told(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    monkeypatch.chdir(folder)
    program, *args = shlex.split(line)
    assert program == "absdomain"
    alone = ["--threads", "1"] if args[0] == "verify" else []  # this process is forked, and has computed
    told = call(*args, *alone, code=max(CODES.get(arg, 0) for arg in args)).stdout
    torch.set_num_threads(threads)
    if "near.vnnlib" in args and "--json" not in args:
        point = re.findall(r"\(\((X_0 .*)\)\)", TEXT)[0].replace(") (", " ").split()
        assert re.sub(r"[()\s]+", " ", told).split() == ["sat", *point]
    if "far.vnnlib" in args:
        assert told == "unsat\n"


def test_all_verdicts_and_exit_codes_are_told() -> None:
    from absdomain.cli.verify import EXITS

    rows = re.findall(r"^\| `(\w+)` \| .* \| (\d) \|$", TEXT, re.MULTILINE)
    assert {verdict: int(code) for verdict, code in rows} == EXITS
