"""The notebooks of the site: their results are stored in them, and come again when they are run."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def shown(notebook: Any) -> list[list[tuple[str, str]]]:
    """What each cell of code shows, kind by kind, without numbers, which other machines round otherwise."""
    cells = []
    for cell in notebook["cells"]:
        parts: list[tuple[str, str]] = []
        for output in cell.get("outputs", ()):
            if output.get("name") != "stderr":  # progress
                data = output.get("data") or {output.get("name", output["output_type"]): output.get("text", "")}
                parts += [(kind, "" if kind.startswith("image/") else _told(text)) for kind, text in data.items()]
        cells.append(sorted(parts))
    return cells


def _told(text: str | list[str]) -> str:
    return " ".join(re.sub(r"[\d.]+", "#", "".join(text)).split())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_results_are_stored(path: Path) -> None:
    kinds = {kind for cell in shown(json.loads(path.read_text())) for kind, _ in cell}
    assert {"stdout", "text/html", "image/png"} <= kinds
    assert "error" not in kinds


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_shows_what_is_stored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in ("nbclient", "ipykernel", "matplotlib", "sklearn"):
        pytest.importorskip(needed, reason="pip install absdomain[docs,data,plot]")
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    stored = nbformat.read(path, as_version=4)
    run = copy.deepcopy(stored)
    NotebookClient(run, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}},
                   coalesce_streams=True).execute()  # fmt: skip
    assert shown(run) == shown(stored)
