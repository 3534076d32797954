"""Rows of a normal form as the matrices of a Spec, over one graph that computes what they are linear in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import torch
from torch import Tensor

from absdomain.errors import PropertyError
from absdomain.graph import Graph
from absdomain.properties.disjunction import Row
from absdomain.properties.layout import Layout
from absdomain.properties.normal import Conjunction
from absdomain.properties.products import multiplied, repeated
from absdomain.properties.rounded import below, split

Sparse = dict[int, Fraction]


@dataclass(frozen=True, eq=False)
class Matrix:
    """A graph, and for each tuple of conjunctions C (K, width) and d (K,) over its flat value.

    Row by row C z + d <= factor * term for a factor > 0: where it is positive, the term is; equal but for the rounding
    of d, since coefficients that no float holds are sums of several, of which each has a column.
    """

    graph: Graph
    width: int
    specs: Mapping[int, tuple[Tensor, Tensor]]


def matrix(layout: Layout, wanted: Mapping[int, tuple[Conjunction, ...]], dtype: torch.dtype) -> Matrix:
    """The matrices of these tuples of conjunctions, by key."""
    rows = {row: None for some in wanted.values() for conjunction in some for row in conjunction}
    products = {tuple(sorted(map(layout.column, m))) for row in rows for m in row.term.terms if len(m) > 1}
    graph, places = multiplied(layout.graph, products) if products else (layout.graph, {})
    split_rows = {row: _split(row, layout, places, dtype) for row in rows}
    width = prod(graph.output.shape)
    extra: dict[tuple[int, int], int] = {}  # (number of the part, column) -> its column
    for lists, _ in split_rows.values():
        for number, part in enumerate(lists[1:], 1):
            for column, value in part.items():
                if value:
                    extra.setdefault((number, column), width + len(extra))
    if extra:
        graph = repeated(graph, [column for _, column in extra])
    total = width + len(extra)
    dense = {row: _dense(lists, d, extra, total, dtype) for row, (lists, d) in split_rows.items()}
    always = (torch.zeros(total, dtype=dtype), torch.full((), -1.0, dtype=dtype))  # a conjunction without a row
    specs = {
        key: _stacked([always if row is None else dense[row] for one in some for row in one or (None,)])
        for key, some in wanted.items()
    }
    return Matrix(graph, total, specs)


def _split(
    row: Row, layout: Layout, places: Mapping[tuple[int, ...], int], dtype: torch.dtype
) -> tuple[list[dict[int, float]], Tensor]:
    """Coefficients by column, as lists whose sum is exact, and the constant rounded down; all times one factor."""
    sparse: Sparse = {}
    for m, a in row.term.terms.items():
        if m:
            columns = tuple(sorted(map(layout.column, m)))
            column = columns[0] if len(m) == 1 else places[columns]
            sparse[column] = sparse.get(column, Fraction(0)) + a
    try:
        factor, lists = split(list(sparse.values()), dtype)
    except ValueError as error:
        raise PropertyError(f"{row}: {error}") from None
    d = below([factor * row.term.offset], dtype)[0]
    if not bool(d.isfinite()):
        raise PropertyError(f"{row}: its constant is beyond the range of {dtype}; scale the comparison")
    return [dict(zip(sparse, part, strict=True)) for part in lists], d


def _dense(
    lists: list[dict[int, float]], d: Tensor, extra: Mapping[tuple[int, int], int], width: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    c = torch.zeros(width, dtype=dtype)
    for number, part in enumerate(lists):
        for column, value in part.items():
            if value:
                c[extra[number, column] if number else column] = value
    return c, d


def _stacked(rows: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.stack([c for c, _ in rows]), torch.stack([d for _, d in rows])
