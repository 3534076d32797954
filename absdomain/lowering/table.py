"""The table from calls of an exported program to ops: how a rule is registered, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import networkx
from torch import Tensor, fx, nn

from absdomain.errors import UnsupportedOp
from absdomain.graph.digraph import add
from absdomain.kinds import Op, Shape
from absdomain.lowering.blockers import Structural, Unruled
from absdomain.lowering.export import Exported
from absdomain.lowering.samples import Samples, counted


@dataclass(frozen=True)
class Activation:
    """The value of the graph's node of this name."""

    name: str


@dataclass(frozen=True)
class BatchSize:
    """A number that depends on the size of the batch, which a graph leaves open."""

    single: Any = 1  # what it is for one sample


@dataclass(frozen=True)
class Mask:
    """Truth values that depend on the input: `made` adds, for the call that reads them, the ops that give 0 and 1."""

    made: Callable[[Call], Activation]


Value = Any  # an Activation, a Mask, a BatchSize, a Live constant, a Python literal, or a list of these
Rule = Callable[..., Value]
RULES: dict[str, Rule] = {}
LOW = -1e30  # numbers below stand for minus infinity: their exponential is 0 in every dtype, and less than any float
MASKED = {  # what may read numbers of which some are minus infinity
    "aten.softmax.int", "aten._softmax.default", "aten.clone.default", "aten.alias.default", "aten.detach.default",
    "aten.contiguous.default", "aten.lift_fresh_copy.default", "aten.add.Tensor", "aten.masked_fill.Scalar",
    "aten.masked_fill.Tensor", "aten.where.self", "aten.where.ScalarSelf", "aten.where.ScalarOther",
}  # fmt: skip


def lowers(*targets: str) -> Callable[[Rule], Rule]:
    """Registers a rule (call, *args, **kwargs) -> value for ATen overloads such as "aten.relu.default".

    Arguments are those of the overload in the graph's order, samples along axis 0: Activations, Live constants and
    literals, and a BatchSize in sizes that follow from the output's shape. Law: the overload treats every sample alike
    and alone, for the arguments that the rule does not refuse.
    """

    def register(rule: Rule) -> Rule:
        for target in targets:
            if RULES.get(target, rule).__module__ != rule.__module__:  # a cell that is run again may replace its own
                owner = RULES[target].__module__
                raise ValueError(f"lowers: {target} has a rule in {owner}, which {rule.__module__} would replace")
            RULES[target] = rule
        return rule

    return register


class Builder:
    """The digraph that is being made from a module's exported program."""

    def __init__(self, module: nn.Module, exported: Exported, shapes: Mapping[str, Shape]) -> None:
        self.module = module
        self.exported = exported
        self.digraph: networkx.DiGraph[str] = networkx.DiGraph()
        for name, shape in shapes.items():
            self.digraph.add_node(name, shape=shape)
        self.counts: dict[str, int] = {}
        self.leaves: dict[str, bool] = {}
        self.masked: dict[str, Tensor] = {}  # which entries count of activations that are minus infinity elsewhere

    def add(self, place: str, op: Op, args: Sequence[str]) -> str:
        """Adds a node for op(args); its name is the place, or the place and a number."""
        name = self.fresh(place)
        add(self.digraph, name, op, op.shape(*map(self.shape, args)), args)
        return name

    def fresh(self, place: str) -> str:
        """A name that no node has: the place, or the place and a number."""
        name, count = place, self.counts.get(place, 1)  # all numbers before it are taken
        while name in self.digraph:
            count += 1
            name = f"{place}_{count}"
        self.counts[place] = count
        return name

    def shape(self, name: str) -> Shape:
        """The shape of a node's activation, without the batch."""
        shape: Shape = self.digraph.nodes[name]["shape"]
        return shape

    def is_leaf(self, path: str) -> bool:
        """Whether the module at this path has no parts but parametrisations."""
        if path not in self.leaves:
            inside = {name for name, _ in self.module.get_submodule(path).named_children()}
            self.leaves[path] = inside <= {"parametrizations"}
        return self.leaves[path]


@dataclass(frozen=True)
class Call:
    """One call of the exported graph, as a rule sees it: where it stands, its output's shape, and how to add ops."""

    builder: Builder
    node: fx.Node
    target: str
    samples: tuple[Samples | None, ...]  # where they are in each output

    @property
    def shape(self) -> Shape:
        """The shape of the output, or of the first of several, in the graph's order and without the batch."""
        return self.output_shape(0)

    def output_shape(self, number: int) -> Shape:
        """The same for another output of a call that gives several."""
        where, shape = self.samples[number], tuple(self._output(number).shape)
        if where is None:
            raise self.structural(f"moves or mixes the batch axis: {shape}", "keep one axis for the batch alone")
        if not all(counted(size, self.builder.exported.batch) for size in shape):
            remedy = "make the places of a mask, or counts, numbers before forward, as in register_buffer"
            raise self.structural("has a size that depends on numbers", remedy)
        return where.inner(shape)

    def _output(self, number: int) -> Any:
        value = self.node.meta["val"]
        return value[number] if isinstance(value, list | tuple) else value

    def check(self, result: Activation, number: int) -> None:
        """The rule's result has the shape of the call's output, and that the dtype of the graph."""
        shape, ours = self.output_shape(number), self.shape_of(result)
        if ours != shape:
            self.unsupported(f"gives shape {shape}, but its rule gives {ours}", "correct the rule")
        dtype, first = self._output(number).dtype, self.builder.exported.dtype
        if dtype != first:
            self.unsupported(f"casts to {dtype}", f"keep one dtype in the module: that of its input is {first}")

    def rule(self) -> Rule:
        """The overload's rule; UnsupportedOp where the table has none."""
        found = RULES.get(self.target)
        if found is None:
            raise Unruled(f"{self.target} at {self.place!r}")
        return found

    def apply(self, op: Op, *xs: Activation) -> Activation:
        """Adds a node for op(xs)."""
        return Activation(self.builder.add(self.place, op, [x.name for x in xs]))

    def shape_of(self, x: Activation) -> Shape:
        """The shape of an activation, without the batch."""
        return self.builder.shape(x.name)

    def unsupported(self, what: str, remedy: str) -> NoReturn:
        """Raises UnsupportedOp with the op, its place and the remedy."""
        raise UnsupportedOp(f"{self.target} at {self.place!r} {what}; {remedy}")

    def structural(self, what: str, remedy: str) -> Structural:
        """The same of what it does with samples, sizes or chance, to be raised."""
        return Structural(f"{self.target} at {self.place!r} {what}; {remedy}")

    @property
    def place(self) -> str:
        """The path of the module that calls, and the call's own name where that is not one leaf module."""
        stack = list(self.node.meta.get("nn_module_stack", {}).values())
        path = stack[-1][0] if stack else ""
        leaf = path and self.builder.is_leaf(path)
        return path if leaf else f"{path}.{self.node.name}" if path else self.node.name
