"""nn.Module -> Graph, through the ATen graph of torch.export."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from absdomain import ops
from absdomain.errors import UnsupportedOp as UnsupportedOp
from absdomain.graph import Graph
from absdomain.kinds.live import Live
from absdomain.lowering.agreement import Lowered, Part
from absdomain.lowering.definitions import written_out
from absdomain.lowering.export import Exported, export, plain
from absdomain.lowering.table import RULES, SIZED, Activation, BatchSize, Builder, Call, Mask, Value
from absdomain.runtime.modes import check_module, evaluating
from absdomain.runtime.precision import own_dtype

Example = Tensor | Sequence[Tensor] | Mapping[str, Tensor]


def to_graph(module: nn.Module, example: Example) -> Graph:
    """x -> module(x) in evaluation mode, as a graph of ops that read the module's parameters at each use.

    example: a batch (B, *shape) of the module's dtype and device; the graph takes any batch size. For several arguments
    a tuple of such batches, or a dict by the arguments' names; the graph's inputs are called so (`Graph.inputs`), a
    single batch "input". Of a module that returns a tuple the outputs are called after its nodes, and of one that
    returns a dict after its keys. Lower again after the module's structure has changed: parameters are live, submodules
    are not looked up again. The graph is evaluated against the module on random points. Errors: UnsupportedOp;
    ValueError where the two disagree.
    """
    check_module(module, "to_graph")
    _fill_rules()
    given = _Arguments.of(module, example)
    with torch.inference_mode(False), evaluating(module), own_dtype(given.first):
        batch = given.plain()
        exported = written_out(export(module, batch.args, batch.named), RULES)
        lowered = _Lowering(module, exported, batch).lowered()
        exported.check_sizes()  # after the walk, whose refusals are more precise
        lowered.check(batch.call(module), batch.tensors)
    return lowered.graph


@dataclass(frozen=True, eq=False)
class _Arguments:
    """Batches by the names that a graph gives them, and how a module is called with them."""

    names: Sequence[str]
    args: Sequence[Tensor]
    named: Mapping[str, Tensor]

    @staticmethod
    def of(module: nn.Module, example: Example) -> _Arguments:
        """Those of an example; ValueError for one that is none."""
        if isinstance(example, Mapping):
            found = _Arguments(list(example), [], dict(example))
        else:
            args = [example] if isinstance(example, Tensor) else list(example)
            found = _Arguments(["input"] if isinstance(example, Tensor) else _parameters(module, len(args)), args, {})
        tensors = found.tensors
        for t in tensors:
            if not isinstance(t, Tensor) or t.dim() < 2 or not t.is_floating_point() or t.numel() == 0:
                told = f"shape {tuple(t.shape)} of {t.dtype}" if isinstance(t, Tensor) else f"a {type(t).__name__}"
                raise ValueError(
                    f"to_graph: the example is a batch (B, *shape) of floating point numbers, B > 0; got {told}"
                )
        if len({(len(t), t.dtype) for t in tensors}) != 1:
            told = ", ".join(f"{tuple(t.shape)} of {t.dtype}" for t in tensors) or "none"
            raise ValueError(f"to_graph: batches of one size and dtype are needed, one or more; got {told}")
        return found

    @property
    def tensors(self) -> list[Tensor]:
        """In the order of the names."""
        return [*self.args, *self.named.values()]

    @property
    def first(self) -> Tensor:
        return self.tensors[0]

    def plain(self) -> _Arguments:
        """Three samples of each (`export.plain`)."""
        return replace(self, args=[plain(t) for t in self.args], named={k: plain(t) for k, t in self.named.items()})

    def call(self, module: nn.Module) -> Callable[[Sequence[Tensor]], Any]:
        """Tensors in the order of the names -> what the module returns."""
        count = len(self.args)
        return lambda xs: module(*xs[:count], **dict(zip(self.named, xs[count:], strict=True)))


def _parameters(module: nn.Module, count: int) -> list[str]:
    """The names of the first parameters of `forward`, or numbered ones where it takes any number."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [name for name, one in inspect.signature(module.forward).parameters.items() if one.kind in kinds][:count]
    return [*names, *(f"input_{i}" for i in range(len(names), count))]


def _fill_rules() -> None:
    """The table: ours, then those of plug-ins, whose modules are imported for the `lowers` in them."""
    import absdomain.lowering.aten  # noqa: F401
    from absdomain import registry

    with suppress(registry.NotInstalled):  # a source tree on the path has no plug-ins, and needs none
        for name in registry.names("lowerings"):
            registry.find("lowerings", name)


class _Lowering:
    """One walk over an exported graph."""

    def __init__(self, module: nn.Module, exported: Exported, given: _Arguments) -> None:
        self.module = module
        self.exported = exported
        shapes = {name: tuple(t.shape[1:]) for name, t in zip(given.names, given.tensors, strict=True)}
        self.inputs = dict(zip(exported.inputs, given.names, strict=True))
        self.builder = Builder(module, exported, shapes)

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
        place = {node.name: number for number, node in enumerate(graph.nodes)}
        inputs = {node: place.get(name) for node, name in self.inputs.items()}
        return Lowered(graph, nodes, constants, inputs, list(self._parts(graph, made, values)))

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
        if not outputs:
            raise UnsupportedOp("the module returns nothing; return a tensor that depends on the input")
        for number, output in enumerate(outputs):
            if not isinstance(output, Activation):
                raise UnsupportedOp(
                    f"the module returns {len(outputs)} values, of which number {number} is no tensor that depends on "
                    "the input; return such tensors only"
                )
        inputs = list(self.inputs.values())
        names = [self._named(output.name, key) for output, key in zip(outputs, self._keys(len(outputs)), strict=True)]
        if names == inputs[:1] and len(inputs) == 1:
            raise UnsupportedOp("the module returns its input unchanged; there is nothing to bound")
        names = [self._named(name, name) if name in names[:i] else name for i, name in enumerate(names)]
        return Graph(self.builder.digraph, names, inputs=inputs)

    def _keys(self, count: int) -> list[str | None]:
        """What the module calls its outputs, if anything: the keys of a dictionary."""
        spec = self.exported.program.call_spec.out_spec
        found = None if spec is None else pytree.tree_unflatten(list(range(count)), spec)
        if not isinstance(found, dict):
            return [None] * count
        keys = {place: key for key, place in found.items() if isinstance(place, int)}
        return [str(keys[place]) if place in keys else None for place in range(count)]

    def _named(self, name: str, key: str | None) -> str:
        """The node of this name, or one that gives the same under the key, or a key with a number."""
        if key is None or (key == name and key not in self.builder.digraph):
            return name
        return self.builder.add(key, ops.Reshape(self.builder.shape(name)), [name])

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
        return Activation(self.inputs[node])

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
