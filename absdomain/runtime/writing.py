"""Files that are written whole or not at all, and that replace no file but the library's own.

All code that writes keeps one rule: what is not provably ours is never overwritten or removed. A file is written where
nothing is lost: where there is none, where its bytes are the beginning of the new ones (as those of an empty file
are), or where they are proved to be the library's. `runtime.folders` does the same for folders.

Every file is written under another name and then renamed: whenever the process is killed, a reader finds the old bytes
or the new ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

Proof = Callable[[bytes], bool]  # whether these bytes can only be the library's


class WriteError(ValueError):
    """A file or folder is not ours to write, or cannot be written; the text has it, the finding and the remedy."""


def replace(path: Path, content: bytes, ours: Proof) -> None:
    """Write a file of ours, on disk and whole when this returns; WriteError where another's would be lost."""
    if changes(path, content, ours):
        write_atomically(path, content)


def vacant(path: Path, ours: Proof) -> None:
    """WriteError unless a file can be written here: there is none, or an empty one, or one of ours. Writes nothing."""
    content = present(path)
    if content and not ours(content):
        raise _foreign(path)
    reachable(path)


def remove(path: Path, ours: Proof) -> None:
    """Remove a plain file of ours; any other is left."""
    if not path.is_symlink() and path.is_file() and ours(path.read_bytes()):
        path.unlink()


def changes(path: Path, content: bytes, ours: Proof) -> bool:
    """Whether there is something to write; WriteError where another's bytes would be lost."""
    old = present(path)
    if old is not None and not content.startswith(old) and not ours(old):
        raise _foreign(path)
    return old != content


def present(path: Path) -> bytes | None:
    """The content of a plain file; None where there is nothing. WriteError for a link, a folder or a device."""
    if not path.is_symlink() and not path.exists():
        return None
    if path.is_symlink() or not path.is_file():
        raise WriteError(f"{path}: is a link or no plain file, and stays as it is; move it away, or give another name")
    try:
        return path.read_bytes()
    except OSError as reason:
        raise WriteError(f"{path}: cannot be read ({reason.strerror}); move it away, or give another name") from reason


def _foreign(path: Path) -> WriteError:
    return WriteError(
        f"{path}: absdomain did not write this, or not as it is now, so it stays; move it away, or give another place"
    )


def reachable(path: Path) -> None:
    """WriteError unless a file can be made here; or in here, if it is a folder. The folders above may be missing."""
    here = path.absolute()
    above = next(place for place in (here, *here.parents) if place.is_dir() or (place != here and place.exists()))
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise WriteError(f"{path}: nothing can be written in {above}; mend that, or give another place")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that `changes` allows, and its folder if need be."""
    fresh = path.with_name(_temporary(path.name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create(fresh, content)
        os.replace(fresh, path)
        sync(path.parent)
    except OSError as reason:
        raise WriteError(f"{path}: cannot be written ({reason.strerror}); mend that, or give another place") from reason
    finally:
        if fresh.exists():  # it failed
            fresh.unlink()


def _create(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Put a folder's entries on disk, so that renames in it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(name: str) -> str:
    """A new name that `is_temporary` knows again: its last digits are a checksum of what stands before them."""
    stem = f".{name[:150]}.{secrets.token_hex(4)}"
    return f"{stem}{digest(stem.encode())[:8]}.tmp"


def is_temporary(path: Path) -> bool:
    """Whether the name is of a file that was being written."""
    named = re.fullmatch(r"(\..+\.[0-9a-f]{8})([0-9a-f]{8})\.tmp", path.name, re.DOTALL)
    return named is not None and digest(named[1].encode())[:8] == named[2]


def keyed(keys: Collection[str]) -> Proof:
    """Proof for a JSON file: one object, or a list of objects, each with exactly these keys."""

    def ours(content: bytes) -> bool:
        try:
            found = json.loads(content)
        except ValueError:
            return False
        rows = found if isinstance(found, list) else [found]
        return bool(rows) and all(isinstance(row, dict) and row.keys() == set(keys) for row in rows)

    return ours


def as_json(value: Any) -> bytes:
    """The value as indented JSON, with a newline at its end."""
    return (json.dumps(value, indent=1) + "\n").encode()


def digest(content: bytes) -> str:
    """The SHA-256 of the bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
