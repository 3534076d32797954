"""A model as one of another floating-point type, all of whose numbers are of that type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy
import torch
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from absdomain.errors import InvalidFile
from absdomain.lowering.onnx.folding import FLOATS

_TYPES = {torch.float32: TensorProto.FLOAT, torch.float64: TensorProto.DOUBLE}


def of(model: ModelProto) -> torch.dtype:
    """float64 where an input is that, else float32, in which float16 and bfloat16 are exact."""
    kinds = {value.type.tensor_type.elem_type for value in model.graph.input}
    return torch.float64 if TensorProto.DOUBLE in kinds else torch.float32


def cast(model: ModelProto, dtype: torch.dtype, path: Path) -> ModelProto:
    """The same network in another dtype; a cast between floating-point types becomes one to that dtype.

    So nothing is rounded on the way, but where a number has more digits than the dtype. Errors: InvalidFile for an
    input that has no floating-point numbers.
    """
    kind, made = _TYPES[dtype], ModelProto()
    made.CopyFrom(model)
    del made.graph.value_info[:]
    constants = {tensor.name for tensor in made.graph.initializer}
    for value in made.graph.input:
        if value.name not in constants and value.type.tensor_type.elem_type not in FLOATS:
            raise InvalidFile(f"{path}: input {value.name!r} has no floating-point numbers; only such can be bounded")
    for value in (*made.graph.input, *made.graph.output):
        if value.type.tensor_type.elem_type in FLOATS:
            value.type.tensor_type.elem_type = kind
    for tensor in _tensors(made):
        if tensor.data_type in FLOATS and tensor.data_type != kind:
            tensor.CopyFrom(_converted(tensor, dtype))
    for node in made.graph.node:
        _typed(node, kind, dtype)
    return made


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t


def _converted(tensor: TensorProto, dtype: torch.dtype) -> TensorProto:
    numbers = numpy_helper.to_array(tensor).astype(str(dtype).removeprefix("torch."))
    return numpy_helper.from_array(numbers, tensor.name)


def _typed(node: NodeProto, kind: int, dtype: torch.dtype) -> None:
    """The types that a node names, or that it has where it names none."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i in FLOATS:
            attribute.i = kind
        if node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            numbers = attribute.f if attribute.name == "value_float" else list(attribute.floats)
            tensor = numpy_helper.from_array(numpy.array(numbers, str(dtype).removeprefix("torch.")))
            attribute.CopyFrom(helper.make_attribute("value", tensor))
    if node.op_type == "ConstantOfShape" and not node.attribute:
        zero = numpy.zeros(1, str(dtype).removeprefix("torch."))
        node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(zero)))
