"""A checkpoint is whole or not there, and a damaged one is named."""

import json
import math
from pathlib import Path

import pytest
import torch

from absdomain.runtime.writing import WriteError, _temporary
from absdomain.trainers.run import checkpoints
from absdomain.trainers.run.checkpoints import CheckpointError

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
    (tmp_path / _temporary("checkpoint-0123.safetensors")).write_bytes(b"half")
    checkpoints.save(tmp_path, TENSORS, {"epoch": 1})
    (first,) = tmp_path.glob("*.safetensors")
    content = first.read_bytes()
    checkpoints.save(tmp_path, {"a": torch.zeros(2)}, {"epoch": 2})
    first.write_bytes(content)  # killed before it was removed
    checkpoints.save(tmp_path, {"a": torch.zeros(2)}, {"epoch": 2})
    assert len(list(tmp_path.iterdir())) == 2
    found = checkpoints.load(tmp_path)
    assert found is not None
    assert torch.equal(found[0]["a"], torch.zeros(2))
    assert found[1] == {"epoch": 2}


def test_files_of_others_stay_whatever_they_are_called(tmp_path: Path) -> None:
    """A copy of a checkpoint under another name, another's content under a checkpoint's, a name like a temporary's."""
    checkpoints.save(tmp_path, TENSORS, {"epoch": 1})
    (ours,) = tmp_path.glob("*.safetensors")
    theirs = {
        "checkpoint-best.safetensors": ours.read_bytes(),
        "checkpoint-0123456789abcdef.safetensors": b"theirs",
        ".checkpoint-0123.safetensors.tmp": b"theirs",
        ".state.json.0123456789abcdef.tmp": b"theirs",
        "checkpoint.pt": b"theirs",
    }
    for name, content in theirs.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "checkpoint-fedcba9876543210.safetensors").symlink_to(tmp_path / "checkpoint.pt")
    checkpoints.save(tmp_path, {"a": torch.zeros(2)}, {"epoch": 2})
    assert not ours.exists()
    assert {name: (tmp_path / name).read_bytes() for name in theirs} == theirs
    assert (tmp_path / "checkpoint-fedcba9876543210.safetensors").is_symlink()


def test_a_state_of_others_is_not_replaced(tmp_path: Path) -> None:
    for theirs in (b'{"epoch": 3}', b"[1]", b'{"tensors": "mine.pt", "sha256": "0"}', b"\xff"):
        (tmp_path / "state.json").write_bytes(theirs)
        with pytest.raises(WriteError, match=r"state\.json: absdomain did not write this.*; move it away"):
            checkpoints.save(tmp_path, TENSORS, NUMBERS)
        assert (tmp_path / "state.json").read_bytes() == theirs


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
