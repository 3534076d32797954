"""Damaged files give a clear error, or a graph; nothing crashes, hangs, or is made that is larger than allowed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import process_time

import pytest
import torch
from onnx import ModelProto

from absdomain import Graph, InvalidFile, UnsupportedOp, onnx_to_graph
from tests.held import peak
from tests.lowering.onnx.mutants import mutated, rewritten, seeds

_LIMIT = 20.0  # seconds of processor time for one file
_MEMORY = 1.0  # GiB that one file may add to what was held at most
DATA = Path(os.environ.get("ABSDOMAIN_DATA", "no folder")) / "vnnlib"
real = pytest.mark.skipif(not DATA.is_dir(), reason="ABSDOMAIN_DATA names no folder with vnnlib/")


def small_files(largest: int = 60_000) -> list[ModelProto]:
    """The real files up to a size; of those of one size the first."""
    found = {path.stat().st_size: path for path in sorted(DATA.rglob("*.onnx"), reverse=True)}
    return [ModelProto.FromString(path.read_bytes()) for size, path in sorted(found.items()) if size <= largest]


def read(numbers: range, folder: Path, made: Sequence[ModelProto]) -> dict[str, int]:
    """What becomes of mutants: how many are read, and how many are refused."""
    told, path = {"read": 0, "refused": 0}, folder / "mutant.onnx"
    for number in numbers:
        rng = Random(number)
        path.write_bytes(mutated(rng, rng.choice(made)))
        started, held = process_time(), peak()
        try:
            message = repr(onnx_to_graph(path))
            told["read"] += 1
        except (InvalidFile, UnsupportedOp) as error:
            message = str(error)
            told["refused"] += 1
        assert message.startswith("Graph(") or str(path) in message, f"mutant {number}: no file is named: {message}"
        seconds = process_time() - started
        assert seconds < _LIMIT, f"mutant {number} took {seconds:.0f} s"
        assert peak() - held < _MEMORY, f"mutant {number} took {peak() - held:.2f} GiB"
    return told


def test_the_files_that_are_damaged_are_whole_before(tmp_path: Path) -> None:
    for number, seed in enumerate(seeds()):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(seed.SerializeToString())
        assert isinstance(onnx_to_graph(path), Graph)


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    told = read(range(200), tmp_path, seeds())
    assert min(told.values()) > 20, f"{told}: most mutants are of one kind"


@pytest.mark.slow
@pytest.mark.figures
@pytest.mark.timeout(3600)
def test_many_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    print(f"10,000 mutants of ONNX files: {read(range(200, 10_200), tmp_path, seeds())}")


@real
@pytest.mark.slow
@pytest.mark.figures
@pytest.mark.timeout(3600)
def test_ten_thousand_damaged_real_files_are_read_or_refused(tmp_path: Path) -> None:
    told = read(range(10_000), tmp_path, small_files())
    print(f"10,000 mutants of real ONNX files: {told}")
    assert min(told.values()) > 100


def same(made: ModelProto, folder: Path, rng: Random) -> None:
    """A file whose meaning is the same is the same function, to the last bit, and so has the same verdicts."""
    graphs = []
    for name, one in (("given", made), ("rewritten", rewritten(rng, made))):
        path = folder / f"{name}.onnx"
        path.write_bytes(one.SerializeToString())
        graphs.append(onnx_to_graph(path, dtype=torch.float64))
    given, other = graphs
    assert [shape for _, shape in given.given.shapes] == [shape for _, shape in other.given.shapes]
    points = torch.rand(16, *given.input.shape, dtype=torch.float64)
    assert torch.equal(given(points).nan_to_num(), other(points).nan_to_num())


@pytest.mark.sampled(3)
@pytest.mark.parametrize("number", range(3))
def test_a_change_that_means_nothing_changes_nothing(number: int, tmp_path: Path) -> None:
    for seed in range(4):
        same(seeds()[number], tmp_path, Random(seed))


@real
@pytest.mark.slow
def test_changes_of_real_files_that_mean_nothing(tmp_path: Path) -> None:
    for number, made in enumerate(small_files(1 << 20)):
        same(made, tmp_path, Random(number))
