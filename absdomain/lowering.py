"""nn.Module -> Graph, through the ATen graph of torch.export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, fx, nn

from absdomain.agreement import Lowered, Part
from absdomain.errors import UnsupportedOp as UnsupportedOp
from absdomain.exported import Exported, export, plain
from absdomain.graph import Graph, Node, ancestors
from absdomain.kinds import Op, Shape
from absdomain.live import Live
from absdomain.modes import check_module, evaluating
from absdomain.precision import own_dtype


@dataclass(frozen=True)
class Activation:
    """The value of the graph's node number `place`."""

    place: int


@dataclass(frozen=True)
class BatchSize:
    """The size of the batch axis, which a graph leaves open."""


Value = Any  # an Activation, a BatchSize, a Live constant, a Python literal, or a list of these
Rule = Callable[..., Value]
RULES: dict[str, Rule] = {}
SIZED: set[str] = set()  # overloads whose rule takes the size of the batch


def lowers(*targets: str, sized: bool = False) -> Callable[[Rule], Rule]:
    """Registers a rule (call, *args, **kwargs) -> value for ATen overloads such as "aten.relu.default".

    Arguments are those of the overload: Activations, Live constants and literals, and where the rule is `sized` the
    BatchSize. Law: the overload treats every sample alike and alone, for the arguments that the rule does not refuse.
    """

    def register(rule: Rule) -> Rule:
        for target in targets:
            if RULES.get(target, rule).__module__ != rule.__module__:  # a cell that is run again may replace its own
                owner = RULES[target].__module__
                raise ValueError(f"lowers: {target} has a rule in {owner}, which {rule.__module__} would replace")
            RULES[target] = rule
        if sized:
            SIZED.update(targets)
        return rule

    return register


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
    import absdomain.aten  # noqa: F401
    from absdomain import registry

    with suppress(registry.NotInstalled):  # a source tree on the path has no plug-ins, and needs none
        for name in registry.names("lowerings"):
            registry.find("lowerings", name)


class _Lowering:
    """One walk over an exported graph."""

    def __init__(self, module: nn.Module, exported: Exported, shape: Shape) -> None:
        self.module = module
        self.exported = exported
        self.nodes = [Node("input", None, (), shape)]
        self.names = {"input"}
        self.counts: dict[str, int] = {}
        self.leaves: dict[str, bool] = {}

    def lowered(self) -> Lowered:
        values: dict[fx.Node, Value] = {}
        made: list[tuple[fx.Node, int]] = []  # each call that reads an activation, with the first place that it makes
        nodes = self.exported.nodes
        for node in nodes[:-1]:
            if node.op == "placeholder":
                values[node] = self._placeholder(node)
            elif node.users:  # what nobody reads has no effect: the graph is functional
                made.append((node, len(self.nodes)))
                values[node] = self._call(node, values)
        outputs: Any = nodes[-1].args[0]
        graph, place = self._ending(fx.node.map_arg(outputs, lambda n: values[n]))
        constants = {node: value for node, value in values.items() if isinstance(value, Live)}
        return Lowered(graph, nodes, constants, list(self._parts(graph, place, made, values)))

    def _parts(
        self, graph: Graph, place: dict[int, int], made: list[tuple[fx.Node, int]], values: dict[fx.Node, Value]
    ) -> Iterator[Part]:
        """What each call has become, of what is left in the graph."""
        steps = {step.place: step for step in graph.schedule}
        ends = [*(start for _, start in made[1:]), len(self.nodes)]
        for (node, start), end in zip(made, ends, strict=True):
            value = values[node]
            found = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
            outputs = [(n, place[v.place]) for n, v in found if isinstance(v, Activation) and v.place in place]
            if outputs:
                yield Part(node, [steps[place[old]] for old in range(start, end) if old in place], outputs)

    def _ending(self, outputs: Sequence[Value]) -> tuple[Graph, dict[int, int]]:
        """The graph, whose output comes last, with nothing that it does not need, and where each place went."""
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
        if output.place == 0:
            raise UnsupportedOp("the module returns its input unchanged; there is nothing to bound")
        used = ancestors(self.nodes, output.place)
        place = {old: new for new, old in enumerate(used)}
        kept = [self.nodes[old] for old in used]
        return Graph([Node(n.name, n.op, tuple(place[a] for a in n.args), n.shape) for n in kept]), place

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
        return Activation(0)

    def fresh(self, place: str) -> str:
        """A name that no node has: the place, or the place and a number."""
        name, count = place, self.counts.get(place, 1)  # all numbers before it are taken
        while name in self.names:
            count += 1
            name = f"{place}_{count}"
        self.names.add(name)
        self.counts[place] = count
        return name

    def is_leaf(self, path: str) -> bool:
        """Whether the module at this path has no parts but parametrisations."""
        if path not in self.leaves:
            inside = {name for name, _ in self.module.get_submodule(path).named_children()}
            self.leaves[path] = inside <= {"parametrizations"}
        return self.leaves[path]

    def _call(self, node: fx.Node, values: dict[fx.Node, Value]) -> Value:
        args = fx.node.map_arg(node.args, lambda n: values[n])
        kwargs = fx.node.map_arg(node.kwargs, lambda n: values[n])
        call = Call(self, node, str(node.target))
        flat = list(_leaves((args, kwargs)))
        active = any(isinstance(v, Activation) for v in flat)
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


@dataclass(frozen=True)
class Call:
    """One call of the exported graph, as a rule sees it: where it stands, its output's shape, and how to add ops."""

    lowering: _Lowering
    node: fx.Node
    target: str

    @property
    def shape(self) -> Shape:
        """The shape of the output, or of the first of several, without the batch; an error where that is not axis 0."""
        return self.output_shape(0)

    def output_shape(self, number: int) -> Shape:
        """The same for another output of a call that gives several."""
        shape = tuple(self._output(number).shape)
        if not self.lowering.exported.leads(shape):
            self.unsupported(f"moves or mixes the batch axis: {shape}", "keep axis 0 for the batch alone")
        return tuple(int(size) for size in shape[1:])

    def _output(self, number: int) -> Any:
        value = self.node.meta["val"]
        return value[number] if isinstance(value, list | tuple) else value

    def check(self, result: Activation, number: int) -> None:
        """The rule's result has the shape of the call's output, and that the dtype of the graph."""
        shape, ours = self.output_shape(number), self.shape_of(result)
        if ours != shape:
            self.unsupported(f"gives shape {shape}, but its rule gives {ours}", "correct the rule")
        dtype, first = self._output(number).dtype, self.lowering.exported.dtype
        if dtype != first:
            self.unsupported(f"casts to {dtype}", f"keep one dtype in the module: that of its input is {first}")

    def apply(self, op: Op, *xs: Activation) -> Activation:
        """Adds a node for op(xs)."""
        nodes = self.lowering.nodes
        args = tuple(x.place for x in xs)
        nodes.append(Node(self.lowering.fresh(self.place), op, args, op.shape(*(nodes[a].shape for a in args))))
        return Activation(len(nodes) - 1)

    def shape_of(self, x: Activation) -> Shape:
        """The shape of an activation, without the batch."""
        return self.lowering.nodes[x.place].shape

    def unsupported(self, what: str, remedy: str) -> NoReturn:
        """Raises UnsupportedOp with the op, its place and the remedy."""
        raise UnsupportedOp(f"{self.target} at {self.place!r} {what}; {remedy}")

    @property
    def place(self) -> str:
        """The path of the module that calls, and the call's own name where that is not one leaf module."""
        stack = list(self.node.meta.get("nn_module_stack", {}).values())
        path = stack[-1][0] if stack else ""
        leaf = path and self.lowering.is_leaf(path)
        return path if leaf else f"{path}.{self.node.name}" if path else self.node.name


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
