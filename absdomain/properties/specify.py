"""A formula that is to hold, as a Spec: for regions of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch

from absdomain.errors import PropertyError
from absdomain.graph import Graph, Node
from absdomain.properties.disjunction import Explosion, Part, Row, parts
from absdomain.properties.formula import Formula, conjunction
from absdomain.properties.layout import Layout, assigned, laid_out
from absdomain.properties.matrix import matrix
from absdomain.properties.normal import Conjunction, Normal
from absdomain.properties.polynomial import Polynomial
from absdomain.properties.property import Property
from absdomain.properties.query import dtype_of
from absdomain.properties.variables import unsafe
from absdomain.spec import Spec


@dataclass(frozen=True, eq=False)
class Specified:
    """What is to hold, sample by sample, as a Spec of the value of `graph`, and how that value is made.

    The graph's value is that of `appended` at the entries of `layout`: inputs, if any is read, then outputs.
    """

    graph: Graph
    spec: Spec  # of one sample, or of each
    appended: Graph
    layout: Layout
    broken: tuple[Property, ...]  # the unsafe set of each sample, or of all


def specify(
    formula: Formula | Property | Sequence[Formula | Property],
    graph: Graph,
    *,
    hidden: Sequence[str] = (),
    dtype: torch.dtype | None = None,
) -> tuple[Graph, Spec]:
    """What is to hold at every point of a region, as a Spec of one sample, and the graph of whose value it speaks.

    That is the graph itself, where the formula is linear in outputs; products, inputs and hidden nodes are entries
    that are appended. `graph, spec = specify(out[0] - out[1] > 0.1, graph)` is for `Domain.propagate` with any region.
    A property is to hold nowhere: it is an unsafe set. Of a list each is of one sample; all have as many rows, in as
    many groups. Law: where every group of the spec has a positive row, the formula holds. Errors: PropertyError.
    """
    found = specified(formula, graph, hidden=hidden, dtype=dtype)
    return found.graph, found.spec


def specified(
    formula: Formula | Property | Sequence[Formula | Property],
    graph: Graph,
    *,
    hidden: Sequence[str] = (),
    dtype: torch.dtype | None = None,
) -> Specified:
    """As `specify`, with what else is known of it."""
    several = formula if isinstance(formula, Sequence) else (formula,)
    if not several:
        raise PropertyError("no formula: nothing is asked")
    broken = tuple(_broken(each, graph, hidden) for each in several)
    found = [_conjunctions(each) for each in broken]
    lengths = [tuple(map(len, some)) for some in found]
    other = next((i for i, shape in enumerate(lengths) if shape != lengths[0]), None)
    if other is not None:
        raise PropertyError(
            f"formula {other} has groups of {lengths[other]} rows, and the first of {lengths[0]}; samples of one call "
            "have formulas of one form, with numbers of their own"
        )
    inputs = tuple(t.variable(i) for t in broken[0].networks[0].inputs for i in range(t.size))
    read = {v for some in found for rows in some for row in rows for v in row.term.variables}
    layout = laid_out(broken[0], Normal(inputs, {}, ()), assigned(broken[0], graph), read)
    dtype = dtype or dtype_of([graph])
    made = matrix(layout, dict(enumerate(found)), dtype)
    width = torch.Size(layout.graph.output.shape).numel()
    entries = Graph.of([Node("entries", None, (), (width,))])
    appended = matrix(replace(layout, graph=entries), dict(enumerate(found)), dtype).graph
    C, d = (torch.stack([made.specs[i][part] for i in range(len(found))]) for part in (0, 1))
    groups = torch.tensor([number for number, some in enumerate(found[0]) for _ in some])
    return Specified(made.graph, Spec(C, d, groups), appended, layout, broken)


def _broken(formula: Formula | Property, graph: Graph, hidden: Sequence[str]) -> Property:
    """Where the formula does not hold; a property says that itself."""
    return formula if isinstance(formula, Property) else unsafe(~formula, graph, hidden=hidden)


def _conjunctions(given: Property) -> tuple[Conjunction, ...]:
    """The unsafe set's conjunctions: of each a row is to be positive. Errors: PropertyError where there is none."""
    try:
        found = tuple(tuple(_rows(part)) for part in parts(conjunction(given.assertions)))
    except Explosion as error:
        raise PropertyError(str(error)) from None
    if not found or not all(found):
        always = "true" if not found else "false"
        raise PropertyError(f"the formula is {always} whatever the network is: nothing is asked")
    return found


def _rows(part: Part) -> Iterator[Row]:
    """Ranges of inputs are rows, too: no box is asked for."""
    for v, found in part.ranges:
        for end, sign in ((found.lower, -1), (found.upper, 1)):
            if end is not None:
                term = (Polynomial.of(v) - Polynomial.constant(end.value)).scaled(Fraction(sign))
                yield Row(term, end.strict)
    yield from part.rows
