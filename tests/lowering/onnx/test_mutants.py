"""Damaged files give a clear error, or a graph; nothing crashes, hangs, or is made that is larger than allowed."""

from __future__ import annotations

from pathlib import Path
from random import Random
from time import process_time

import pytest

from absdomain import Graph, InvalidFile, UnsupportedOp, onnx_to_graph
from tests.lowering.onnx.mutants import mutated, seeds

_LIMIT = 20.0  # seconds of processor time for one file


def read(numbers: range, folder: Path) -> dict[str, int]:
    """What becomes of mutants: how many are read, and how many are refused."""
    told, made, path = {"read": 0, "refused": 0}, seeds(), folder / "mutant.onnx"
    for number in numbers:
        rng = Random(number)
        path.write_bytes(mutated(rng, rng.choice(made)))
        started = process_time()
        try:
            message = repr(onnx_to_graph(path))
            told["read"] += 1
        except (InvalidFile, UnsupportedOp) as error:
            message = str(error)
            told["refused"] += 1
        assert message.startswith("Graph(") or str(path) in message, f"mutant {number}: no file is named: {message}"
        seconds = process_time() - started
        assert seconds < _LIMIT, f"mutant {number} took {seconds:.0f} s"
    return told


def test_the_files_that_are_damaged_are_whole_before(tmp_path: Path) -> None:
    for number, seed in enumerate(seeds()):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(seed.SerializeToString())
        assert isinstance(onnx_to_graph(path), Graph)


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    told = read(range(200), tmp_path)
    assert min(told.values()) > 20, f"{told}: most mutants are of one kind"


@pytest.mark.slow
@pytest.mark.figures
def test_many_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    print(f"10,000 mutants of ONNX files: {read(range(200, 10_200), tmp_path)}")
