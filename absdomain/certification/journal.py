"""A file of JSON lines that survives being killed: a header with the configuration, then a line per result.

Several processes that certify together have a file each: the first one has the file itself, the others have parts
beside it. The parts are moved into the file when all processes have ended, or when the certification is started again.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import IO, Any, Generic, Protocol, TypeVar

from absdomain.certification.verdict import Verdict
from absdomain.runtime.processes import World

FORMAT = "absdomain verdicts 1"
ROW = b'{"index": '


class JournalError(ValueError):
    """A results file is damaged, in use, or of another configuration; the text says where and what to do."""


class Kept(Protocol):
    """A result that a journal keeps; its JSON begins with the index."""

    @property
    def index(self) -> int:
        """Of what it is the result."""

    def to_json(self) -> dict[str, Any]:
        """All of it."""


R = TypeVar("R", bound=Kept)


class Journal(Generic[R]):
    """{ index -> result } on disk, under one configuration, written by one process at a time.

    `read` makes a result of its JSON, and `title` is the first word of the header: that of another kind is refused.
    Opening a new or empty file writes its header. A last line that was cut off is dropped. JournalError, which leaves
    the file as it is: it is no file of verdicts, or damaged, or open elsewhere, or of another configuration (the text
    has the fields that differ).
    """

    def __init__(
        self, path: Path, config: dict[str, Any], read: Callable[[dict[str, Any]], R], title: str = FORMAT
    ) -> None:
        self.path, self.result, self.title = path, read, title
        self._file = _opened(path)
        try:
            self._lock()
            self.verdicts = self._read(json.loads(json.dumps(config)))
        except BaseException:
            self.close()
            raise

    def append(self, verdicts: Iterable[R]) -> None:
        """Write these results, and return once they are on disk."""
        fresh = list(verdicts)
        self._write([verdict.to_json() for verdict in fresh])
        self.verdicts |= {verdict.index: verdict for verdict in fresh}

    def close(self) -> None:
        """Let another process write."""
        self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process, however that ends
        except BlockingIOError as reason:
            raise JournalError(f"{self.path}: in use by another process; wait for it, or give another file") from reason

    def _read(self, config: dict[str, Any]) -> dict[int, R]:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        lines, torn = whole.splitlines(), content[len(whole) :]
        self._check_torn(len(lines) + 1, torn)
        if lines:
            header = self._parse(1, lines[0])
            if header.get("format") != self.title or not isinstance(header.get("config"), dict):
                raise self._foreign()
            self._compare(header["config"], config)
        verdicts = [self._verdict(number, line) for number, line in enumerate(lines[1:], 2)]
        if torn:
            self._file.truncate(len(whole))
        if not lines:
            self._write([{"format": self.title, "config": config}])
        return {verdict.index: verdict for verdict in verdicts}

    def _write(self, rows: list[dict[str, Any]]) -> None:
        self._file.write("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def _check_torn(self, number: int, torn: bytes) -> None:
        """JournalError for a last line without an end that is no beginning of a header or of a verdict."""
        if number == 1 and torn and not torn.startswith(_head(self.title)):
            raise self._foreign()
        if number > 1 and not (torn.startswith(ROW) or ROW.startswith(torn)):
            raise JournalError(
                f"{self.path}:{number}: {torn[:40]!r} is not a result; take it out, or give another file"
            )

    def _foreign(self) -> JournalError:
        return JournalError(f"{self.path}:1: not a results file of this version; give another file, or move it away")

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise JournalError(f"{self.path}:{number}: damaged ({error}); delete the file to begin again") from error
        if not isinstance(row, dict):
            raise JournalError(f"{self.path}:{number}: {line[:40]!r} is not a result; delete the file to begin again")
        return row

    def _verdict(self, number: int, line: bytes) -> R:
        row = self._parse(number, line)
        try:
            return self.result(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise JournalError(f"{self.path}:{number}: damaged ({error!r}); delete the file to begin again") from error

    def _compare(self, there: dict[str, Any], now: dict[str, Any]) -> None:
        differ = [key for key in sorted(there.keys() | now.keys()) if there.get(key) != now.get(key)]
        if differ:
            parts = "; ".join(f"{key}: {there.get(key)} there, {now.get(key)} now" for key in differ)
            raise JournalError(f"{self.path} has the results of another configuration ({parts}); give another file")


def _opened(path: Path) -> IO[bytes]:
    """The file, made if there is none; JournalError for a folder, a device or what cannot be written."""
    if path.exists() and not path.is_file():
        raise JournalError(f"{path}: not a plain file; give another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+b")
    except OSError as reason:
        raise JournalError(f"{path}: cannot be written ({reason.strerror}); give another file") from reason


def is_journal(path: Path) -> bool:
    """Whether there is a file of verdicts."""
    return path.is_file() and path.read_bytes().startswith(_head(FORMAT))


def _head(title: str) -> bytes:
    """How the header begins, and so every file of this kind."""
    return f'{{"format": "{title}"'.encode()


class Journals:
    """The journals of a world's processes about one set of samples; of one process alone, its journal.

    `done` are the verdicts that were there at the beginning. All processes see one folder.
    """

    def __init__(self, path: Path, config: dict[str, Any], world: World) -> None:
        self.path, self.config, self.world = path, config, world
        self._own: Journal[Verdict] | None = None
        self.done = world.once(self._open)
        if self._own is None:
            self._own = Journal(_part(path, world.rank), config, Verdict.from_json)

    def append(self, verdicts: Iterable[Verdict]) -> None:
        """Write these verdicts, and return once they are on disk."""
        assert self._own is not None
        self._own.append(verdicts)

    def all(self) -> dict[int, Verdict]:
        """The verdicts of all processes, when each of them has come here; this ends the writing."""
        if not self.world.first:
            self.close()
        self.world.wait()
        return self.world.once(self._gathered)

    def close(self) -> None:
        """Let other processes write."""
        if self._own is not None:
            self._own.close()

    def _open(self) -> dict[int, Verdict]:
        self._own = Journal(self.path, self.config, Verdict.from_json)
        return self._gathered()

    def _gathered(self) -> dict[int, Verdict]:
        """What is in the file, into which the parts have been moved: for the first process."""
        assert self._own is not None
        for path in _parts(self.path):
            with closing(Journal(path, self.config, Verdict.from_json)) as part:
                self.append(verdict for index, verdict in part.verdicts.items() if index not in self._own.verdicts)
            path.unlink()
        return dict(self._own.verdicts)


def _part(path: Path, number: int) -> Path:
    """The file of another process than the first."""
    return path.with_name(f"{path.name}.part{number}")


def _parts(path: Path) -> list[Path]:
    """The parts that are there; a file whose name only begins like one, such as a copy, is not ours."""
    name = re.compile(re.escape(path.name) + r"\.part[0-9]+")
    return sorted(found for found in path.parent.iterdir() if name.fullmatch(found.name))
