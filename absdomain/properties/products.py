"""Products of a graph's entries, computed by the graph: a property's polynomials become rows over one more node."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import networkx
import torch

from absdomain.graph import Graph
from absdomain.graph.digraph import add
from absdomain.graph.joining import fresh
from absdomain.kinds import Op
from absdomain.ops import Concat, Gather, Pow, Product, Reshape, Square

Columns = tuple[int, ...]  # a product of entries, sorted; an entry that is there twice is squared


class _Growing:
    """A graph to whose flat value entries are appended."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.digraph: networkx.DiGraph[str] = networkx.DiGraph(graph.nx)
        self.end, shape = graph.output.name, graph.output.shape
        self.size = 1
        for axis in shape:
            self.size *= axis
        if len(shape) != 1:
            self.end = self._node("entries", Reshape((self.size,)), [self.end], self.size)

    def _node(self, stem: str, op: Op, reads: Sequence[str], size: int) -> str:
        name = fresh(stem, set(self.digraph))
        add(self.digraph, name, op, (size,), reads)
        return name

    def taken(self, columns: Sequence[int]) -> str:
        """A node of these entries."""
        return self._node("taken", Gather(torch.tensor(columns)), [self.end], len(columns))

    def append(self, name: str, count: int) -> range:
        """The node's entries are the last of the value; where they stand."""
        at = range(self.size, self.size + count)
        self.size += count
        self.end = self._node("entries", Concat(1), [self.end, name], self.size)
        return at

    def powers(self, columns: Sequence[int], exponent: int) -> range:
        op = Square() if exponent == 2 else Pow(float(exponent))
        return self.append(self._node("powers", op, [self.taken(columns)], len(columns)), len(columns))

    def products(self, left: Sequence[int], right: Sequence[int]) -> range:
        pair = [self.taken(left), self.taken(right)]
        return self.append(self._node("products", Product(), pair, len(left)), len(left))

    def made(self) -> Graph:
        grown = Graph(self.digraph, self.end, inputs=[self.graph.input.name])
        return grown.with_ports(self.graph.given, grown.gives)


def multiplied(graph: Graph, products: Collection[Columns]) -> tuple[Graph, dict[Columns, int]]:
    """The graph with these products behind its flat entries, and where each stands.

    Powers of one entry first, then products from left to right: each appended node is one op for all.
    """
    growing = _Growing(graph)
    factors = {product: sorted({(c, product.count(c)) for c in product}) for product in sorted(products)}
    at: dict[tuple[int, int], int] = {}
    for exponent in sorted({e for some in factors.values() for _, e in some if e > 1}):
        columns = sorted({c for some in factors.values() for c, e in some if e == exponent})
        at.update(zip([(c, exponent) for c in columns], growing.powers(columns, exponent), strict=True))
    prefixes: dict[tuple[tuple[int, int], ...], int] = {
        (one,): at.get(one, one[0]) for some in factors.values() for one in some
    }
    for length in range(2, max(map(len, factors.values()), default=0) + 1):
        wanted = sorted({tuple(some[:length]) for some in factors.values() if len(some) >= length})
        places = growing.products([prefixes[w[:-1]] for w in wanted], [prefixes[w[-1:]] for w in wanted])
        prefixes.update(zip(wanted, places, strict=True))
    return growing.made(), {product: prefixes[tuple(some)] for product, some in factors.items()}


def repeated(graph: Graph, columns: Sequence[int]) -> Graph:
    """The graph with these entries of its flat value once more behind it."""
    growing = _Growing(graph)
    growing.append(growing.taken(columns), len(columns))
    return growing.made()
