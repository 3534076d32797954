"""Other tools' answers to the instances of a benchmark."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path, PurePosixPath

from absdomain.report.instances import Instance


@dataclass(frozen=True)
class Other:
    """Another tool's answer to an instance."""

    tool: str
    index: int
    seconds: float
    verdict: str


def read(file: Path, rows: Sequence[Instance]) -> list[Other]:
    """Other tools' answers, of a CSV file with a header: tool, seconds, verdict, and onnx and vnnlib or instance.

    `instance` is the number of the row, from 1; files are the same if their names are, without folders and .gz. Rows
    of other instances are left out. Errors: ValueError with the line.
    """
    numbers = {_names(one.onnx, one.vnnlib): index for index, one in enumerate(rows)}
    found = []
    with file.open(newline="", encoding="utf-8") as source:
        table = csv.DictReader(source, skipinitialspace=True)
        have = set(table.fieldnames or ())
        if not {"tool", "seconds", "verdict"} <= have or not ("instance" in have or {"onnx", "vnnlib"} <= have):
            raise ValueError(f"{file}: its header must name tool, seconds, verdict, and onnx and vnnlib or instance")
        for row in table:
            try:
                index = (
                    int(row["instance"]) - 1 if "instance" in have else numbers.get(_names(row["onnx"], row["vnnlib"]))
                )
                seconds = float(row["seconds"])
            except (TypeError, ValueError, AttributeError) as error:
                raise ValueError(f"{file}:{table.line_num}: {error}; seconds and instance are numbers") from None
            if index is not None and 0 <= index < len(rows) and isfinite(seconds):
                found.append(Other(row["tool"], index, seconds, (row["verdict"] or "").strip().lower()))
    return found


def _names(onnx: str, vnnlib: str) -> tuple[str, str]:
    networks, unsafe = ([PurePosixPath(part).name.removesuffix(".gz") for part in t.split(";")] for t in (onnx, vnnlib))
    return ";".join(networks), ";".join(unsafe)
