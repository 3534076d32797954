"""Folders of the library's own: each has a record that says so.

A folder is written in if it is new or empty, or if its record says that the library made it, and for what. The record
is written first, and gets the SHA-256 of each file before the file is written. So what others put there or change can
be told apart from what the library wrote.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absdomain.runtime.writing import (
    Proof,
    WriteError,
    as_json,
    changes,
    digest,
    is_temporary,
    present,
    reachable,
    sync,
    vacant,
    write_atomically,
)

RECORD = ".absdomain"
FORMAT = "absdomain folder 1"


@dataclass(frozen=True)
class Kind:
    """What a folder is for. `earlier` recognises, by their content, folders that versions without records wrote."""

    name: str
    earlier: Callable[[Path], bool]

    def allow(self, folder: Path, *names: str) -> None:
        """WriteError unless the folder is new, empty or of this kind, and the named files in it are ours.

        Nothing is written: long work asks this before it begins.
        """
        if (folder.is_symlink() or folder.exists()) and not folder.is_dir():
            raise WriteError(f"{folder}: not a folder, and none can be made; give another")
        reachable(folder)
        record = _read(folder)
        if record is None:
            self._recognise(folder)
            return
        if record.kind != self.name:
            raise WriteError(f"{folder}: is of a {record.kind}, so no {self.name} goes in here; give another folder")
        for name in names:
            vacant(folder / name, record.proof(name))

    def has(self, folder: Path) -> bool:
        """Whether a folder is recorded as of this kind."""
        record = _read(folder)
        return record is not None and record.kind == self.name

    def claim(self, folder: Path, *names: str) -> Output:
        """The folder, made and marked if need be. WriteError as `allow`."""
        self.allow(folder, *names)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as reason:
            text = f"{folder}: not a folder, and none can be made ({reason.strerror}); give another"
            raise WriteError(text) from reason
        if _read(folder) is None:
            taken = [path for path in _held(folder) if not path.is_symlink() and path.is_file()]
            rows = [{"file": path.name, "sha256": digest(path.read_bytes())} for path in taken]
            _append(folder, {"format": FORMAT, "kind": self.name}, *rows)
            self.allow(folder)  # of two kinds that came at once, the first has it
        return Output(folder)

    def _recognise(self, folder: Path) -> None:
        held = _held(folder) if folder.exists() else []
        if held and not self.earlier(folder):
            raise WriteError(
                f"{folder}: holds {held[0].name}, and nothing says that absdomain made it; give a new or empty folder"
            )


@dataclass(frozen=True)
class Output:
    """A folder of ours. A file in it is replaced only if its bytes were written here, as the record shows."""

    path: Path

    def write(self, name: str, content: bytes) -> None:
        """Write a file; WriteError where another's would be lost."""
        record = _read(self.path)
        if record is None:
            raise WriteError(f"{self.path}: its {RECORD} is gone, so nothing is written; run the same command again")
        path, sha256 = self.path / name, digest(content)
        if changes(path, content, record.proof(name)):
            if sha256 not in record.written.get(name, ()):
                _append(self.path, {"file": name, "sha256": sha256})
            write_atomically(path, content)

    def write_json(self, name: str, value: Any) -> None:
        """Write JSON values."""
        self.write(name, as_json(value))


@dataclass(frozen=True)
class _Record:
    kind: str
    written: dict[str, set[str]]  # name -> SHA-256 of all that was written under it

    def proof(self, name: str) -> Proof:
        return lambda content: digest(content) in self.written.get(name, ())


def _held(folder: Path) -> list[Path]:
    """The entries that must not be lost: all but empty files and temporary files of a killed process."""
    entries = sorted(path for path in folder.iterdir() if path.name != RECORD and not is_temporary(path))
    return [path for path in entries if path.is_symlink() or not path.is_file() or path.stat().st_size > 0]


def _read(folder: Path) -> _Record | None:
    """The folder's record; None where there is none yet."""
    lines = (present(folder / RECORD) or b"").splitlines()
    if not lines:
        return None
    head, *rows = map(_parsed, lines)
    if head.get("format") != FORMAT:
        raise WriteError(f"{folder / RECORD}: not a record of this version's; give another folder")
    written: dict[str, set[str]] = {}
    for row in rows:
        written.setdefault(str(row.get("file")), set()).add(str(row.get("sha256")))
    return _Record(str(head.get("kind")), written)


def _parsed(line: bytes) -> dict[str, Any]:
    """One line of the record; {} for one that was cut off."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _append(folder: Path, *rows: dict[str, Any]) -> None:
    """Append rows to the record; they are on disk when this returns. Several processes may do so at once."""
    path = folder / RECORD
    try:
        torn = b"" if (present(path) or b"\n").endswith(b"\n") else b"\n"
        with open(path, "ab") as file:
            file.write(torn + "".join(json.dumps(row) + "\n" for row in rows).encode())
            file.flush()
            os.fsync(file.fileno())
        sync(folder)
    except OSError as reason:
        raise WriteError(f"{path}: cannot be written ({reason.strerror}); give another folder") from reason
