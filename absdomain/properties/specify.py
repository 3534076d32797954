"""A formula that is to hold, as a Spec: for regions of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import torch

from absdomain.errors import PropertyError
from absdomain.graph import Graph
from absdomain.properties.disjunction import Explosion, Part, Row, parts
from absdomain.properties.formula import Formula
from absdomain.properties.layout import assigned, laid_out
from absdomain.properties.matrix import matrix
from absdomain.properties.normal import Normal
from absdomain.properties.polynomial import Polynomial
from absdomain.properties.query import dtype_of
from absdomain.properties.variables import unsafe
from absdomain.spec import Spec


def specify(
    formula: Formula, graph: Graph, *, hidden: Sequence[str] = (), dtype: torch.dtype | None = None
) -> tuple[Graph, Spec]:
    """What is to hold at every point of a region, as a Spec of one sample, and the graph of whose value it speaks.

    That is the graph itself, where the formula is linear in outputs; products, inputs and hidden nodes are entries
    that are appended. `graph, spec = specify(out[0] - out[1] > 0.1, graph)` is for `Domain.propagate` with any region.
    Law: where every group of the spec has a positive row, the formula holds. Errors: PropertyError.
    """
    given = unsafe(~formula, graph, hidden=hidden)
    try:
        rows = tuple(tuple(_rows(part)) for part in parts(~formula))
    except Explosion as error:
        raise PropertyError(str(error)) from None
    if not rows or not all(rows):
        raise PropertyError(
            f"the formula is {'true' if not rows else 'false'} whatever the network is: nothing is asked"
        )
    inputs = tuple(t.variable(i) for t in given.networks[0].inputs for i in range(t.size))
    read = {v for some in rows for row in some for v in row.term.variables}
    found = assigned(given, graph)
    layout = laid_out(given, Normal(inputs, {}, ()), found, read)
    made = matrix(layout, {0: rows}, dtype or dtype_of([graph]))
    C, d = made.specs[0]
    groups = torch.tensor([number for number, some in enumerate(rows) for _ in some])
    return made.graph, Spec(C.unsqueeze(0), d.unsqueeze(0), groups)


def _rows(part: Part) -> Iterator[Row]:
    """Ranges of inputs are rows, too: no box is asked for."""
    for v, found in part.ranges:
        for end, sign in ((found.lower, -1), (found.upper, 1)):
            if end is not None:
                term = (Polynomial.of(v) - Polynomial.constant(end.value)).scaled(Fraction(sign))
                yield Row(term, end.strict)
    yield from part.rows
