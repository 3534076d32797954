"""The same seed draws the same problems in every process."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from hypothesis import strategies as st

from absdomain.laws.engine import Engine


def drawn() -> list[int]:
    numbers: list[int] = []
    Engine(400).run(st.integers(), numbers.append)
    return numbers


def test_problems_do_not_depend_on_what_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis takes the constants of imported sources for numbers that are worth a try."""
    before = drawn()
    (tmp_path / "a_module_with_constants.py").write_text(f"NUMBERS = {[*range(7_000_000, 7_000_300)]}")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("a_module_with_constants")
    assert drawn() == before
