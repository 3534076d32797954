"""ONNX model -> Graph, node by node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import networkx
import numpy
import torch
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, defs, helper

from absdomain import ops
from absdomain.errors import InvalidFile, UnsupportedOp
from absdomain.graph import Graph
from absdomain.kinds import Shape
from absdomain.lowering.onnx import reading
from absdomain.lowering.onnx.folding import FOLDED, Folder, Kind
from absdomain.lowering.onnx.table import MOST, RULES, Activation, Array, Builder, Call, Value, natural

_REGISTER = "register one (absdomain.lowering.onnx.table.lowers)"
_LOST = "an output beside the first of which no bounds are known, such as places or a mask; use the first one alone"


@dataclass(frozen=True, eq=False)
class Part:
    """A node of the file, the places of the graph that it became, and its outputs: a name and its place each."""

    node: NodeProto
    places: Sequence[int]
    outputs: Sequence[tuple[str, int]]


@dataclass(frozen=True, eq=False)
class Lowered:
    """A graph, and the model that it was made of, whose sizes are all known."""

    graph: Graph
    model: ModelProto
    path: Path
    dtype: torch.dtype
    inputs: Mapping[str, Shape]  # shapes in the file
    held: Mapping[str, str]  # tensors of the file that depend on an input, and the nodes that hold them
    constants: Mapping[str, Array]  # the other tensors
    folder: Folder
    opset: int
    parts: Sequence[Part]


def lower(model: ModelProto, path: Path, dtype: torch.dtype, sizes: Mapping[str, int]) -> Lowered:
    """One walk over the file."""
    return _Lowering(model, path, dtype, sizes).lowered()


class _Unknown:
    """The value of a node that is not supported: whatever reads it is passed over, so that all are told of at once."""


class _Lowering:
    def __init__(self, model: ModelProto, path: Path, dtype: torch.dtype, sizes: Mapping[str, int]) -> None:
        self.model, self.path, self.dtype, self.sizes = model, path, dtype, sizes
        self.opset = reading.opset(model, path)
        self.folder = Folder(path, model.opset_import)
        self.builder = Builder({name for node in model.graph.node for name in (*node.input, *node.output)})
        self.values: dict[str, Value | _Unknown] = {"": None}
        self.elements: dict[str, int] = {}  # of the activations, as ONNX counts its types
        self.lost: set[str] = set()  # outputs that no rule gives
        self.refused: list[str] = []

    def lowered(self) -> Lowered:
        if self._known_operators():
            reading.checked(self.model, self.path)
        for tensor in self.model.graph.initializer:
            self.values[tensor.name] = reading.array(tensor)
        inputs = {value.name: self._input(value) for value in self.model.graph.input if value.name not in self.values}
        if not inputs:
            raise InvalidFile(f"{self.path}: the model has no input but constants; there is nothing to bound")
        made: list[tuple[NodeProto, int]] = []
        for node in self.model.graph.node:
            made.append((node, len(self.builder.digraph)))
            self._node(node)
        if self.refused:
            raise UnsupportedOp(self._told())
        graph = self._ending(list(inputs))
        held = {name: value.name for name, value in self.values.items() if isinstance(value, Activation)}
        constants = {name: value for name, value in self.values.items() if isinstance(value, numpy.ndarray)}
        parts = list(self._parts(graph, made))
        return Lowered(
            graph, self.model, self.path, self.dtype, inputs, held, constants, self.folder, self.opset, parts
        )

    def _known_operators(self) -> bool:
        """Whether the table has every operator; the checker says so of the first one only that ONNX does not have."""
        return all(_operator(node) in RULES.keys() | FOLDED for node in self.model.graph.node)

    def _told(self) -> str:
        """All that was refused, a line each; of many of one kind the first."""
        more = len(self.refused) - 20
        lines = [*self.refused[:20], *([f"and {more} more"] if more > 0 else [])]
        return f"{self.path}: " + "\n  ".join([f"{len(self.refused)} unsupported:", *lines])

    def _input(self, value: ValueInfoProto) -> Shape:
        """The shape of an input in the file, whose open axes are 1 or as `sizes` says; adds its node."""
        tensor = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
            raise InvalidFile(
                f"{self.path}: input {value.name!r} is not a tensor of a known number of axes; declare it"
            )
        dims = list(tensor.shape.dim)
        names = [_open(dim, f"{value.name}[{axis}]") for axis, dim in enumerate(dims)]
        pairs = zip(dims, names, strict=True)
        sizes = [dim.dim_value if name is None else self.sizes.get(name) for dim, name in pairs]
        unknown = [axis for axis, size in enumerate(sizes) if size is None]
        if len(unknown) > 1 or (unknown and unknown != [0] and sizes[0] == 1):
            more = {names[axis]: 1 for axis in unknown[-1:]}
            raise InvalidFile(
                f"{self.path}: input {value.name!r} leaves the axes {unknown} open, of which one at most is the batch; "
                f"give the other sizes, as in sizes={more}"
            )
        shape = tuple(1 if size is None else int(size) for size in sizes)
        if any(size < 1 for size in shape) or prod(shape) > MOST:
            raise InvalidFile(
                f"{self.path}: input {value.name!r} has shape {shape}; sizes are at least 1, and at most {MOST} in all"
            )
        self.builder.digraph.add_node(value.name, shape=natural(shape))
        self.values[value.name] = Activation(value.name, shape)
        self.elements[value.name] = tensor.elem_type
        return shape

    def _node(self, node: NodeProto) -> None:
        """The values of a node's outputs."""
        unmade = [name for name in node.input if name not in self.values]
        if unmade and unmade[0] in self.lost:
            raise UnsupportedOp(f"{self.path}: {reading.where(node)} reads {unmade[0]!r}, {_LOST}")
        if unmade:
            raise InvalidFile(f"{self.path}: {reading.where(node)} reads {unmade[0]!r}, which no node before it makes")
        inputs = [self.values[name] for name in node.input]
        active = any(isinstance(value, Activation | _Unknown) for value in inputs)
        known = RULES.keys() | {"Shape", "Size"} if active else RULES.keys() | FOLDED
        if _operator(node) not in known:
            self.refused.append(f"{_operator(node)} at {_place(node)!r} has no rule; {_REGISTER}")
        if _operator(node) not in known or any(isinstance(value, _Unknown) for value in inputs):
            self.values.update((name, _Unknown()) for name in node.output if name)
            return
        given = [value for value in inputs if not isinstance(value, _Unknown)]
        if node.op_type in ("Resize", "Upsample"):  # whose scales have a dtype of their own
            given = [v.astype(numpy.float32) if _is_float(v) else v for v in given]  # type: ignore[union-attr]
        kinds = self._kinds(node, given)
        try:
            found = self._folded(node, given, kinds) if not _active(given) else self._ruled(node, given, kinds)
        except UnsupportedOp as error:
            self.refused.append(str(error))
            found = [_Unknown() for _ in node.output]
        self.lost.update(node.output[len(found) :])
        for name, value, kind in zip(node.output, found, kinds, strict=False):
            if name:
                self.values[name] = self._named(name, value)
                self.elements[name] = int(TensorProto.FLOAT) if kind is None else kind.element

    def _kinds(self, node: NodeProto, values: Sequence[Value]) -> list[Kind | None]:
        inputs, constants = {}, {}
        for name, value in zip(node.input, values, strict=True):
            kind = self._element(name, value)
            if value is not None and kind is not None:
                inputs[name] = Kind(kind, tuple(value.shape))
            if isinstance(value, numpy.ndarray):
                constants[name] = value
        return self.folder.kinds(node, inputs, constants)

    def _element(self, name: str, value: Value) -> int | None:
        """The type of a value's entries, as ONNX numbers them."""
        if isinstance(value, Activation):
            return self.elements[name]
        return None if value is None else helper.np_dtype_to_tensor_dtype(value.dtype)

    def _folded(self, node: NodeProto, inputs: Sequence[Value], kinds: Sequence[Kind | None]) -> list[Value]:
        if _operator(node) not in FOLDED:
            raise UnsupportedOp(f"{_operator(node)} at {_place(node)!r} is applied to constants; fold it in the file")
        found: list[Value] = []
        for value in self.folder.run(node, [v for v in inputs if not isinstance(v, Activation)], kinds):
            if value.dtype.kind not in "biuf" and value.dtype.name != "bfloat16":
                raise InvalidFile(f"{self.path}: {_place(node)!r} holds {value.dtype}; only numbers can be read")
            found.append(value)
        return found

    def _ruled(self, node: NodeProto, inputs: Sequence[Value], kinds: Sequence[Kind | None]) -> list[Any]:
        """What the rule gives, of which the shapes are those that ONNX infers."""
        call = self._call(node, inputs, kinds)
        rule = RULES.get(_operator(node))
        if rule is None:
            return self._shape_of(call, inputs[0])
        try:
            value = rule(call, *inputs)
        except (UnsupportedOp, InvalidFile):
            raise
        except Exception as error:  # whatever a rule or an op says to what does not suit it
            call.unsupported(f"does not suit its rule ({type(error).__name__}: {str(error)[:200]})", "check the file")
        found = value if isinstance(value, list) else [value]
        for result, kind, name in zip(found, kinds, node.output, strict=False):
            shape = None if kind is None else kind.shape
            if name and isinstance(result, Activation | numpy.ndarray) and shape not in (None, tuple(result.shape)):
                call.unsupported(f"gives {shape}, but its rule gives {tuple(result.shape)}", "correct the rule")
        return found

    def _shape_of(self, call: Call, x: Value) -> list[Array]:
        """Of Shape and Size: all sizes are known."""
        assert isinstance(x, Activation)
        rank = len(x.shape)
        if call.operator == "Size":
            return [numpy.array(prod(x.shape), numpy.int64)]
        start, end = call.attribute("start", 0), call.attribute("end", rank)
        return [numpy.array(x.shape, numpy.int64)[slice(start, end)]]

    def _call(self, node: NodeProto, inputs: Sequence[Value], kinds: Sequence[Kind | None]) -> Call:
        given_by_schema = self._defaults(node)
        attributes = {a.name: helper.get_attribute_value(a) for a in (*given_by_schema, *node.attribute)}
        attributes = {name: v.decode(errors="replace") if isinstance(v, bytes) else v for name, v in attributes.items()}
        shapes = [None if kind is None else kind.shape for kind in kinds]
        given = [None if isinstance(v, Activation) else v for v in inputs]

        def run(replaced: Mapping[int, Array], other: NodeProto | None) -> list[Array]:
            if other is not None:
                return self.folder.run(other, list(replaced.values()), None)
            return self.folder.run(node, [replaced.get(i, v) for i, v in enumerate(given)], kinds)

        read = [self._element(name, value) for name, value in zip(node.input, inputs, strict=True)]
        made = None if not kinds or kinds[0] is None else kinds[0].element
        return Call(self.builder, node, _operator(node), self.opset, self.dtype, attributes, shapes, read, made, run)

    def _defaults(self, node: NodeProto) -> list[AttributeProto]:
        """The attributes that the file leaves out, as ONNX's schema has them."""
        if node.domain not in ("", "ai.onnx") or not defs.has(node.op_type):
            return []
        schema = defs.get_schema(node.op_type, self.opset)
        return [a.default_value for a in schema.attributes.values() if a.default_value.name]

    def _named(self, name: str, value: Any) -> Any:
        """A node that was made for this output gets its name; one that it only passes on keeps its own."""
        if isinstance(value, Activation) and value.name not in self.builder.taken:
            networkx.relabel_nodes(self.builder.digraph, {value.name: name}, copy=False)
            return Activation(name, value.shape)
        return value

    def _ending(self, inputs: Sequence[str]) -> Graph:
        """The graph of the file's outputs."""
        names = [value.name for value in self.model.graph.output]
        for name in names:
            if name in self.lost:
                raise UnsupportedOp(f"{self.path}: output {name!r} is {_LOST}")
            value = self.values[name]
            if not isinstance(value, Activation):
                raise UnsupportedOp(f"{self.path}: output {name!r} depends on no input; there is nothing to bound")
            if value.name != name:  # it is an input, or is passed on under another name
                own = self.builder.add(name, ops.Reshape(natural(value.shape)), [value.name])
                self.values[name] = self._named(name, Activation(own, value.shape))
        return Graph(self.builder.digraph, names, inputs=inputs)

    def _parts(self, graph: Graph, made: Sequence[tuple[NodeProto, int]]) -> Iterator[Part]:
        """What each node has become, of what is left in the graph."""
        place = {node.name: number for number, node in enumerate(graph.nodes)}
        names = list(self.builder.digraph)
        ends = [*(start for _, start in made[1:]), len(names)]
        for (node, start), end in zip(made, ends, strict=True):
            outputs = []
            for name in node.output:
                value = self.values.get(name)
                if name and isinstance(value, Activation) and value.name in place:
                    outputs.append((name, place[value.name]))
            if outputs:
                yield Part(node, [place[name] for name in names[start:end] if name in place], outputs)


def _open(dim: Any, place: str) -> str | None:
    """What an axis is called whose size the file leaves open: by its name, or by its place; None: it has a size."""
    return None if dim.HasField("dim_value") and dim.dim_value != 0 else dim.dim_param or place


def _is_float(value: Value) -> bool:
    return isinstance(value, numpy.ndarray) and value.dtype.kind == "f"


def _active(inputs: Sequence[Value]) -> bool:
    return any(isinstance(value, Activation) for value in inputs)


def _operator(node: NodeProto) -> str:
    """The operator, with its domain where that is not ONNX's own."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"


def _place(node: NodeProto) -> str:
    return str(next(filter(None, node.output), node.name))
