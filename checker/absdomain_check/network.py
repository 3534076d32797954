"""ONNX files as nodes of two kinds: affine operations, and the two curves relu and tanh.

Only the protobuf classes of `onnx` are used. What a file says is taken for real arithmetic on the numbers in it: a
float weight is that number. Values are flat vectors; shapes are those of the file, with 1 for an axis without a length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from onnx import onnx_ml_pb2 as pb

from absdomain_check.affine import Affine, Array, Dense, Join, Pick, Scale, Total
from absdomain_check.errors import Unreadable

LARGEST = 1 << 26  # entries of a tensor
OPSETS = range(7, 27)  # before, broadcasting was asked for by an attribute
_FILE = 1 << 31  # bytes
_REALS = (1, 10, 11)  # of the input: what is read as real arithmetic is not done by whole numbers
_TYPES = {1: "<f4", 2: "u1", 3: "i1", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"}
_BROKEN = (Unreadable, ArithmeticError, ValueError, IndexError, KeyError, TypeError, AssertionError)
RELU, TANH = "relu", "tanh"


@dataclass(frozen=True, eq=False)
class Node:
    """An operation on earlier nodes: an affine one, or a curve by its name; neither: the input."""

    args: tuple[int, ...]
    size: int
    affine: Affine | None = None
    curve: str = ""


@dataclass(frozen=True, eq=False)
class Value:
    """What a name of the file stands for: numbers, or a node; with the shape of the file."""

    shape: tuple[int, ...]
    node: int = -1
    array: Array | None = None

    def known(self) -> Array:
        """The numbers. Errors: Unreadable where they depend on the input."""
        if self.array is None:
            raise Unreadable("an argument that must be a constant depends on the input")
        return self.array


class Given(dict[str, Any]):
    """An operator's attributes, and which of them its rule has asked for: one that no rule reads may mean anything."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)


@dataclass(eq=False)
class Network:
    """Nodes in order; the first is the input, the last the output."""

    nodes: list[Node] = field(default_factory=list)

    def add(self, args: tuple[int, ...], size: int, affine: Affine | None = None, curve: str = "") -> int:
        """The number of a new node."""
        if not 0 < size <= LARGEST:
            raise Unreadable(f"a tensor of {size} entries; 1 to {LARGEST} are read")
        if not all(0 <= a < len(self.nodes) for a in args):  # -1 would be the last one
            raise Unreadable("an operation on constants alone")
        own = tuple(self.nodes[a].size for a in args)
        if args and own != (affine.sizes if affine is not None else (size,)):  # arrays of other sizes may broadcast
            raise Unreadable(f"an operation that makes {size} entries is given values of {own}")
        self.nodes.append(Node(args, size, affine, curve))
        return len(self.nodes) - 1

    def evaluate(self, x: Array) -> list[Array]:
        """All nodes' values at points (M, n) in plain floats: for whoever writes certificates, never for a proof."""
        values = [x]
        for node in self.nodes[1:]:
            xs = [values[a] for a in node.args]
            if node.affine is None:
                values.append(np.maximum(xs[0], 0) if node.curve == RELU else np.tanh(xs[0]))
            else:
                y = node.affine.forward(node.affine.weight, xs, np.matmul)
                values.append(y if node.affine.bias is None else y + node.affine.bias)
        return values


class Builder:
    """Makes nodes for the operators' rules."""

    def __init__(self) -> None:
        self.net = Network()

    def op(self, values: list[Value], op: Affine, shape: tuple[int, ...]) -> Value:
        """The value of an affine operation."""
        if prod(shape) != op.size or tuple(prod(v.shape) for v in values) != op.sizes:
            raise Unreadable(f"an operation of sizes {op.sizes} -> {op.size} is given {[v.shape for v in values]}")
        return Value(shape, self.net.add(tuple(v.node for v in values), op.size, op))

    def curve(self, x: Value, name: str) -> Value:
        """relu or tanh, entry by entry."""
        return Value(x.shape, self.net.add((x.node,), prod(x.shape), curve=name))

    def pick(self, x: Value, index: Array) -> Value:
        """Entries of x by their flat places, -1 for a 0; the shape is that of the index."""
        size = sized(index.shape)
        flat = index.reshape(-1).astype(np.int64)
        if flat.size and not (flat.min() >= -1 and flat.max() < prod(x.shape)):
            raise Unreadable("an index is out of range")
        if np.array_equal(flat, np.arange(prod(x.shape))):
            return Value(index.shape, x.node)
        return self.op([x], Pick((prod(x.shape),), size, index=flat), index.shape)

    def scale(
        self, x: Value, a: Array | None, b: Array | None = None, spread: Array | None = None, more: Array | None = None
    ) -> Value:
        """a x + b, whose numbers broadcast to x."""
        a, b, spread, more = (None if t is None else flat(t, x.shape) for t in (a, b, spread, more))
        size = prod(x.shape)
        return self.op([x], Scale((size,), size, a, b, spread, more), x.shape)

    def divided(self, x: Value, by: Array) -> Value:
        """x / by, whose quotient 1 / by is within 2 u of its float."""
        if not (np.abs(by) > 2.0**-500).all() or not (np.abs(by) < 2.0**500).all():
            raise Unreadable("a division by 0, or by a number beyond 2^500")
        inverse = 1 / by
        exact = np.abs(np.frexp(by)[0]) == 0.5
        return self.scale(x, inverse, None, np.where(exact, 0.0, 2.0**-52 * np.abs(inverse)))

    def total(self, values: list[Value], signs: tuple[int, ...]) -> Value:
        """A signed sum of values, broadcast to one shape."""
        shape = broadcast([v.shape for v in values])
        values = [self.pick(v, np.broadcast_to(places(v), shape)) if v.shape != shape else v for v in values]
        size = prod(shape)
        return self.op(values, Total((size,) * len(values), size, signs=signs), shape)

    def dense(self, x: Value, weight: Array, bias: Array | None = None) -> Value:
        """x W + b over the last axis."""
        if x.shape[-1:] != weight.shape[:1]:
            raise Unreadable(f"x W of shapes {x.shape} and {weight.shape}")
        shape = (*x.shape[:-1], weight.shape[1])
        b = None if bias is None else flat(bias, shape)
        return self.op([x], Dense((prod(x.shape),), sized(shape), weight, b), shape)

    def join(self, values: list[Value], axis: int) -> Value:
        """Values one after another along an axis."""
        shape = list(values[0].shape)
        shape[axis] = sum(v.shape[axis] for v in values)
        size = sized(tuple(shape))
        parts = np.split(np.arange(size).reshape(shape), np.cumsum([v.shape[axis] for v in values])[:-1], axis)
        if any(part.shape != v.shape for part, v in zip(parts, values, strict=True)):
            raise Unreadable(f"Concat of shapes {[v.shape for v in values]}")
        found = tuple(part.reshape(-1) for part in parts)
        return self.op(values, Join(tuple(prod(v.shape) for v in values), size, places=found), tuple(shape))


def places(x: Value) -> Array:
    """The flat place of every entry, in x's shape."""
    return np.arange(prod(x.shape)).reshape(x.shape)


def flat(t: Array, shape: tuple[int, ...]) -> Array:
    """Numbers broadcast to a shape, as one row of float64."""
    if broadcast([t.shape, shape]) != shape:
        raise Unreadable(f"numbers of shape {t.shape} for a value of shape {shape}")
    return np.broadcast_to(real(t), shape).reshape(-1)


def real(t: Array) -> Array:
    """The same numbers as float64. Errors: Unreadable where they are none, or infinite."""
    found = t.astype(np.float64)
    if t.dtype.kind not in "fiu" or not np.isfinite(found).all() or (t.dtype.kind in "iu" and (found != t).any()):
        raise Unreadable("a weight that is no finite float64")
    return found


def broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The common shape."""
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise Unreadable(f"shapes {shapes} do not fit") from None
    sized(shape)
    return shape


def sized(shape: tuple[int, ...]) -> int:
    """How many entries. Errors: Unreadable for too many, before they are allocated."""
    if min(shape, default=1) < 0 or not prod(shape) <= LARGEST:
        raise Unreadable(f"a tensor of shape {shape}; up to {LARGEST} entries are read")
    return prod(shape)


def array(tensor: Any) -> Array:
    """The numbers of a TensorProto, whose bytes are in the file itself."""
    shape = tuple(tensor.dims)
    if tensor.data_location or tensor.data_type not in _TYPES:
        raise Unreadable(f"tensor {tensor.name!r} is of type {tensor.data_type}, or in another file")
    dtype, count = np.dtype(_TYPES[tensor.data_type]), sized(shape)
    if tensor.raw_data:
        if len(tensor.raw_data) != count * dtype.itemsize:
            raise Unreadable(f"tensor {tensor.name!r} has {len(tensor.raw_data)} bytes, shape {shape}")
        return np.frombuffer(tensor.raw_data, dtype).reshape(shape)
    held = {1: tensor.float_data, 11: tensor.double_data, 7: tensor.int64_data}.get(tensor.data_type, tensor.int32_data)
    if len(held) != count or tensor.data_type == 10:
        raise Unreadable(f"tensor {tensor.name!r} has {len(held)} numbers, shape {shape}")
    return np.array(held, dtype).reshape(shape)


def attribute(a: Any) -> Any:
    """The value of an AttributeProto: a number, text, a tensor, or a list of numbers."""
    found = {1: lambda: a.f, 2: lambda: a.i, 3: lambda: a.s.decode(), 4: lambda: array(a.t),
             6: lambda: list(a.floats), 7: lambda: list(a.ints)}  # fmt: skip
    if a.type not in found:
        raise Unreadable(f"attribute {a.name!r} is of a type that is not read")
    return found[a.type]()


def read_network(data: bytes) -> Network:
    """The network of an ONNX file's bytes. Errors: Unreadable."""
    from absdomain_check.operators import NO_MATTER, RULES

    model = pb.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:
        raise Unreadable(f"no ONNX file: {error}") from None
    if len(data) > _FILE or len(model.functions):
        raise Unreadable("the file is too large, or defines functions of its own")
    graph, build = model.graph, Builder()
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    if opset not in OPSETS:
        raise Unreadable(f"opset {opset}; {OPSETS.start} to {OPSETS.stop - 1} are read")
    env = {"": Value((), array=np.zeros(0))}
    env.update({t.name: Value(tuple(t.dims), array=array(t)) for t in graph.initializer})
    inputs = [v for v in graph.input if v.name not in env]
    if len(inputs) != 1 or len(graph.output) != 1 or graph.sparse_initializer:
        raise Unreadable(f"{len(inputs)} inputs and {len(graph.output)} outputs; networks with one of each are read")
    if inputs[0].type.tensor_type.elem_type not in _REALS:
        raise Unreadable("the input is not of float or double")
    shape = tuple(d.dim_value or 1 for d in inputs[0].type.tensor_type.shape.dim)
    env[inputs[0].name] = Value(shape, build.net.add((), sized(shape)))
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in RULES:
            raise Unreadable(f"operator {node.op_type} is not known to the checker")
        if any(name not in env for name in node.input):
            raise Unreadable(f"{node.op_type} reads a value that is not there")
        try:
            given = Given((a.name, attribute(a)) for a in node.attribute)
            found = RULES[node.op_type](build, [env[name] for name in node.input], given, opset)
            if len(given) != len(node.attribute):
                raise Unreadable("an attribute is given twice")
            if unread := given.keys() - given.asked - NO_MATTER.get(node.op_type, set()):
                raise Unreadable(f"what {', '.join(sorted(unread))} changes is not known to the checker")
        except _BROKEN as error:
            raise Unreadable(f"{node.op_type} {node.name!r}: {error}") from None
        values = found if isinstance(found, list) else [found]
        if env.keys() & set(node.output) - {""}:
            raise Unreadable(f"{node.op_type} gives a name a second value")
        env.update(zip(node.output, values, strict=False))
    out = env.get(graph.output[0].name)
    if out is None or out.node < 0:
        raise Unreadable("the output does not depend on the input")
    build.scale(out, None)  # so that the output is the last node
    return build.net
