"""VNN-LIB files, 1.0 and 2, as properties."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from absdomain.errors import PropertyError, check_type
from absdomain.graph import Graph
from absdomain.properties import Property
from absdomain.properties.layout import assigned
from absdomain.runtime.collection import uncollected
from absdomain.vnnlib import version1, version2
from absdomain.vnnlib.source import Source

__all__ = ["parse_property", "read_property"]


def read_property(path: str | Path, graph: Graph | Mapping[str, Graph] | None = None) -> Property:
    """The unsafe set that a VNN-LIB file describes; 1.0 or 2, gzipped or not.

    With the network's graph, or { name: graph } of several, the declared sizes and nodes must be theirs. Errors:
    PropertyError with file, line and column; OSError where no file can be read.
    """
    check_type("read_property", path, (str, Path), "give the path of a VNN-LIB file")
    if str(path).lstrip().startswith("("):
        raise PropertyError("this is a property's text; absdomain.vnnlib.parse_property reads that")
    return _fitted(_parsed(Source.of(path)), graph)


def parse_property(text: str, graph: Graph | Mapping[str, Graph] | None = None) -> Property:
    """The unsafe set that a VNN-LIB text describes, as `read_property`."""
    return _fitted(_parsed(Source(None, text)), graph)


def _fitted(given: Property, graph: Graph | Mapping[str, Graph] | None) -> Property:
    if graph is not None:
        assigned(given, graph)
    return given


def _parsed(source: Source) -> Property:
    with uncollected():
        if not source.tokens:
            raise PropertyError("the file is empty, or has comments alone", source.path)
        newer = source.tokens[1:2] == ["vnnlib-version"]
        return version2.read(source) if newer else version1.read(source)
