"""What is asked of one graph: boxes of inputs, and a Spec whose proof is `unsat`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import Any

import torch
from torch import Tensor

from absdomain.errors import check_type
from absdomain.graph import Graph
from absdomain.properties.layout import Layout, assigned, laid_out
from absdomain.properties.matrix import Matrix, matrix
from absdomain.properties.normal import Case, normal
from absdomain.properties.polynomial import INPUT, Variable
from absdomain.properties.property import Property
from absdomain.properties.rounded import above, below
from absdomain.region import Interval
from absdomain.runtime.collection import uncollected
from absdomain.spec import Spec
from absdomain.values import leaves

_ELEMENTS = 1 << 24  # of the regions and rows that are stacked into one query


@dataclass(frozen=True, eq=False, repr=False)
class Query:
    """Is { x in region[b] : graph(x) breaks spec } empty for every b? Then, for the cases at hand, it is `unsat`.

    The region has a box for each of `cases`, rounded outward to the graph's dtype; each conjunction of a case is one
    group of the spec, with rows C z + d that are at most as large as the exact ones, times a positive factor. So the
    spec, proved over the region, proves the closure; that a point is a counterexample is for `unsafe` to say.
    """

    graph: Graph
    region: Interval
    spec: Spec
    cases: tuple[Case, ...]
    given: Property
    layout: Layout

    def __repr__(self) -> str:
        rows, groups = self.spec.C.shape[1], len(self.cases[0].conjunctions)
        return f"Query({len(self.cases)} boxes, {rows} rows in {groups} conjunctions, {self.graph})"

    def inner(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """The least and the greatest float of each input that are in the exact boxes, (B, *input shape).

        A point between them is in the box as written, which the region may exceed by rounding. Where the least is above
        the greatest, the box has no such float, and no point of this dtype is a counterexample.
        """
        dtype, inputs = dtype or self.region.lower.dtype, self.layout.inputs
        ends = (_ends(inputs, self.cases, dtype, *both) for both in ((above, below), (below, above)))
        (lower, upper), (low, high) = ends
        open_low, open_high = (torch.tensor([case.box.strict(inputs, side) for case in self.cases]) for side in (0, 1))
        lower = torch.where(open_low & (lower == low), torch.nextafter(lower, torch.full_like(lower, inf)), lower)
        upper = torch.where(open_high & (upper == high), torch.nextafter(upper, torch.full_like(upper, -inf)), upper)
        return lower.reshape(self.region.lower.shape), upper.reshape(self.region.lower.shape)

    def tensors(self, x: Tensor) -> dict[str, Tensor]:
        """What the networks' inputs are at a point of the region, (*input shape) or (1, *input shape), by name."""
        return self.layout.inputs_of(x)

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Inputs, and the values of the tensors of which the property speaks as this graph computes them, by name."""
        if x.dtype != self.region.lower.dtype:
            raise ValueError(
                f"the point is of {x.dtype} and the graph of {self.region.lower.dtype}: round the point to it, or give "
                "the values that another program computed there"
            )
        with torch.no_grad():
            z = self.layout.graph(x.reshape(1, *self.graph.input.shape))
        return self.layout.named(x, z, self.given)

    def unsafe(self, x: Tensor, values: Mapping[str, Any] | None = None) -> bool:
        """Whether the point is in the unsafe set as written: exact arithmetic, strict where it is strict, no tolerance.

        `values` has the outputs and hidden values by their declared names, as another program computed them at x; by
        default they are this graph's own, which proves nothing of that program.
        """
        told = self.values(x) if values is None else {**values, **self.tensors(x)}
        return self.given.holds(told)


@uncollected()
def queries(
    given: Property,
    graphs: Graph | Mapping[str, Graph],
    dtype: torch.dtype | None = None,
    *,
    boxes: torch.dtype | None = None,
) -> list[Query]:
    """The queries that decide the property: all `unsat` is `unsat`, one `sat` is `sat`; none: the unsafe set is empty.

    `graphs` is the network's graph, or { name: graph } for several. `dtype` is by default that of the graph's weights.
    Boxes are rounded outward to `boxes`, by default the same: with torch.float32 a search in float64 covers also how
    programs in float32 read the ends (`Property.in_floats`). Cases whose conjunctions have the same lengths are one
    query, with a batch of boxes. Errors: PropertyError.
    """
    check_type("queries", given, Property, "read one by read_property, or make one by unsafe(formula, graph)")
    form = normal(given)
    found = assigned(given, graphs)
    if not form.cases:
        return []
    dtype = dtype or dtype_of(found.values())
    if boxes is not None and torch.promote_types(boxes, dtype) != dtype:
        raise ValueError(f"queries: {dtype} does not hold the numbers of {boxes}; boxes are of a type that it holds")
    distinct = {id(case.conjunctions): case.conjunctions for case in form.cases}
    of_rows = {v for some in distinct.values() for rows in some for row in rows for v in row.term.variables}
    stated = {v for assertion in given.assertions for v in assertion.variables() if v.kind != INPUT}
    layout = laid_out(given, form, found, of_rows | stated)  # `values` has all of which it speaks, in empty cases, too
    made = matrix(layout, distinct, dtype)
    width = made.width + len(form.inputs)
    return [_query(given, layout, made, cases, dtype, boxes or dtype) for cases in _batches(form.cases, width)]


def _batches(cases: Sequence[Case], width: int) -> Iterator[list[Case]]:
    """Cases of one shape, as many at a time as there is room for."""
    alike: dict[tuple[int, ...], list[Case]] = defaultdict(list)
    for case in cases:
        alike[tuple(map(len, case.conjunctions))].append(case)
    for shape, some in alike.items():
        count = max(1, _ELEMENTS // (width * max(1, sum(shape))))
        yield from (some[start : start + count] for start in range(0, len(some), count))


def _query(
    given: Property, layout: Layout, made: Matrix, cases: list[Case], dtype: torch.dtype, boxes: torch.dtype
) -> Query:
    rows = [made.specs[id(case.conjunctions)] for case in cases]
    one = all(C is rows[0][0] for C, _ in rows)
    C, d = rows[0] if one else (torch.stack([C for C, _ in rows]), torch.stack([d for _, d in rows]))
    C, d = (C.unsqueeze(0), d.unsqueeze(0)) if one else (C, d)
    groups = torch.tensor([i for i, some in enumerate(cases[0].conjunctions) for _ in range(max(1, len(some)))])
    shape = (len(cases), *layout.graph.input.shape)
    lower, upper = _ends(layout.inputs, cases, boxes, below, above)
    _check_finite(given, layout.inputs, cases, lower, upper)
    region = Interval(lower.to(dtype).reshape(shape), upper.to(dtype).reshape(shape))
    return Query(made.graph, region, Spec(C, d, groups), tuple(cases), given, layout)


Rounding = Callable[[Sequence[Fraction], torch.dtype], Tensor]


def _ends(
    inputs: Sequence[Variable], cases: Sequence[Case], dtype: torch.dtype, low: Rounding, high: Rounding
) -> tuple[Tensor, Tensor]:
    """The ends of the boxes (B, n), rounded."""
    lows, highs = zip(*(zip(*case.box.ends(inputs), strict=True) for case in cases), strict=True)
    return torch.stack([low(ends, dtype) for ends in lows]), torch.stack([high(ends, dtype) for ends in highs])


def _check_finite(
    given: Property, inputs: Sequence[Variable], cases: Sequence[Case], lower: Tensor, upper: Tensor
) -> None:
    endless = (~(lower.isfinite() & upper.isfinite())).nonzero()
    if len(endless):
        b, i = endless[0].tolist()
        told = f"{given.called(inputs[i])} is in {cases[b].box.of(inputs[i])}, beyond the range of {lower.dtype}"
        raise given.declared_at(inputs[i], told)


def dtype_of(graphs: Iterable[Graph]) -> torch.dtype:
    """Of the first weight; torch's default where there is none. A number alone takes the dtype of what it meets."""
    tensors = (t for graph in graphs for t in leaves(graph) if t.is_floating_point() and t.dim())
    return next((t.dtype for t in tensors), torch.get_default_dtype())
