"""VNN-LIB files, 1.0 and 2, as properties."""

from __future__ import annotations

from pathlib import Path

from absdomain.errors import PropertyError
from absdomain.properties import Property
from absdomain.vnnlib import version1, version2
from absdomain.vnnlib.source import Source

__all__ = ["parse_property", "read_property"]


def read_property(path: str | Path) -> Property:
    """The unsafe set that a VNN-LIB file describes; 1.0 or 2, gzipped or not.

    Errors: PropertyError with file, line and column; OSError where no file can be read.
    """
    return _parsed(Source.of(path))


def parse_property(text: str) -> Property:
    """The unsafe set that a VNN-LIB text describes. Errors: PropertyError with line and column."""
    return _parsed(Source(None, text))


def _parsed(source: Source) -> Property:
    if not source.tokens:
        raise PropertyError("the file is empty, or has comments alone", source.path)
    newer = source.tokens[1:2] == ["vnnlib-version"]
    return version2.read(source) if newer else version1.read(source)
