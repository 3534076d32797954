"""nn.Module -> Graph, through the ATen graph of torch.export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, fx, nn

from absdomain.errors import UnsupportedOp as UnsupportedOp
from absdomain.graph import Graph
from absdomain.kinds import Shape
from absdomain.kinds.live import Live
from absdomain.lowering.agreement import Lowered, Part
from absdomain.lowering.export import Exported, export, plain
from absdomain.lowering.table import RULES, SIZED, Activation, BatchSize, Builder, Call, Mask, Value
from absdomain.runtime.modes import check_module, evaluating
from absdomain.runtime.precision import own_dtype


def to_graph(module: nn.Module, example: Tensor) -> Graph:
    """x -> module(x) in evaluation mode, as a graph of ops that read the module's parameters at each use.

    example: a batch (B, *shape) of the module's dtype and device; the graph takes any batch size. Lower again after
    the module's structure has changed: parameters are live, submodules are not looked up again. The graph is
    evaluated against the module on random points. Errors: UnsupportedOp; ValueError where the two disagree.
    """
    check_module(module, "to_graph")
    _fill_rules()
    if example.dim() < 2 or not example.is_floating_point() or example.numel() == 0:
        raise ValueError(
            f"to_graph: the example is a batch (B, *shape) of floating point numbers, B > 0; "
            f"got shape {tuple(example.shape)} of {example.dtype}"
        )
    with torch.inference_mode(False), evaluating(module), own_dtype(example):
        batch = plain(example)
        exported = export(module, batch)
        lowered = _Lowering(module, exported, tuple(example.shape[1:])).lowered()
        exported.check_sizes()  # after the walk, whose refusals are more precise
        lowered.check(module, batch)
    return lowered.graph


def _fill_rules() -> None:
    """The table: ours, then those of plug-ins, whose modules are imported for the `lowers` in them."""
    import absdomain.lowering.aten  # noqa: F401
    from absdomain import registry

    with suppress(registry.NotInstalled):  # a source tree on the path has no plug-ins, and needs none
        for name in registry.names("lowerings"):
            registry.find("lowerings", name)


class _Lowering:
    """One walk over an exported graph."""

    def __init__(self, module: nn.Module, exported: Exported, shape: Shape) -> None:
        self.module = module
        self.exported = exported
        self.builder = Builder(module, exported, shape)

    def lowered(self) -> Lowered:
        values: dict[fx.Node, Value] = {}
        made: list[tuple[fx.Node, int]] = []  # each call, with the number of nodes before those that it makes
        nodes = self.exported.nodes
        for node in nodes[:-1]:
            if node.op == "placeholder":
                values[node] = self._placeholder(node)
            elif node.users:  # what nobody reads has no effect: the graph is functional
                made.append((node, len(self.builder.digraph)))
                values[node] = self._call(node, values)
        outputs: Any = nodes[-1].args[0]
        graph = self._ending(fx.node.map_arg(outputs, lambda n: values[n]))
        constants = {node: value for node, value in values.items() if isinstance(value, Live)}
        return Lowered(graph, nodes, constants, list(self._parts(graph, made, values)))

    def _parts(self, graph: Graph, made: list[tuple[fx.Node, int]], values: dict[fx.Node, Value]) -> Iterator[Part]:
        """What each call has become, of what is left in the graph."""
        place = {node.name: number for number, node in enumerate(graph.nodes)}
        steps = {graph.nodes[step.place].name: step for step in graph.schedule}
        names = list(self.builder.digraph)
        ends = [*(start for _, start in made[1:]), len(names)]
        for (node, start), end in zip(made, ends, strict=True):
            value = values[node]
            found = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
            outputs = [(n, place[v.name]) for n, v in found if isinstance(v, Activation) and v.name in place]
            if outputs:
                yield Part(node, [steps[name] for name in names[start:end] if name in steps], outputs)

    def _ending(self, outputs: Sequence[Value]) -> Graph:
        """The graph of the output that the program returns."""
        results = self.exported.program.graph_signature.output_specs
        changed = [result.target or "its input" for result in results if "MUTATION" in result.kind.name]
        if changed:
            raise UnsupportedOp(
                f"the module changes {', '.join(changed)} in place; work on a copy (a first layer ReLU(inplace=True) "
                "changes the input)"
            )
        if len(outputs) != 1 or not isinstance(outputs[0], Activation):
            raise UnsupportedOp(f"the module returns {len(outputs)} tensors; return one that depends on the input")
        (output,) = outputs
        if output.name == "input":
            raise UnsupportedOp("the module returns its input unchanged; there is nothing to bound")
        return Graph(self.builder.digraph, output.name)

    def _placeholder(self, node: fx.Node) -> Value:
        signature = self.exported.program.graph_signature
        name = node.name
        state = signature.inputs_to_parameters.get(name) or signature.inputs_to_buffers.get(name)
        if state is not None:
            path, _, leaf = state.rpartition(".")
            owner = self.module.get_submodule(path)
            return Live(lambda: getattr(owner, leaf))
        constant = signature.inputs_to_lifted_tensor_constants.get(name)
        if constant is not None:
            tensor = self.exported.program.constants[constant]
            return Live(lambda: tensor)
        return Activation("input")

    def _call(self, node: fx.Node, values: dict[fx.Node, Value]) -> Value:
        args = fx.node.map_arg(node.args, lambda n: values[n])
        kwargs = fx.node.map_arg(node.kwargs, lambda n: values[n])
        call = Call(self.builder, node, str(node.target))
        flat = list(_leaves((args, kwargs)))
        active = any(isinstance(v, Activation | Mask) for v in flat)
        if any(isinstance(v, BatchSize) for v in flat) and not (active and call.target in SIZED):
            call.unsupported("depends on the batch size", "write it without x.shape[0]")
        if not active:
            target: Any = node.target
            if torch.Tag.nondeterministic_seeded in getattr(target, "tags", ()):
                call.unsupported("is random", "draw the numbers once, and keep them in a buffer")
            return Live(lambda: target(*_read(args), **_read(kwargs)))
        rule = RULES.get(call.target)
        if rule is None:
            call.unsupported(
                "is neither Affine nor Nonlinear",
                "give it a band (absdomain.kinds.Nonlinear) and register it (absdomain.lowering.lowers)",
            )
        value = rule(call, *args, **kwargs)
        for number, result in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(result, Activation):
                call.check(result, number)
        return value


def _leaves(value: Value) -> Iterator[Value]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    elif isinstance(value, dict):
        yield from _leaves(list(value.values()))
    else:
        yield value


def _read(value: Value) -> Value:
    """The present value of a constant expression's arguments."""
    return fx.node.map_aggregate(value, lambda leaf: leaf.read() if isinstance(leaf, Live) else leaf)
