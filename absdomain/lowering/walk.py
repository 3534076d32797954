"""nn.Module -> Graph, through the ATen graph of torch.export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from absdomain import ops
from absdomain.errors import UnsupportedOp as UnsupportedOp
from absdomain.graph import Graph
from absdomain.kinds.live import Live
from absdomain.lowering import numbers
from absdomain.lowering.agreement import Lowered, Output, Part, run
from absdomain.lowering.blockers import Blocker, Structural, Unknown, refuse
from absdomain.lowering.constants import of_one
from absdomain.lowering.definitions import written_out
from absdomain.lowering.each import on_each, rows
from absdomain.lowering.evaluated import Evaluated
from absdomain.lowering.example import Arguments, Example
from absdomain.lowering.export import Exported, export
from absdomain.lowering.following import CREATED, SIZES, Following, Mixed, Unfollowed, bound, unwritten
from absdomain.lowering.samples import counted, depends, single
from absdomain.lowering.table import MASKED, RULES, Activation, BatchSize, Builder, Call, Mask, Rule, Value
from absdomain.lowering.translation import in_order
from absdomain.runtime.modes import check_module, evaluating
from absdomain.runtime.precision import own_dtype


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
    given = Arguments.of(module, example)
    if isinstance(module, Evaluated):  # it was lowered before
        return module.graph(tuple(given.first.shape[1:]))
    _fill_rules()
    with torch.inference_mode(False), evaluating(module), own_dtype(given.first):
        batch = given.plain()
        exported = written_out(export(module, batch.args, batch.named), RULES)
        lowered = _Lowering(module, exported, batch).lowered()
        exported.check_sizes()  # after the walk, whose refusals are more precise
        lowered.check(batch.call(module), batch.tensors)
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

    def __init__(self, module: nn.Module, exported: Exported, given: Arguments) -> None:
        self.module = module
        self.exported = exported
        shapes = {name: tuple(t.shape[1:]) for name, t in zip(given.names, given.tensors, strict=True)}
        self.inputs = dict(zip(exported.inputs, given.names, strict=True))
        self.builder = Builder(module, exported, shapes)
        self.following = Following(exported.batch)
        self.example = given.tensors
        self.blockers: list[Blocker] = []

    def lowered(self) -> Lowered:
        values: dict[fx.Node, Value] = {}
        made: list[tuple[fx.Node, int]] = []  # each call, with the number of nodes before those that it makes
        nodes = self.exported.nodes
        for node in nodes[:-1]:
            if node.op == "placeholder":
                values[node] = self._placeholder(node)
            elif node.users:  # what nobody reads has no effect: the graph is functional
                made.append((node, len(self.builder.digraph)))
                values[node] = self._asked(node, values)
        self._refuse(values)
        outputs: Any = nodes[-1].args[0]
        graph = self._ending(outputs, values)
        fixed = {node for node, value in values.items() if isinstance(value, Live)}
        place = {node.name: number for number, node in enumerate(graph.nodes)}
        inputs = {node: place.get(name) for node, name in self.inputs.items()}
        return Lowered(graph, nodes, self._constants(values), fixed, inputs, list(self._parts(graph, made, values)))

    def _parts(self, graph: Graph, made: list[tuple[fx.Node, int]], values: dict[fx.Node, Value]) -> Iterator[Part]:
        """What each call has become, of what is left in the graph."""
        place = {node.name: number for number, node in enumerate(graph.nodes)}
        steps = {graph.nodes[step.place].name: step for step in graph.schedule}
        names = list(self.builder.digraph)
        ends = [*(start for _, start in made[1:]), len(names)]
        for (node, start), end in zip(made, ends, strict=True):
            value = values[node]
            found = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
            samples = self.following.known.get(node, ())
            outputs = [
                Output(n, place[v.name], where, self.builder.masked.get(v.name))
                for (n, v), where in zip(found, samples, strict=False)
                if isinstance(v, Activation) and v.name in place and where is not None
            ]
            if outputs:
                yield Part(node, [steps[name] for name in names[start:end] if name in steps], outputs)

    def _ending(self, returned: Sequence[Any], values: Mapping[fx.Node, Value]) -> Graph:
        """The graph of the output that the program returns."""
        outputs = fx.node.map_arg(returned, lambda n: values[n])
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
                    f"the module returns {len(outputs)} values, of which number {number} is not a tensor that "
                    "depends on the input; return such tensors only"
                )
            (where,) = self.following.known[returned[number]]
            if where is None or not where.plain:
                raise UnsupportedOp(
                    f"the module moves or mixes the batch axis: its output number {number} has another axis 0; return "
                    "it with the batch along axis 0 alone"
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
        self.following.first(node)
        return Activation(self.inputs[node])

    def _constants(self, values: Mapping[fx.Node, Value]) -> dict[fx.Node, Live]:
        """What depends on no input, nor on the size of the batch."""
        known = self.following.known
        return {n: v for n, v in values.items() if isinstance(v, Live) and not any(known.get(n, ()))}

    def _refuse(self, values: Mapping[fx.Node, Value]) -> None:
        """UnsupportedOp with all the calls that have been refused."""
        if self.blockers:
            inputs = dict(zip(self.inputs, self.example, strict=True))
            moving = {
                n
                for n, v in values.items()
                if any(isinstance(leaf, Activation | Mask | Unknown) for leaf in _leaves(v))
            }
            found: dict[fx.Node, Any] = {}
            with torch.no_grad(), suppress(RuntimeError):  # of a program that holds for other sizes only
                found = run(self.exported.nodes, self._constants(values), inputs)
            refuse(self.blockers, moving.__contains__, found)

    def _asked(self, node: fx.Node, values: dict[fx.Node, Value]) -> Value:
        """What a call becomes; where it is refused, an activation of its shape, so that calls after it are asked."""
        try:
            return self._call(node, values)
        except UnsupportedOp as refusal:
            mixes = self.following.known.get(node, ())[:1] == (None,)
            self.blockers.append(Blocker(node, refusal, mixes or isinstance(refusal, Structural)))
            return self._stand_in(node)

    def _stand_in(self, node: fx.Node) -> Value:
        """An activation of the call's shape, of whose value nothing is known."""
        samples = self.following.known.get(node, ())
        value: Any = node.meta.get("val")
        if len(samples) != 1 or samples[0] is None or not all(counted(s, self.exported.batch) for s in value.shape):
            return Unknown()
        name = self.builder.fresh(node.name)
        self.builder.digraph.add_node(name, shape=samples[0].inner(value.shape))
        return Activation(name)

    def _call(self, node: fx.Node, values: dict[fx.Node, Value]) -> Value:
        size = node.meta.get("val")
        if isinstance(size, int | float | torch.SymInt | torch.SymFloat) and counted(size, self.exported.batch):
            number = single(size, self.exported.batch)
            return BatchSize(number) if depends(size, self.exported.batch) else number
        call, given = self._placed(node), bound(node)
        if unwritten(node):
            raise call.structural("reads memory that nothing has written", "begin with zeros, as torch.zeros_like(x)")
        if numbers.concerned(node, values):
            return self._numbered(call, values)
        sized = [name for name, arg in given.items() if any(isinstance(v, BatchSize) for v in _read_by(arg, values))]
        if not SIZES.issuperset(sized):
            raise call.structural("depends on the batch size", "write it without x.shape[0]")
        read = _read_by((node.args, node.kwargs), values)
        if any(isinstance(v, Unknown) for v in read):
            return self._stand_in(node)
        if call.target in CREATED or not any(isinstance(v, Activation | Mask) for v in read):
            return self._constant(call, values)
        if call.target not in MASKED and any(isinstance(v, Activation) and v.name in self.builder.masked for v in read):
            call.unsupported("reads numbers that are minus infinity", "leave them to the softmax before anything else")
        value = self._ruled(call, call.rule(), values.__getitem__)
        for place, result in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(result, Activation):
                call.check(result, place)
        return value

    def _ruled(self, call: Call, rule: Rule, value: Callable[[fx.Node], Value]) -> Value:
        """The rule's value, of the arguments in the graph's order, or of one row of them after the other."""
        try:
            args, kwargs = in_order(self.following, call.node, value)
        except Mixed as mixed:
            where = rows(self.following, call.node) if isinstance(mixed, Unfollowed) else None
            if where is None:
                raise call.structural(mixed.what, mixed.remedy) from mixed
            return on_each(call, rule, where, dict(self.following.held(call.node)), value)
        return rule(call, *args, **kwargs)

    def _placed(self, node: fx.Node) -> Call:
        """The call, with the places of the samples in its outputs."""
        with suppress(Mixed):  # what the rule refuses, more precisely, or else what reads the output's shape
            self.following.follow(node)
        return Call(self.builder, node, str(node.target), self.following.known[node])

    def _constant(self, call: Call, values: Mapping[fx.Node, Value]) -> Live:
        """A value that depends on no input; where it has a batch, it is that of one sample, as it is for all."""
        if torch.Tag.nondeterministic_seeded in getattr(call.node.target, "tags", ()):
            raise call.structural("is random", "draw the numbers once, and keep them in a buffer")
        try:
            self.following.check(call.node)
        except Mixed as mixed:
            raise call.structural(mixed.what, mixed.remedy) from mixed
        return of_one(call.node, values, self.exported.batch)

    def _numbered(self, call: Call, values: Mapping[fx.Node, Value]) -> Value:
        """What a call makes of the samples' own numbers."""
        match numbers.use(self.following, call.node, values):
            case numbers.Use.COUNT:
                return numbers.Numbers(of_one(call.node, values, self.exported.batch))
            case numbers.Use.LAY:
                return numbers.Numbers(self._constant(call, values))
            case numbers.Use.CHOOSE:
                return of_one(call.node, values, self.exported.batch)
        raise call.structural("depends on the batch size", "write it without x.shape[0]")


def _read_by(arg: Any, values: Mapping[fx.Node, Value]) -> list[Value]:
    """The values that an argument of a call holds, lists of them taken apart."""
    nodes: list[fx.Node] = []
    fx.node.map_arg(arg, nodes.append)
    return [leaf for node in nodes for leaf in _leaves(values[node])]


def _leaves(value: Value) -> Iterator[Value]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    elif isinstance(value, dict):
        yield from _leaves(list(value.values()))
    else:
        yield value
