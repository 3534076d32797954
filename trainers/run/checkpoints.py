"""Checkpoints that are whole or not there: tensors in safetensors, numbers in JSON, committed by one rename.

A folder holds a tensor file, and `state.json`, which names it and its SHA-256. Tensors are written first, under a name
made of their own hash; the rename of `state.json` commits both. A process killed at any moment leaves the former
checkpoint or the new one, and perhaps a stray file that the next save removes. Nothing else is removed: a stray tensor
file is known by its name, which is the hash of its content.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from absdomain.runtime.writing import as_json, is_temporary, remove, replace

STATE = "state.json"
NAME = re.compile(r"checkpoint-[0-9a-f]{16}\.safetensors")


class CheckpointError(ValueError):
    """A checkpoint's file is missing or damaged; the text has the file, the finding and the remedy."""


def pack(tensors: dict[str, Tensor]) -> bytes:
    """The tensors as a safetensors file; those that share memory are written twice."""
    from safetensors import torch as safetensors

    return safetensors.save({name: tensor.detach().cpu().clone() for name, tensor in tensors.items()})


def whole(path: Path) -> bool:
    """Whether there is a safetensors file that can be read to its end."""
    from safetensors import SafetensorError
    from safetensors import torch as safetensors

    try:
        safetensors.load(path.read_bytes())
    except (OSError, SafetensorError):
        return False
    return True


def save(folder: Path, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Replace the folder's checkpoint. `numbers` is JSON: floats come back bit for bit.

    Called by the process that has the folder's lock: temporary files are those of killed processes, and are removed.
    """
    content = pack(tensors)
    digest = hashlib.sha256(content).hexdigest()
    path = folder / _named(digest)
    replace(path, content, lambda old: False)
    replace(folder / STATE, as_json({"tensors": path.name, "sha256": digest, **numbers}), _is_state)
    for stale in folder.iterdir():
        if is_temporary(stale):
            stale.unlink()
        elif stale != path and NAME.fullmatch(stale.name):
            remove(stale, partial(_is_named, stale.name))


def _named(digest: str) -> str:
    """The name of a tensor file of this SHA-256."""
    return f"checkpoint-{digest[:16]}.safetensors"


def _is_named(name: str, content: bytes) -> bool:
    """Whether a tensor file has the name that its content makes."""
    return _named(hashlib.sha256(content).hexdigest()) == name


def _is_state(content: bytes) -> bool:
    """Whether this is a state: it names a tensor file as `save` does."""
    try:
        state = json.loads(content)
        return bool(state["tensors"] == _named(state["sha256"]))
    except (ValueError, KeyError, TypeError):
        return False


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The folder's checkpoint, as (tensors, numbers); None where there is none yet."""
    from safetensors import torch as safetensors

    if not (folder / STATE).exists():
        return None
    remedy = "restore it, or delete the folder to train anew"
    try:
        state = json.loads((folder / STATE).read_bytes())
        path, digest = folder / state.pop("tensors"), state.pop("sha256")
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as reason:
        raise CheckpointError(f"{folder / STATE}: not a checkpoint's state ({reason!r}); {remedy}") from reason
    try:
        content = path.read_bytes()
    except FileNotFoundError as reason:
        raise CheckpointError(f"{path}: named by {folder / STATE}, but missing; {remedy}") from reason
    if hashlib.sha256(content).hexdigest() != digest:
        raise CheckpointError(f"{path}: {len(content)} bytes whose SHA-256 is not {digest[:16]}...; {remedy}")
    # Cloned, so that memory is aligned as in a run that was never interrupted.
    return {name: tensor.clone() for name, tensor in safetensors.load(content).items()}, state
