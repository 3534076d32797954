"""The table from ONNX operators to ops: how a rule is registered, and what it is given.

An activation has the file's shape, of a file whose batch is one sample, and a node of the graph holds it without a
first axis of size 1: the graph's own batch stands there. `natural` is that shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import prod
from typing import Any, NoReturn

import networkx
import numpy
import torch
from torch import Tensor

from absdomain import ops
from absdomain.errors import UnsupportedOp
from absdomain.graph.digraph import add
from absdomain.kinds import Op, Shape

Array = numpy.ndarray[Any, Any]
MOST = 2**26  # entries of one tensor


@dataclass(frozen=True)
class Activation:
    """What depends on an input: the node that holds it, and its shape in the file."""

    name: str
    shape: Shape

    @property
    def leads(self) -> bool:
        """Whether the first axis is left out, as the batch of one sample."""
        return len(self.shape) > 1 and self.shape[0] == 1


Value = Activation | Array | None  # what depends on an input, a constant, or an argument that is left out
Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}


def lowers(*operators: str) -> Callable[[Rule], Rule]:
    """Registers a rule (call, *inputs) -> Activation, or a list of one for each output, for operators such as "Relu".

    An operator of another domain than ONNX's own is named with it: "com.microsoft::FusedMatMul". The inputs are
    Activations, NumPy arrays for constants, and None for those that are left out; at least one is an Activation.
    """

    def register(rule: Rule) -> Rule:
        for operator in operators:
            if RULES.get(operator, rule).__module__ != rule.__module__:  # a cell that is run again may replace its own
                owner = RULES[operator].__module__
                raise ValueError(f"lowers: {operator} has a rule in {owner}, which {rule.__module__} would replace")
            RULES[operator] = rule
        return rule

    return register


def natural(shape: Shape) -> Shape:
    """The shape of a node that holds an activation: less a first axis of size 1, and one entry for none."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape or (1,)


class Builder:
    """The digraph that is being made."""

    def __init__(self, taken: AbstractSet[str]) -> None:
        self.digraph: networkx.DiGraph[str] = networkx.DiGraph()
        self.taken = taken  # names of the file's tensors

    def add(self, stem: str, op: Op, args: Sequence[str]) -> str:
        """Adds a node for op(args), which is called after the stem."""
        name, count = f"{stem}#1", 1
        while name in self.digraph or name in self.taken:
            count += 1
            name = f"{stem}#{count}"
        add(self.digraph, name, op, op.shape(*map(self.shape, args)), args)
        return name

    def shape(self, name: str) -> Shape:
        """The shape of a node, without the batch."""
        shape: Shape = self.digraph.nodes[name]["shape"]
        return shape


@dataclass(frozen=True)
class Call:
    """One node of the file, as a rule sees it: its attributes, the outputs' shapes, and how to add ops."""

    builder: Builder
    node: Any  # onnx.NodeProto
    operator: str
    opset: int
    dtype: torch.dtype
    attributes: Mapping[str, Any]
    shapes: Sequence[Shape | None] = field(default=())  # of the outputs, as ONNX infers them
    read: Sequence[int | None] = field(default=())  # the inputs' element types, as ONNX numbers them
    made: int | None = None  # that of the first output
    run: Callable[..., list[Array]] | None = None  # see `evaluated`

    @property
    def place(self) -> str:
        """The node's first output, which names it even where it has no name."""
        return str(next(filter(None, self.node.output), self.node.name))

    @property
    def shape(self) -> Shape:
        """The first output's shape in the file."""
        if not self.shapes or self.shapes[0] is None:
            self.unsupported("has an output whose shape is not known", "give the file static shapes")
        return self.shapes[0]

    def attribute(self, name: str, default: Any = None) -> Any:
        """The attribute, or the default where the file leaves it out."""
        return self.attributes.get(name, default)

    def unsupported(self, what: str, remedy: str) -> NoReturn:
        """Raises UnsupportedOp with the operator, its place and the remedy."""
        raise UnsupportedOp(f"{self.operator} at {self.place!r} {what}; {remedy}")

    def evaluated(self, replaced: Mapping[int, Array], node: Any = None) -> list[Array]:
        """The node's outputs, or those of another node, on other inputs at these positions."""
        assert self.run is not None
        return self.run(replaced, node)

    def room(self, count: int) -> None:
        """Refuses a table of so many numbers that a rule would make, where they are too many."""
        if count > MOST:
            self.unsupported(f"needs a table of {count} numbers, of at most {MOST}", "make the network smaller")

    def active(self, x: Value) -> Activation:
        """x, which must depend on an input."""
        if not isinstance(x, Activation):
            self.unsupported("has a constant where an activation is expected", "compute it from the input")
        return x

    def constant(self, x: Value, what: str) -> Array:
        """x, which must be there and depend on no input."""
        if not isinstance(x, numpy.ndarray | numpy.generic):
            self.unsupported(f"has {what} that depends on an input, or none", "make it a constant of the file")
        return numpy.asarray(x)

    def number(self, x: Value, what: str) -> float:
        """A constant that is one number."""
        array = self.constant(x, what)
        if array.size != 1:
            self.unsupported(f"has {what} of {array.size} numbers", "give one")
        return float(array.reshape(()))

    def tensor(self, array: Array) -> Tensor:
        """A constant in the graph's dtype."""
        return torch.tensor(array, dtype=self.dtype)

    def raw(self, op: Op, *names: str) -> str:
        """Adds a node for op of nodes as they are."""
        return self.builder.add(self.place, op, names)

    def viewed(self, x: Activation, shape: Shape) -> str:
        """The node that holds x, laid out as this shape."""
        if self.builder.shape(x.name) == shape:
            return x.name
        return self.raw(ops.Reshape(shape), x.name)

    def known(self, name: str, shape: Shape) -> Activation:
        """The activation of this shape in the file whose entries a node holds, in their order."""
        laid = natural(shape)
        if prod(self.builder.shape(name)) != prod(laid):
            self.unsupported(f"gives {self.builder.shape(name)}, but its rule promises {shape}", "correct the rule")
        return Activation(name if self.builder.shape(name) == laid else self.raw(ops.Reshape(laid), name), shape)

    def apply(self, op: Op, *xs: Activation) -> Activation:
        """op of the nodes that hold the xs; a first axis that the first of them lacks is there again in the file."""
        name = self.raw(op, *(x.name for x in xs))
        shape = self.builder.shape(name)
        if shape == natural(xs[0].shape):
            return Activation(name, xs[0].shape)
        return self.known(name, (1, *shape) if xs[0].leads else shape)

    def shape_of(self, x: Activation) -> Shape:
        """The shape of the node that holds x, without the batch."""
        return self.builder.shape(x.name)

    def reshaped(self, x: Activation, shape: Shape) -> Activation:
        """x laid out as another shape of the file."""
        return x if x.shape == shape else self.known(x.name, shape)

    def axis(self, x: Activation, axis: int) -> int:
        """The place of an axis of the file in the node that holds x, where the batch is axis 0."""
        positive = axis % len(x.shape)
        return positive if x.leads else positive + 1

    def broadcast(self, x: Activation, shape: Shape) -> Activation:
        """x with its axes of size 1 enlarged, and with new ones before them."""
        if prod(x.shape) == prod(shape):
            return self.reshaped(x, shape)
        index = numpy.broadcast_to(numpy.arange(prod(x.shape)).reshape(x.shape), shape)
        return self.known(self.raw(ops.Gather(torch.tensor(index).reshape(natural(shape))), x.name), shape)

    def against(self, constant: Array, shape: Shape) -> Tensor:
        """A constant as it broadcasts to an activation of this shape, with the axes of the node that holds it."""
        wide = constant.reshape((1,) * (len(shape) - constant.ndim) + constant.shape)
        return self.tensor(wide[0] if len(shape) > 1 and shape[0] == 1 else wide)


@dataclass(frozen=True)
class Nodes:
    """Adds ops of nodes as they are, by their names: for functions of several ops that both tables share."""

    call: Call

    def apply(self, op: Op, *names: str) -> str:
        """Adds a node for op of these nodes."""
        return self.call.raw(op, *names)

    def shape_of(self, name: str) -> Shape:
        """The shape of a node's activation, without the batch."""
        return self.call.builder.shape(name)
