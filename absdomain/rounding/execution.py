"""executed(graph): the network as a machine evaluates it, every result within a bound of the real operation's.

A float type has the unit roundoff u and the smallest number eta. Where each term of an entry of A x + b meets at most n
roundings, in any order of summation, with or without fused multiplication, the entry is off by at most

    gamma_n (|A| |x| + |b|) + n eta,    gamma_n = n u / (1 - n u)

(Higham 2002, sections 2.1, 3.1 and 4.2). An elementary function f is off by u times its `forward_error` and eta, which
is what is assumed of the machine's library. That is a ball around the real result, which a nonlinear op `Rounded` adds
after each operation, and a bound of the rewritten graph holds for every such evaluation. Not of sums by transforms, as
Winograd's or Fourier's of convolutions, nor of products in a coarser type, as TF32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx
import torch
from torch import Tensor

from absdomain.errors import check_type
from absdomain.graph import Graph
from absdomain.graph.digraph import add
from absdomain.graph.joining import fresh
from absdomain.kinds import Affine, Nonlinear, Op
from absdomain.linear import Bounds
from absdomain.ops.rounded import Rounded
from absdomain.rounding.errors import Boxes, evaluated, holding, largest, widened

_OUTWARD = 1 + 2.0**-20  # what is computed here in float64 is off by less, as long as no sum has 2^31 terms


def executed(graph: Graph, box: Bounds, dtype: torch.dtype, known: Boxes | None = None) -> Graph:
    """x -> all values that an evaluation of graph(x) in `dtype` may give, at floats x of the box; in float64.

    Of the operations of the graph one by one, with its weights, or with these rounded to `dtype`. box (B, *shape): all
    inputs that will be asked about; one graph serves them all. `known`: boxes of the arguments of nonlinear nodes that
    hold the real values over it, tighter than interval arithmetic's. Subnormal numbers are kept, and an overflow is
    a radius of infinity.

    Errors: ValueError unless the graph is in float64, and for a `dtype` that is not a floating-point type.
    """
    return with_radii(graph, radii(graph, box, dtype, known))


def radii(graph: Graph, box: Bounds, dtype: torch.dtype, known: Boxes | None = None) -> dict[str, Tensor]:
    """{ node -> how far its rounded result may be from the real one of its executed arguments }, (1, *shape) each.

    Without nodes that are exact. Arguments and errors are those of `executed`.
    """
    check_type("executed", graph, Graph, "lower a module first: absdomain.to_graph(module, example)")
    check_type("executed, box", box, Bounds, "give the box of all inputs, as in region.box()")
    check_type("executed, dtype", dtype, torch.dtype, "give one, such as torch.float32")
    if not dtype.is_floating_point:
        raise ValueError(f"executed: {dtype} is not a floating-point type; give one, such as torch.float32")
    if box.lower.dtype != torch.float64:
        raise ValueError(f"executed: boxes of {box.lower.dtype} cannot bound roundings; give float64")
    rounding, found = _Rounding(dtype), dict[str, Tensor]()
    with torch.no_grad():
        real, off = evaluated(graph, box, known), [torch.zeros_like(box.lower)]  # how far executed values may be off
        for step in graph.schedule:
            name = graph.nodes[step.place].name
            boxes = holding([real[a] for a in step.args], (known or {}).get(name))
            error, own = rounding.of(step.op, boxes, [off[a] for a in step.args], real[step.place].wide)
            off.append(error)
            if bool((own > 0).any()):
                found[name] = own.amax(0, keepdim=True)
    return found


class _Rounding:
    """What one operation in a float type adds to what its arguments are off by."""

    def __init__(self, dtype: torch.dtype) -> None:
        info = torch.finfo(dtype)
        self.unit, self.most = info.eps / 2, info.max
        self.least = info.tiny * info.eps  # the smallest subnormal number
        # functions of 16 bits are computed in 32, and rounded
        self.single = dtype if info.bits >= 32 else torch.float32

    def of(self, op: Op, boxes: tuple[Bounds, ...], off: Sequence[Tensor], image: Bounds) -> tuple[Tensor, Tensor]:
        """How far the executed results may be from the real ones, and what of that this op adds, (B, *shape) each.

        boxes and image hold the real arguments and results; the executed arguments are `off` by so much.
        """
        wide = tuple(widened(box, error) for box, error in zip(boxes, off, strict=True))
        match op:
            case Affine():
                passed, own = op.modulus(*off), self.affine(op, wide)
            case Nonlinear():
                passed, own = op.linearised(op.steepness(wide))(*off), self.nonlinear(op, wide)
            case _:
                raise TypeError(f"{type(op).__name__} is neither Affine nor Nonlinear (absdomain.kinds)")
        own = _outward(own.expand_as(image.lower))
        far = largest(image) + passed + own
        own = own.masked_fill(~(far <= self.most), torch.inf)  # it may overflow
        return _outward(passed + own), own

    def affine(self, op: Affine, wide: tuple[Bounds, ...]) -> Tensor:
        """gamma_n (|A| |x| + |b|) + n eta; what overflows on the way is infinite."""
        count = op.roundings(*(b.shape for b in wide))
        size = op.modulus(*(largest(b) for b in wide))
        size = size if op.offset_size is None else size + op.offset_size
        part = count * self.unit
        gamma = part / (1 - part) if part < 0.5 else torch.inf
        size = size.masked_fill(~(size * (1 + gamma) <= self.most), torch.inf)
        return torch.zeros_like(size) if count == 0 else gamma * size + count * self.least

    def nonlinear(self, op: Nonlinear, wide: tuple[Bounds, ...]) -> Tensor:
        """u forward_error + eta, of the op in this type; 0 of one that computes nothing."""
        seen = op.forward_error(tuple(map(self._cast, wide))).to(wide[0].lower)
        error = self.unit * (1 + 2.0**-10) * seen  # which was itself computed in single precision
        return torch.where(seen == 0, seen, error + self.least)

    def _cast(self, box: Bounds) -> Bounds:
        """A box that holds it, in the type in which functions are computed."""
        lower, upper = box.lower, box.upper
        return Bounds(
            (lower - 2 * self.unit * lower.abs() - self.least).to(self.single),
            (upper + 2 * self.unit * upper.abs() + self.least).to(self.single),
        )


def _outward(error: Tensor) -> Tensor:
    return error.nan_to_num(nan=torch.inf, posinf=torch.inf) * _OUTWARD


def with_radii(graph: Graph, radii: Mapping[str, Tensor]) -> Graph:
    """The graph with a `Rounded` after each node that has a radius; the node keeps its name."""
    made: networkx.DiGraph[str] = networkx.DiGraph()
    told = {node.name: node.name for node in graph.nodes}  # node -> who tells its value
    taken = set(told)
    for node in graph.nodes:
        if node.op is None:
            made.add_node(node.name, shape=node.shape)
            continue
        add(made, node.name, node.op, node.shape, [told[graph.nodes[a].name] for a in node.args])
        if node.name in radii:
            told[node.name] = fresh(f"{node.name}/rounded", taken)
            taken.add(told[node.name])
            add(made, told[node.name], Rounded(radii[node.name]), node.shape, [node.name])
    return Graph(made, told[graph.output.name]).with_ports(graph.given, graph.gives)
