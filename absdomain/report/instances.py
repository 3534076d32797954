"""A benchmark: rows of networks, properties and time limits, answered one by one into a folder that a killed run left.

The folder's results.jsonl has a whole line for each instance that was tried, on disk before the next one begins.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from absdomain.certification.journal import Journal
from absdomain.report.answering import DECIDED, Answered, Asked, Way, asked_within, prepare
from absdomain.runtime.folders import Kind
from absdomain.runtime.units import HERE, Mapper, Tell, watched

RESULTS, FORMAT = "results.jsonl", "absdomain answers 1"
VERIFICATION = Kind("verification", earlier=lambda folder: False)
WRITTEN = ("summary.json", "cactus.png")
_COLUMNS = {"onnx": "onnx", "network": "onnx", "vnnlib": "vnnlib", "property": "vnnlib", "timeout": "timeout",
            "timeout_s": "timeout", "verdict": "expected", "expected": "expected"}  # fmt: skip
_USUAL = ("onnx", "vnnlib", "timeout", "expected")


@dataclass(frozen=True)
class Instance:
    """A row: the files as they are written there, and found; seconds; the verdict that is expected, or "".

    Several networks are one cell, NAME=FILE;NAME=FILE, by the names that the property declares.
    """

    onnx: str
    vnnlib: str
    timeout: float
    expected: str
    folder: Path  # of the CSV file

    @property
    def asked(self) -> Asked:
        """The question, of files beside the CSV file; where only a gzipped one is there, of that."""
        found = {name: _found(self.folder / file) for name, file in self.networks.items()}
        return Asked(found.get("", found), _found(self.folder / self.vnnlib))

    @property
    def networks(self) -> dict[str, str]:
        """{ name: file } as they are written; one without a name is "". Errors: ValueError for neither."""
        parts = [part.partition("=") for part in self.onnx.split(";")]
        if (len(parts) == 1 and not parts[0][1]) or (self.folder / self.onnx).exists():
            return {"": self.onnx}
        named = {name.strip(): file.strip() for name, _, file in parts}
        if len(named) < len(parts) or not all(named) or not all(named.values()):
            raise ValueError(f"{self.onnx}: several networks are NAME=FILE;NAME=FILE, each name once")
        return named


@dataclass(frozen=True)
class Result:
    """What came of an instance."""

    index: int  # of the row, from 0
    answer: Answered

    def to_json(self) -> dict[str, Any]:
        """The line in results.jsonl."""
        return {"index": self.index, **self.answer.to_json()}

    @staticmethod
    def from_json(row: dict[str, Any]) -> Result:
        """Of a line in results.jsonl."""
        given = {name: row[name] for name in ("verdict", "seconds", "reason", "branches", "counterexample")}
        return Result(int(row["index"]), Answered(**given))

    def wrong(self, rows: Sequence[Instance]) -> bool:
        """Whether it contradicts what is expected."""
        expected = rows[self.index].expected
        return bool(expected) and self.answer.verdict in DECIDED and self.answer.verdict != expected

    def right(self, rows: Sequence[Instance]) -> bool:
        """Whether it is what is expected."""
        return bool(rows[self.index].expected) and self.answer.verdict == rows[self.index].expected


def read(file: Path) -> list[Instance]:
    """The instances of a CSV file: rows onnx,vnnlib,timeout and perhaps an expected verdict; a header may name them.

    An expected verdict other than sat and unsat is none. Errors: ValueError with the line.
    """
    with file.open(newline="", encoding="utf-8") as source:
        lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(csv.reader(source), 1) if row]
    if not lines:
        raise ValueError(f"{file}: it has no rows; give rows onnx,vnnlib,timeout")
    head = lines[0][1]
    named = len(head) < 3 or _seconds(head[2]) is None
    names = [_COLUMNS.get(cell.lower(), "") for cell in head] if named else list(_USUAL)
    if not {"onnx", "vnnlib", "timeout"} <= set(names):
        raise ValueError(f"{file}:{lines[0][0]}: the header {','.join(head)} must name onnx, vnnlib and timeout")
    return [_instance(file, number, dict(zip(names, row, strict=False))) for number, row in lines[named:]]


def _instance(file: Path, number: int, cells: dict[str, str]) -> Instance:
    seconds = _seconds(cells.get("timeout", ""))
    if not cells.get("onnx") or not cells.get("vnnlib") or seconds is None:
        told = ",".join(cells.values())
        raise ValueError(f"{file}:{number}: a row is onnx,vnnlib,timeout, that one in seconds; got {told}")
    expected = cells.get("expected", "").lower()
    found = Instance(cells["onnx"], cells["vnnlib"], seconds, expected if expected in DECIDED else "", file.parent)
    try:
        _ = found.networks
    except ValueError as error:
        raise ValueError(f"{file}:{number}: {error}") from None
    return found


def _seconds(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if isfinite(found) and found > 0 else None


def _found(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.gz")
    return packed if not path.exists() and packed.exists() else path


@dataclass(frozen=True)
class _Trying:
    """The result of an instance, of which the row's number is given, too; whose files are where it was read."""

    way: Way
    own_timeout: bool

    def __call__(self, unit: tuple[int, Instance], tell: Tell) -> Result:
        prepare()
        index, one = unit
        limits = replace(self.way, timeout=one.timeout) if self.own_timeout else self.way
        return Result(index, asked_within(one.asked, limits))


def run(
    rows: Sequence[Instance], folder: Path, way: Way, *, own_timeout: bool = True, mapper: Mapper = HERE
) -> Iterator[Result]:
    """The results of all instances, of those first that the folder has; the others as they become known.

    Each is tried in a process of its own, for its own time or that of `way`, one after another or as the mapper has it.
    Errors: WriteError for a folder that is
    of something else, JournalError for results of other rows or another way, OSError where the disk is full.
    """
    VERIFICATION.claim(folder, *WRITTEN)
    config = {
        "instances": len(rows), "files": _fingerprint(rows), "domain": way.domain, "threads": way.threads,
        "timeout": None if own_timeout else way.timeout, "memory": way.memory if isfinite(way.memory) else None,
    }  # fmt: skip
    with closing(Journal(folder / RESULTS, config, Result.from_json, FORMAT)) as journal:
        yield from (found for index, found in sorted(journal.verdicts.items()) if index < len(rows))
        left = [(index, one) for index, one in enumerate(rows) if index not in journal.verdicts]
        if mapper.apart:  # in processes with other working folders
            left = [(index, replace(one, folder=one.folder.resolve())) for index, one in left]
        names = [f"{one.onnx} {one.vnnlib}" for _, one in left]
        with closing(watched(mapper, _Trying(way, own_timeout), left, names)) as results:
            for _, found in results:
                journal.append([found])
                yield found


def _fingerprint(rows: Sequence[Instance]) -> str:
    """Of the rows and of the sizes of their files: results of other questions are told apart."""
    sizes = {path: path.stat().st_size for one in rows for path in _files(one) if path.is_file()}
    told = [(one.onnx, one.vnnlib, one.timeout, *(sizes.get(path) for path in _files(one))) for one in rows]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _files(one: Instance) -> list[Path]:
    return [_found(one.folder / file) for file in (*one.networks.values(), one.vnnlib)]
