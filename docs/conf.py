"""The site: `make docs` builds it in docs/_build. Tables of what is installed are written by `tables` at each build."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from tables import PAGES  # noqa: E402  (the folder of this file)

from absdomain import __version__  # noqa: E402

project = "absdomain"
author = "the absdomain authors"
version = release = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"absdomain {__version__}"
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
# Notebooks are shown as they are stored, results included, also by those who read the repository: a build needs no
# training, and tests/test_notebooks.py runs them.
nb_execution_mode = "off"
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
# Docstrings are plain text with Markdown's backticks, and types are in the signatures.
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_maximum_signature_line_length = 100

(HERE / "generated").mkdir(exist_ok=True)
for name, page in PAGES.items():
    file = HERE / "generated" / f"{name}.md"
    text = page()
    if not file.exists() or file.read_text() != text:  # Sphinx reads again what is newer
        file.write_text(text)


def setup(app: Any) -> None:
    """Docstrings are read as they are written: paragraphs, and formulas on indented lines of their own."""
    app.connect("autodoc-process-docstring", _plain)


def _plain(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Paragraphs lose what reStructuredText would read in them; what is indented is shown as it is."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    lines.clear()
    for paragraph in paragraphs:
        own = paragraph.splitlines()
        indented = all(line.startswith("    ") for line in own)
        lines.extend(["::", "", *own, ""] if indented else [*map(_escaped, own), ""])


def _escaped(line: str) -> str:
    """`|x|` is no substitution and `x*` no emphasis; what is between backticks is code."""
    parts = line.split("`")
    return "`".join(re.sub(r"([\\*|_])", r"\\\1", part) if k % 2 == 0 else part for k, part in enumerate(parts))
