"""Pictures as files, which say whose they are, so that another's is never overwritten."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG, SOFTWARE = b"\x89PNG\r\n\x1a\n", b"tEXtSoftware\0absdomain"
CHUNK = 8 + 25 + 4  # where a PNG's second chunk has its type: behind the signature, the header and its own length
SIGNED = {"png": {"Software": "absdomain"}, "svg": {"Creator": "absdomain", "Date": None}}
CREATOR = b"<dc:title>absdomain</dc:title>"  # in the head of an SVG


def encoded(figure: Figure, kind: str = "png") -> bytes:
    """The picture as a file, such as a PNG or an SVG, which says whose it is."""
    file = io.BytesIO()
    figure.savefig(file, format=kind, metadata=SIGNED.get(kind))
    return file.getvalue()


def drawn(content: bytes) -> bool:
    """Whether this is a PNG or an SVG of ours."""
    return (content.startswith(PNG) and content[CHUNK:].startswith(SOFTWARE)) or CREATOR in content[:2000]
