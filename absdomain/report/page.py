"""A report as one HTML file that needs nothing else: text escaped, pictures inside as SVG, light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from absdomain.errors import needing
from absdomain.runtime.pictures import encoded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARK = '<meta name="generator" content="absdomain">'
INK = "#010203"  # what pictures draw text and axes with; the page puts its own colour in its place

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1f; --soft: #5c5f66; --paper: #ffffff; --line: #d9dbe0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8ea; --soft: #a3a6ad; --paper: #17181b; --line: #3a3c42; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.3rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
h3 { font-size: 1.05rem; margin-top: 1.8rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; }
details td { overflow-wrap: anywhere; }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; color: var(--ink); }
figcaption, .soft { color: var(--soft); font-size: .9rem; }
details { margin: .5rem 0; }
""".strip()


def page(title: str, parts: Iterable[str]) -> bytes:
    """The whole file; the parts are HTML."""
    head = f'<meta charset="utf-8">{MARK}<meta name="viewport" content="width=device-width, initial-scale=1">'
    body = "\n".join(parts)
    style = f"<style>\n{_STYLE}\n</style>"
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>{escape(title)}</title>\n{style}</head>\n'
        f"<body><main>\n<h1>{escape(title)}</h1>\n{body}\n</main></body></html>\n"
    ).encode()


def ours(content: bytes) -> bool:
    """Whether this is a report that was written here."""
    return MARK.encode() in content[:400]


def heading(text: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Cells are text, or numbers, which stand on the right."""
    rows = [list(row) for row in rows]
    numeric = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(head))]
    kinds = [' class="n"' if number else "" for number in numeric]
    top = "".join(f"<th{kind}>{escape(text)}</th>" for kind, text in zip(kinds, head, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{escape(_told(cell))}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def folded(summary: str, content: str) -> str:
    """Content that is shown on demand."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def picture(draw: Callable[[], Figure], caption: str, number: int) -> str:
    """A figure, drawn in the page's own colours; `number` tells its names from those of other pictures in the page."""
    with needing("plot", "a report"):
        import matplotlib

    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    own: dict[Any, Any] = dict.fromkeys(names, INK) | {"svg.fonttype": "none", "svg.hashsalt": f"absdomain-{number}"}
    with matplotlib.rc_context({**own, "axes.facecolor": "none", "figure.facecolor": "none"}):
        text = encoded(draw(), "svg").decode()
    svg = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor")
    label = f'<svg role="img" aria-label="{escape(caption)}"'
    return f"<figure>{svg.replace('<svg', label, 1)}<figcaption>{escape(caption)}</figcaption></figure>"


def _told(cell: Any) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
