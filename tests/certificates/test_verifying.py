"""absdomain.verify(..., certificate=FILE): what is written is accepted, and what cannot be is said."""

from pathlib import Path

import pytest
import torch

import absdomain
from absdomain import onnx_to_graph, verify
from absdomain.runtime.writing import WriteError
from absdomain_check import check
from tests.checker.networks import around, dense

NET = dense(1, [3, 8, 2])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "n.onnx").write_bytes(NET)
    (tmp_path / "p.vnnlib").write_bytes(around(NET, 1, 3, 2, 0.5, 0.3))
    return tmp_path / "n.onnx", tmp_path / "p.vnnlib"


def accepted(file: Path, files: tuple[Path, Path]) -> str:
    return str(check(file.read_bytes(), files[0].read_bytes(), files[1].read_bytes()))


@pytest.mark.parametrize("text", [str, Path])
def test_unsat_and_its_certificate(files: tuple[Path, Path], tmp_path: Path, text: type) -> None:
    answer = verify(*files, certificate=text(tmp_path / "c.json"))
    assert (answer.verdict, answer.uncertified) == ("unsat", "")
    assert "unsat" in accepted(tmp_path / "c.json", files)
    before = (tmp_path / "c.json").read_bytes()
    verify(*files, certificate=tmp_path / "c.json")  # a certificate may be replaced
    assert check(before, *(file.read_bytes() for file in files))


def test_sat_and_its_certificate(files: tuple[Path, Path], tmp_path: Path) -> None:
    files[1].write_bytes(around(NET, 1, 3, 2, 0.5, -0.5))
    answer = verify(*files, certificate=tmp_path / "c.json")
    assert answer.verdict == "sat"
    assert "sat" in accepted(tmp_path / "c.json", files)


def test_no_verdict_has_no_certificate(files: tuple[Path, Path], tmp_path: Path) -> None:
    large = dense(2, [20, 60, 60, 2])
    files[0].write_bytes(large)
    files[1].write_bytes(around(large, 1, 20, 2, 1.0, 0.4))
    answer = verify(*files, certificate=tmp_path / "c.json", timeout=0.01)
    assert answer.verdict == "timeout"
    assert answer.uncertified == f"the verdict is {answer.verdict}"
    assert not (tmp_path / "c.json").exists()


def test_what_cannot_be_certified_is_refused_before_any_work(files: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    graph = onnx_to_graph(files[0])
    asked = absdomain.read_property(files[1], graph)
    for given in ((graph, files[1]), (files[0], asked), ({"f": files[0]}, files[1])):
        with pytest.raises(
            ValueError, match=r"a certificate is of the bytes of two files, and these are .* give one ONNX"
        ):
            verify(*given, certificate=file)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="leave `certificate` or `executed` out"):
        verify(*files, certificate=file, executed=torch.float32)
    with pytest.raises(ValueError, match="leave `records` out"):
        verify(*files, certificate=file, records=lambda query, box: None)  # type: ignore[arg-type, return-value]
    file.write_text("mine")
    with pytest.raises(WriteError, match=r"c\.json"):
        verify(*files, certificate=file)
    assert file.read_text() == "mine"
