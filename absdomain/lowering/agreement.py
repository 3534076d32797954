"""Whether a lowered graph computes what its module computes: each operation against the nodes that stand for it.

The exported program is run beside the graph. Its value is the module's, made by the same kernels in the same order; and
each operation's own arguments are given to the nodes that stand for it, so that rounding does not add up on the way to
them: what remains is that of one operation, of which `rounding` says how large it may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, fx, nn

from absdomain import rounding
from absdomain.errors import UnsupportedOp
from absdomain.graph import Graph, Step
from absdomain.kinds import Affine, Nonlinear
from absdomain.kinds.live import Live
from absdomain.linear import Bounds
from absdomain.rounding import Rounded

_ROUNDOFFS = 64  # of the largest entry: what passes without a look at how it was rounded
_ORDERS = 4  # times the rounding of our way to compute it: PyTorch's kernels have ways of their own
_FEW = 8  # operations of a nonlinear op, and beside the sum of an affine one


@dataclass(frozen=True, eq=False)
class Part:
    """One call of the program, the steps of the graph that it became, and the places of its outputs by number."""

    node: fx.Node
    steps: Sequence[Step]
    outputs: Sequence[tuple[int | None, int]]  # None: the call has one output

    def held(self, graph: Graph, args: dict[int, Tensor], found: Any) -> None:
        """Refuses the steps unless they give the outputs that were found, up to rounding, on these arguments."""
        values = dict(args)
        for step in self.steps:
            values[step.place] = step.op(*(values[a] for a in step.args))
        for number, place in self.outputs:
            ours, theirs = values[place], found if number is None else found[number]
            gap = _gap(ours, theirs)
            if gap is not None and bool((gap <= _ROUNDOFFS * _unit(theirs) * _size(theirs)).all()):
                continue
            if gap is None or not bool((gap <= self._allowed(args, place, theirs)).all()):
                raise ValueError(self._difference(graph, values, place, theirs))

    def _allowed(self, args: Mapping[int, Tensor], place: int, like: Tensor) -> Tensor:
        """What rounding makes of an output; where that is not known, a part of its size."""
        rounded = {a: Rounded(Bounds(v, v), torch.zeros_like(v), v.new_zeros(len(v))) for a, v in args.items()}
        for step in self.steps:
            rounded[step.place] = _rounded(step, [rounded[a] for a in step.args])
        error = _ORDERS * rounded[place].error
        return torch.where(error.isfinite(), error, _rough(like))

    def _difference(self, graph: Graph, values: Mapping[int, Tensor], place: int, theirs: Tensor) -> str:
        """The first step that overflows where the call does not, or the output that differs."""
        ours, rows = values[place], f"on a batch of {len(theirs)}"
        endless = [step.place for step in self.steps if not bool(values[step.place].isfinite().all())]
        overflows = bool(endless) and bool(theirs.isfinite().all())
        node = graph.nodes[endless[0] if overflows else place]
        where = f"at node {node.name!r} ({type(node.op).__name__}), which stands for {self.node.target}, {rows}"
        if overflows:
            return (
                f"the lowered graph overflows in {theirs.dtype} {where}, where the module is finite; make the weights "
                "before it smaller, or leave the layer out"
            )
        shapes = f"{tuple(ours.shape)} is not {tuple(theirs.shape)}"
        gap = f"{(ours - theirs).abs().max().item():.3g}" if ours.shape == theirs.shape else shapes
        return f"the lowered graph differs from the module by {gap} {where}; it is a fault in a lowering rule"


@dataclass(frozen=True, eq=False)
class Lowered:
    """A graph and the exported program that it was made of."""

    graph: Graph
    nodes: Sequence[fx.Node]
    constants: Mapping[fx.Node, Live]  # what depends on no input
    parts: Sequence[Part]

    def check(self, module: nn.Module, batch: Tensor) -> None:
        """Refuses a module that is no function of its input, and a graph one of whose nodes is another operation.

        On the example, on points around it, on one sample, and with zeros for arguments, where an offset shows.
        """
        with torch.no_grad():
            for x in _points(batch):
                values = self._run(x)
                _is_the_module(values[self.nodes[-1]], module(x), x)
                self._is_the_graph(values)
            self._is_the_graph(values, zeros=True)

    def _run(self, x: Tensor) -> dict[fx.Node, Any]:
        """The value of every node of the program at x."""
        values: dict[fx.Node, Any] = {}
        for node in self.nodes:
            if node in self.constants:
                values[node] = self.constants[node].read()
            elif node.op == "placeholder":
                values[node] = x
            elif node.op == "output":
                values[node] = values[node.all_input_nodes[0]]
            elif node.users:
                values[node] = _called(node, values)
        return values

    def _by_truth(self, part: Part, values: Mapping[fx.Node, Any]) -> bool:
        """Whether a call reads truth values that depend on the input."""
        read = [values[n] for n in part.node.all_input_nodes if n not in self.constants]
        return any(isinstance(v, Tensor) and v.dtype == torch.bool for v in read)

    def _is_the_graph(self, values: Mapping[fx.Node, Any], *, zeros: bool = False) -> None:
        """Every part against its call, on the arguments that the call has, or on zeros."""
        inputs = [node for node in self.nodes if node.op == "placeholder" and node not in self.constants]
        known: dict[int, Tensor] = {0: values[inputs[0]]}
        for part in self.parts:
            found = values[part.node]
            for number, place in part.outputs:
                known.setdefault(place, found if number is None else found[number])
            inner = {step.place for step in part.steps}
            read = {a for step in part.steps for a in step.args} | {place for _, place in part.outputs}
            args = {a: known[a] for a in read - inner}
            if zeros and self._by_truth(part, values):
                continue  # of zeros another choice would be made
            if zeros:
                args = {a: torch.zeros_like(v) for a, v in args.items()}
                reads = {n: values[n] for n in part.node.all_input_nodes}
                found = _called(part.node, {n: v if n in self.constants else _zeros(v) for n, v in reads.items()})
            part.held(self.graph, args, found)


def _called(node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
    target: Any = node.target
    return target(*fx.node.map_arg(node.args, lambda n: values[n]), **fx.node.map_arg(node.kwargs, lambda n: values[n]))


def _zeros(value: Any) -> Any:
    """Tensors of zeros, several for several; a size stays."""
    if isinstance(value, list | tuple):
        return [_zeros(part) for part in value]
    return torch.zeros_like(value) if isinstance(value, Tensor) else value


def _points(batch: Tensor) -> Iterator[Tensor]:
    """The example, points of [0, 1], points twice as far out as the example, and one of them."""
    yield batch
    generator = torch.Generator(batch.device).manual_seed(0)
    noise = torch.rand(3, *batch.shape[1:], dtype=batch.dtype, device=batch.device, generator=generator)
    yield noise
    wide = batch.abs().max().clamp(min=1.0) * (4 * noise - 2)
    yield wide
    yield wide[:1]


def _is_the_module(found: Tensor, value: Any, x: Tensor) -> None:
    """The module again gives what its program gives."""
    if not isinstance(value, Tensor):
        raise UnsupportedOp(f"the module returns a {type(value).__name__}; return one tensor")
    gap = _gap(found, value)
    if gap is None or not bool((gap <= _rough(value)).all()):
        apart = "their shapes differ" if gap is None else f"{gap.max().item():.3g}"
        raise ValueError(
            f"the exported program differs from the module by {apart} on a batch of shape {tuple(x.shape)}; the module "
            "may be random in evaluation mode, change from call to call, or depend on the batch"
        )


def _gap(ours: Tensor, theirs: Tensor) -> Tensor | None:
    """|ours - theirs|, 0 where both are the same infinity or NaN, inf where one is; None for two shapes."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return None
    same = (ours == theirs) | (ours.isnan() & theirs.isnan())
    return torch.where(same, 0.0, (ours - theirs).abs().nan_to_num(nan=torch.inf, posinf=torch.inf))


def _size(value: Tensor) -> Tensor:
    """The largest entry that is finite."""
    return value.abs().nan_to_num(nan=0.0, posinf=0.0).max()


def _rough(value: Tensor) -> Tensor:
    return torch.finfo(value.dtype).eps ** (2 / 3) * _size(value).clamp(min=1.0)


def _unit(like: Tensor) -> float:
    return torch.finfo(like.dtype).eps / 2


def _rounded(step: Step, args: Sequence[Rounded]) -> Rounded:
    """The error of a step; in a sum of n terms about sqrt(n) roundings add up (Higham and Mary 2019)."""
    match step.op:
        case Affine() as op:
            weight = None if op.weight is None else torch.ones_like(op.weight)
            reads = op.linear(weight, *(torch.ones_like(e.error[:1]) for e in args)).max().item()
            return rounding.affine(op, args, ceil(_FEW * (1 + reads**0.5)))
        case Nonlinear() as op:
            return rounding.nonlinear(op, args, tuple(e.wide for e in args), _FEW)
    raise TypeError(f"{type(step.op).__name__} is neither Affine nor Nonlinear (absdomain.kinds); derive it from one")
