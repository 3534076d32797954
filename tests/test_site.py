"""The site: its tables hold all that is installed, its front page leads to every page, it builds without a warning."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from runpy import run_path

import pytest

from absdomain import ops, registry
from absdomain.proofs.lemma import lemmas

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES: dict[str, Callable[[], str]] = run_path(str(DOCS / "tables.py"))["PAGES"]
INSTALLED = {
    "domains": [f"`{name}`" for name in registry.names("domains")],
    "networks": [f"`{name}`" for name in registry.names("networks")],
    "presets": [f"`{name}`" for name in registry.names("presets")],
    "operations": [f"`{name}`" for name in ops.__all__ if isinstance(vars(ops)[name], type)],
    "lemmas": [f"`{name}`" for name in lemmas()],
}


@pytest.mark.parametrize("page", INSTALLED)
def test_a_table_has_a_row_for_all_that_is_installed(page: str) -> None:
    lines = PAGES[page]().splitlines()
    rows = [re.split(r"(?<!\\\\)\|", line)[1:-1] for line in lines if line.startswith("| `")]
    assert [cells[0].strip() for cells in rows] == INSTALLED[page]
    assert all(cell.strip() for cells in rows for cell in cells), "no empty cell"


def test_the_front_page_leads_to_every_page() -> None:
    trees = re.findall(r"```\{toctree\}\n(?::[^\n]*\n)*\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)
    led = {line for tree in trees for line in tree.split()}
    written = {str(path.relative_to(DOCS).with_suffix("")) for kind in ("*.md", "*.ipynb") for path in DOCS.rglob(kind)}
    written = {page for page in written if not page.startswith(("_build", "generated"))} - {"index"}
    assert led == written | {f"generated/{page}" for page in PAGES}


def test_links_to_tables_are_to_those_that_are_written() -> None:
    linked = {name for path in DOCS.glob("*.md") for name in re.findall(r"\]\(generated/(.*?)\.md", path.read_text())}
    assert linked <= set(PAGES)


@pytest.mark.parametrize("page", ["index.md", "tutorial.md", "own.md"])
def test_the_code_of_the_first_pages_runs(page: str) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {})


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for needed in ("sphinx", "furo", "myst_nb"):
        pytest.importorskip(needed, reason="pip install absdomain[docs]")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reference" / "python.html").exists()
