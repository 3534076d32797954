"""A certification that is done: its folder says of which question, so that the same one is answered from there.

The network is that of a training's folder and the images are public, so that names and digests of files are all of the
question. Where the network's code or the images are somebody's own they may have changed, and the work is done again,
from the verdicts that are there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from absdomain.data import names
from absdomain.runtime.folders import RECORD, Output
from absdomain.runtime.writing import digest

MARK = "finished.json"
_KINDS = (".json", ".jsonl", ".png")


def question(
    network: str, file: Path | None, data: str, data_dir: Path | None, asked: Mapping[str, Any]
) -> dict[str, Any] | None:
    """All that the results depend on, in JSON's types; `file` has the network's numbers. None: files do not say it."""
    if file is None or ":" in network or data.lower() not in names():
        return None
    where = data_dir or os.environ.get("ABSDOMAIN_DATA")
    found = {
        "network": network,
        "weights": digest(file.read_bytes()),
        "recipe": digest((file.parent / "config.json").read_bytes()),
        "data": data,
        "data_dir": str(Path(where).resolve()) if where else "",
        "asked": dict(asked),
        "version": version("absdomain"),
    }
    kept: dict[str, Any] = json.loads(json.dumps(found))
    return kept


def mark(output: Output, asked: dict[str, Any] | None) -> None:
    """Say that all is done and drawn; nothing is said while pictures are left out."""
    if asked is not None and find_spec("matplotlib") is not None:
        output.write_json(MARK, {"question": asked, "files": _files(output.path)})


def results(folder: Path, asked: dict[str, Any] | None) -> dict[str, Any] | None:
    """results.json of a folder that is done with this question, each of its files as it was then; None otherwise."""
    if asked is None or not (folder / MARK).is_file() or not (folder / RECORD).is_file():
        return None
    try:
        told = json.loads((folder / MARK).read_bytes())
    except ValueError:
        return None
    if told != {"question": asked, "files": _files(folder)}:
        return None
    found: dict[str, Any] = json.loads((folder / "results.json").read_bytes())
    return found | {"folder": str(folder)}


def _files(folder: Path) -> dict[str, str]:
    """The SHA-256 of verdicts, results and pictures, by name."""
    held = sorted(path for path in folder.iterdir() if path.suffix in _KINDS and path.name != MARK and path.is_file())
    return {path.name: digest(path.read_bytes()) for path in held}
