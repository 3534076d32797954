"""Whether a lowered graph computes what its module computes: each operation against the nodes that stand for it.

The exported program is run beside the graph. Its value is the module's, made by the same kernels in the same order; and
each operation's own arguments are given to the nodes that stand for it (`standing`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from absdomain.graph import Graph, Step
from absdomain.kinds.live import Live
from absdomain.lowering.levels import level
from absdomain.lowering.samples import Samples
from absdomain.lowering.standing import Stand, difference, rough
from absdomain.lowering.table import LOW


@dataclass(frozen=True)
class Output:
    """An output of a call as a node of the graph."""

    number: int | None  # None: the call has one output
    place: int
    samples: Samples
    kept: Tensor | None  # the node has 0 elsewhere, where the call gives minus infinity

    def of(self, found: Any) -> Tensor:
        """Its value in the graph's order, of what the call gives."""
        value = self.samples.first(found if self.number is None else found[self.number])
        return value if self.kept is None else value.masked_fill(~self.kept, 0.0)


@dataclass(frozen=True, eq=False)
class Part:
    """One call of the program, the steps of the graph that it became, and the places of its outputs by number."""

    node: fx.Node
    steps: Sequence[Step]
    outputs: Sequence[Output]

    def held(self, graph: Graph, args: dict[int, Tensor], found: Any) -> None:
        """Refuses the steps unless they give the outputs that were found, up to rounding, on these arguments."""
        stand = Stand(self.steps, [output.place for output in self.outputs], str(self.node.target), "the module")
        stand.held(graph, args, [output.of(found) for output in self.outputs])


@dataclass(frozen=True, eq=False)
class Lowered:
    """A graph and the exported program that it was made of."""

    graph: Graph
    nodes: Sequence[fx.Node]
    constants: Mapping[fx.Node, Live]  # what depends on no input, nor on the size of the batch
    fixed: Collection[fx.Node]  # the constants, and what depends on that size alone
    inputs: Mapping[fx.Node, int | None]  # their places in the graph, where it reads them
    parts: Sequence[Part]

    def check(self, module: Callable[[Sequence[Tensor]], Any], batch: Sequence[Tensor]) -> None:
        """Refuses a module that is no function of its input, and a graph one of whose nodes is another operation.

        On the example, on points around it, on one sample, and with zeros for arguments, where an offset shows.
        """
        with torch.no_grad():
            for x in zip(*map(_points, batch), strict=True):
                values = run(self.nodes, self.constants, dict(zip(self.inputs, x, strict=True)))
                _is_the_module(values[self.nodes[-1]], module(x), x[0])
                self._is_the_graph(values)
            self._is_the_graph(values, zeros=True)

    def _by_truth(self, part: Part, values: Mapping[fx.Node, Any]) -> bool:
        """Whether a call reads truth values that depend on the input."""
        read = [values[n] for n in part.node.all_input_nodes if n not in self.fixed]
        return any(isinstance(v, Tensor) and v.dtype == torch.bool for v in read)

    def _is_above_zero(self, places: Iterable[int]) -> bool:
        """Whether one of these nodes is known to be positive, which the op that reads it may have been told."""
        return any(level(self.graph.nx, self.graph.nodes[place].name) > 0 for place in places)

    def _is_the_graph(self, values: Mapping[fx.Node, Any], *, zeros: bool = False) -> None:
        """Every part against its call, on the arguments that the call has, or on zeros."""
        known: dict[int, Tensor] = {place: values[node] for node, place in self.inputs.items() if place is not None}
        masked = {part.node for part in self.parts if any(output.kept is not None for output in part.outputs)}
        for part in self.parts:
            found = values[part.node]
            for output in part.outputs:
                known.setdefault(output.place, output.of(found))
            inner = {step.place for step in part.steps}
            read = {a for step in part.steps for a in step.args} | {output.place for output in part.outputs}
            args = {a: known[a] for a in read - inner}
            if zeros and (self._by_truth(part, values) or self._is_above_zero(args)):
                continue  # of zeros another choice would be made, or they are below what an argument keeps
            if zeros:
                args = {a: torch.zeros_like(v) for a, v in args.items()}
                reads = {n: values[n] for n in part.node.all_input_nodes}
                zeroed = {n: v if n in self.fixed else _zeros(v, n in masked) for n, v in reads.items()}
                found = _called(part.node, zeroed)
            part.held(self.graph, args, found)


def run(
    nodes: Sequence[fx.Node], constants: Mapping[fx.Node, Live], inputs: Mapping[fx.Node, Tensor]
) -> dict[fx.Node, Any]:
    """The value of every node of a program at these inputs."""
    values: dict[fx.Node, Any] = dict(inputs)
    for node in nodes:
        if node in constants:
            values[node] = constants[node].read()
        elif node.op == "output":
            values[node] = fx.node.map_arg(node.args[0], lambda n: values[n])
        elif node.users and node not in values:
            values[node] = _called(node, values)
    return values


def _called(node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
    target: Any = node.target
    return target(*fx.node.map_arg(node.args, lambda n: values[n]), **fx.node.map_arg(node.kwargs, lambda n: values[n]))


def _zeros(value: Any, masked: bool) -> Any:
    """Tensors of zeros, several for several; a size stays, and what a mask has made minus infinity."""
    if isinstance(value, list | tuple):
        return [_zeros(part, masked) for part in value]
    if not isinstance(value, Tensor):
        return value
    return torch.where(value <= LOW, value, 0.0).to(value.dtype) if masked else torch.zeros_like(value)


def _points(batch: Tensor) -> Iterator[Tensor]:
    """The example, points of [0, 1], points twice as far out as the example, and one of them."""
    yield batch
    generator = torch.Generator(batch.device).manual_seed(0)
    noise = torch.rand(3, *batch.shape[1:], dtype=batch.dtype, device=batch.device, generator=generator)
    yield noise
    wide = batch.abs().max().clamp(min=1.0) * (4 * noise - 2)
    yield wide
    yield wide[:1]


def _is_the_module(found: Sequence[Tensor], value: Any, x: Tensor) -> None:
    """The module again gives what its program gives."""
    values = pytree.tree_leaves(value)
    for ours, again in zip(found, values, strict=True):
        gap = difference(ours, again)
        if gap is None or not bool((gap <= rough(again)).all()):
            apart = "their shapes differ" if gap is None else f"{gap.max().item():.3g}"
            raise ValueError(
                f"the exported program differs from the module by {apart} on a batch of shape {tuple(x.shape)}; the "
                "module may be random in evaluation mode, change from call to call, or depend on the batch"
            )
