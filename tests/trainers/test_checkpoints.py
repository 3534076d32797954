"""A checkpoint is whole or not there, and a damaged one is named."""

import json
import math
from pathlib import Path

import pytest
import torch

from absdomain.trainers import checkpoints
from absdomain.trainers.checkpoints import CheckpointError

TENSORS = {
    "a": torch.tensor([1 / 3, math.inf]),
    "b.c": torch.arange(6, dtype=torch.uint8).view(2, 3),
    "s": torch.ones(()),
}
NUMBERS = {"epoch": 3, "loss": 0.1 + 0.2}


def test_what_is_saved_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    assert checkpoints.load(tmp_path) is None
    checkpoints.save(tmp_path, TENSORS, NUMBERS)
    found = checkpoints.load(tmp_path)
    assert found is not None
    tensors, numbers = found
    assert numbers == NUMBERS
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_the_new_checkpoint_replaces_the_old_and_its_litter(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, TENSORS, {"epoch": 1})
    (tmp_path / ".checkpoint-0123.safetensors.tmp").write_bytes(b"half")
    checkpoints.save(tmp_path, {"a": torch.zeros(2)}, {"epoch": 2})
    assert len(list(tmp_path.iterdir())) == 2
    found = checkpoints.load(tmp_path)
    assert found is not None
    assert torch.equal(found[0]["a"], torch.zeros(2))
    assert found[1] == {"epoch": 2}


def test_a_tied_weight_is_saved(tmp_path: Path) -> None:
    shared = torch.ones(3)
    checkpoints.save(tmp_path, {"a": shared, "b": shared, "c": shared[1:]}, {})


def test_damage_is_named(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, TENSORS, NUMBERS)
    (path,) = tmp_path.glob("*.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(
        CheckpointError, match=rf"{path.name}: {len(content) - 1} bytes whose SHA-256 is not .*; restore"
    ):
        checkpoints.load(tmp_path)
    path.unlink()
    with pytest.raises(CheckpointError, match=rf"{path.name}: named by .*state\.json, but missing; restore it"):
        checkpoints.load(tmp_path)
    for text in ("{", "[]", json.dumps({"tensors": "x"}), "\xff"):
        (tmp_path / "state.json").write_text(text, encoding="latin-1")
        with pytest.raises(CheckpointError, match=r"state\.json: not a checkpoint's state .*; restore it"):
            checkpoints.load(tmp_path)
