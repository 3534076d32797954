"""Pictures as files, which say whose they are, so that another's is never overwritten."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from absdomain.errors import needing
from absdomain.runtime.folders import Output
from absdomain.runtime.progress import say
from absdomain.runtime.writing import vacant

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG, SOFTWARE = b"\x89PNG\r\n\x1a\n", b"tEXtSoftware\0absdomain"
CHUNK = 8 + 25 + 4  # where a PNG's second chunk has its type: behind the signature, the header and its own length
SIGNED = {"png": {"Software": "absdomain"}, "svg": {"Creator": "absdomain", "Date": None}}
CREATOR = b"<dc:title>absdomain</dc:title>"  # in the head of an SVG


def blank(width: float, height: float, dpi: int = 150) -> Figure:
    """An empty figure of this size in inches, without a display; MissingExtra without matplotlib."""
    with needing("plot", "a picture"):
        from matplotlib.figure import Figure  # not pyplot, which looks for a screen

    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def allow(path: Path) -> None:
    """WriteError, MissingExtra: before any work, where no picture could be written to this path."""
    blank(1, 1)
    vacant(path, drawn)


def add(output: Output, name: str, draw: Callable[[], Figure]) -> None:
    """Writes a picture beside what a command is asked for; without matplotlib a line says that it is left out."""
    if find_spec("matplotlib") is None:
        _left_out()
    else:
        output.write(name, encoded(draw()))


@cache
def _left_out() -> None:
    say('pictures are left out, for want of matplotlib: pip install "absdomain[plot]", and the same command draws them')


def encoded(figure: Figure, kind: str = "png") -> bytes:
    """The picture as a file, such as a PNG or an SVG, which says whose it is."""
    file = io.BytesIO()
    figure.savefig(file, format=kind, metadata=SIGNED.get(kind))
    return file.getvalue()


def drawn(content: bytes) -> bool:
    """Whether this is a PNG or an SVG of ours."""
    return (content.startswith(PNG) and content[CHUNK:].startswith(SOFTWARE)) or CREATOR in content[:2000]
