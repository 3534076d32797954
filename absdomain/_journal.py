"""A file of JSON lines that survives being killed: a header with the configuration, then a line per verdict."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absdomain.verdict import Verdict

FORMAT = "absdomain verdicts 1"


class JournalError(ValueError):
    """A results file is damaged, or belongs to another configuration; the text says where and what to do."""


@dataclass(frozen=True)
class Journal:
    """{ index -> Verdict } on disk, under one configuration."""

    path: Path

    def open(self, config: dict[str, Any]) -> dict[int, Verdict]:
        """The verdicts that are there already; none for a new file, whose header is written now.

        A last line that is torn is dropped. A file under another configuration raises JournalError with the fields
        that differ.
        """
        config = json.loads(json.dumps(config))
        lines = self._whole_lines()
        if not lines:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write([{"format": FORMAT, "config": config}])
            return {}
        header = self._parse(1, lines[0])
        if header.get("format") != FORMAT:
            raise JournalError(f"{self.path}:1: not a results file of this version; give another file, or delete it")
        self._compare(header["config"], config)
        verdicts = (self._verdict(number, line) for number, line in enumerate(lines[1:], 2))
        return {verdict.index: verdict for verdict in verdicts}

    def append(self, verdicts: Iterable[Verdict]) -> None:
        """Write these verdicts, and return once they are on disk."""
        self._write([verdict.to_json() for verdict in verdicts])

    def _write(self, rows: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def _whole_lines(self) -> list[bytes]:
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))
        return whole.splitlines()

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise JournalError(f"{self.path}:{number}: damaged ({error}); delete the file to begin again") from error
        if not isinstance(row, dict):
            raise JournalError(f"{self.path}:{number}: {line[:40]!r} is no result; delete the file to begin again")
        return row

    def _verdict(self, number: int, line: bytes) -> Verdict:
        row = self._parse(number, line)
        try:
            return Verdict.from_json(row)
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(f"{self.path}:{number}: damaged ({error!r}); delete the file to begin again") from error

    def _compare(self, there: dict[str, Any], now: dict[str, Any]) -> None:
        differ = [key for key in sorted(there.keys() | now.keys()) if there.get(key) != now.get(key)]
        if differ:
            parts = "; ".join(f"{key}: {there.get(key)} there, {now.get(key)} now" for key in differ)
            raise JournalError(f"{self.path} has the results of another configuration ({parts}); give another file")
