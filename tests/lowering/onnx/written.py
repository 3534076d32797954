"""ONNX models written by hand, and what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
from onnx import ModelProto, NodeProto, helper, numpy_helper

Array = numpy.ndarray[Any, Any]
RNG = numpy.random.default_rng(0)


def normal(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(numpy.float32)


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    constants: Mapping[str, Array] | None = None,
    outputs: Sequence[str] = ("y",),
    *,
    opset: int = 17,
    element: int = 1,
) -> ModelProto:
    """A model of float inputs; the outputs' shapes are left to inference."""
    graph = helper.make_graph(
        list(nodes),
        "written",
        [helper.make_tensor_value_info(name, element, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, element, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def saved(made: ModelProto, folder: Path) -> Path:
    path = folder / "written.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def executed(made: ModelProto, point: Mapping[str, Array]) -> list[Array]:
    """The outputs by onnxruntime as it is used."""
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[Array] = session.run(None, dict(point))
    return found


W = normal(4, 3)


def network(shape: Sequence[int | str] = (1, 4), **options: Any) -> ModelProto:
    """relu(x W), y; z before it."""
    nodes = [helper.make_node("MatMul", ["x", "W"], ["z"]), helper.make_node("Relu", ["z"], ["y"])]
    return model(nodes, {"x": shape}, {"W": W}, **options)
