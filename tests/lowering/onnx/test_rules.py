"""Every operator of the table, in its forms, against onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from onnx import helper

from absdomain import Interval, domains, onnx_to_graph
from absdomain.lowering.onnx import front
from absdomain.lowering.onnx.table import RULES
from tests.lowering.onnx.written import Array, executed, model, normal, saved

INF = float("inf")


@dataclass(frozen=True)
class Case:
    """One node: a shape is an input that is drawn, an array a constant, None an input that is left out."""

    operator: str
    args: Sequence[tuple[int, ...] | Array | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1
    low: float = -2.0  # inputs are drawn from [low, low + wide]
    wide: float = 4.0
    name: str = ""
    unread: int = 0  # outputs after those, which nobody reads

    def __str__(self) -> str:
        return f"{self.operator}{self.opset}{'-' + self.name if self.name else ''}"


def ints(*numbers: int) -> Array:
    return numpy.array(numbers, numpy.int64)


def floats(*numbers: float) -> Array:
    return numpy.array(numbers, numpy.float32)


def number(x: float) -> Array:
    return numpy.array(x, numpy.float32)


PLAIN = [
    *(Case(op, [(1, 5)]) for op in (
        "Relu", "Sigmoid", "Tanh", "Exp", "Abs", "Sin", "Cos", "HardSwish", "Softplus", "Erf", "Neg", "Identity", "Elu",
        "Selu", "LeakyRelu", "HardSigmoid", "Celu", "Softsign", "Atan", "Sign", "Floor", "Ceil", "Round",
        "Sinh", "Cosh",
    )),
    *(Case(op, [(1, 5)], low=0.5) for op in ("Log", "Sqrt", "Reciprocal")), Case("Acosh", [(1, 5)], low=1.5),
    *(Case(op, [(1, 5)], low=-0.8, wide=1.6) for op in ("Asin", "Acos", "Atanh", "Tan")),
    Case("ThresholdedRelu", [(1, 5)], {"alpha": 0.5}, name="alpha"),
    Case("Gelu", [(1, 5)], opset=20), Case("Gelu", [(1, 5)], {"approximate": "tanh"}, 20, name="tanh"),
    Case("Mish", [(1, 5)], opset=18), Case("Elu", [(1, 5)], {"alpha": 0.3}, name="alpha"),
    Case("Selu", [(1, 5)], {"alpha": 1.5, "gamma": 0.7}, name="alpha"),
    Case("Celu", [(1, 5)], {"alpha": 0.5}, name="alpha"),
    Case("LeakyRelu", [(1, 5)], {"alpha": 0.2}, 7, name="alpha"), Case("ThresholdedRelu", [(1, 5)], {"alpha": 0.0}),
    Case("HardSigmoid", [(1, 5)], {"alpha": 0.3, "beta": 0.4}, name="alpha"),
    Case("PRelu", [(1, 5), floats(0.3)], name="one"), Case("PRelu", [(1, 3, 2, 2), normal(3, 1, 1)], name="channels"),
    Case("Clip", [(1, 5)], {"min": -0.5, "max": 0.5}, 7), Case("Clip", [(1, 5)], {"min": 0.0}, 10, name="low"),
    Case("Clip", [(1, 5), number(-1), number(0.5)], opset=11), Case("Clip", [(1, 5), None, number(0.5)], name="high"),
    Case("Clip", [(1, 5)], name="none"), Case("Clip", [(1, 5), number(0), number(3.4028234663852886e38)], name="relu"),
    Case("Clip", [(1, 5), number(0.5), number(0.5)], name="equal"),
    Case("Clip", [(1, 5), number(1), number(0.5)], name="crossed"),
    Case("Dropout", [(1, 5)], {"ratio": 0.5}, 7), Case("Dropout", [(1, 5), number(0.5)], opset=13),
    Case("Cast", [(1, 5)], {"to": 1}), Case("Swish", [(1, 5)], {"alpha": 1.5}, 24),
]  # fmt: skip
ARITHMETIC = [
    *(Case(op, [(1, 2, 3), (1, 2, 3)], name="two") for op in ("Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean")),
    *(Case(op, [(1, 2, 3), normal(3)], name="constant") for op in ("Add", "Sub", "Mul", "Max", "Min", "Sum", "Div")),
    *(Case(op, [normal(2, 1), (1, 2, 3)], name="constant first") for op in ("Add", "Sub", "Mul", "Max", "Min")),
    *(Case(op, [(1, 1, 3), normal(4, 2, 1)], name="grows") for op in ("Add", "Sub", "Mul", "Max")),
    *(Case(op, [(1, 3), (4, 2, 1)], name="both grow") for op in ("Add", "Sub", "Mul", "Min")),
    Case("Add", [(3,), number(2)], name="scalar"), Case("Mul", [number(2), (2, 3)], name="scalar"),
    Case("Div", [(1, 3), (1, 3)], low=0.5, name="two"),
    Case("Div", [normal(3), (1, 3)], low=0.5, name="constant first"),
    Case("Sum", [(1, 3), normal(3), (1, 3), normal(1, 3)], name="four"), Case("Max", [(1, 3), number(0)], name="zero"),
    Case("Max", [(1, 3), (1, 1), normal(3)], name="three"), Case("Mean", [(1, 3), normal(3), (1, 3)], name="three"),
    *(Case("Pow", [(1, 3), number(p)], low=0.5, name=str(p)) for p in (2, 3, 0.5, -1, 1, 1.7)),
    Case("Pow", [number(2), (1, 3)], name="of two"), Case("Pow", [(1, 3), floats(2, 2, 2)], name="many"),
    *(Case(op, [(2, 3), (2, 3)], name="two") for op in ("And", "Or")),
]  # fmt: skip
WEIGHTS = [
    Case("MatMul", [(1, 4), normal(4, 3)]), Case("MatMul", [(4,), normal(4, 3)], name="vector"),
    Case("MatMul", [(1, 5, 4), normal(4, 3)], name="rows"), Case("MatMul", [(1, 1, 4), normal(1, 4, 3)], name="lead"),
    Case("MatMul", [(1, 4), normal(4)], name="column"), Case("MatMul", [normal(3, 4), (4, 1)], name="constant first"),
    Case("MatMul", [normal(3, 4), (4,)], name="constant vector"), Case("MatMul", [normal(4), (4, 3)], name="row"),
    Case("MatMul", [(2, 5, 4), normal(2, 4, 3)], name="stack"),
    Case("MatMul", [(1, 5, 4), normal(2, 4, 3)], name="stacks"),
    Case("MatMul", [normal(2, 3, 4), (1, 4, 2)], name="constant stack"),
    Case("MatMul", [(1, 2, 3, 4), (1, 2, 4, 5)], name="two"), Case("MatMul", [(3, 4), (4, 2)], name="two flat"),
    Case("MatMul", [(4,), (4,)], name="dot"), Case("MatMul", [(2, 3, 4), (4,)], name="two vector"),
    Case("Gemm", [(1, 4), normal(4, 3), normal(3)]),
    Case("Gemm", [(1, 4), normal(3, 4)], {"transB": 1}, name="no offset"),
    Case("Gemm", [(1, 4), normal(3, 4), normal(1, 3)], {"transB": 1, "alpha": 0.5, "beta": 2.0}, name="scaled"),
    Case("Gemm", [(2, 4), normal(4, 3), normal(2, 3)], name="rows"),
    Case("Gemm", [(1, 4), normal(4, 3), number(1)], name="number"),
    Case("Gemm", [(4, 1), normal(4, 3), normal(3)], {"transA": 1}, name="transA"),
    Case("Gemm", [normal(2, 4), (4, 3), (3,)], {"beta": 0.5}, name="constant first"),
    Case("Gemm", [(2, 4), (3, 4), normal(2, 1)], {"transB": 1, "alpha": 2.0}, name="two"),
    Case("Conv", [(1, 2, 6, 6), normal(3, 2, 3, 3), normal(3)], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case("Conv", [(1, 2, 6, 5), normal(3, 2, 3, 3)], {"pads": [1, 0, 2, 1]}, name="uneven"),
    Case("Conv", [(1, 2, 7, 6), normal(3, 2, 3, 2)], {"auto_pad": "SAME_UPPER", "strides": [2, 3]}, name="upper"),
    Case("Conv", [(1, 2, 7, 6), normal(3, 2, 3, 2)], {"auto_pad": "SAME_LOWER", "strides": [2, 3]}, name="lower"),
    Case("Conv", [(1, 2, 7, 6), normal(3, 2, 3, 2)], {"auto_pad": "VALID"}, name="valid"),
    Case("Conv", [(1, 4, 8), normal(6, 2, 3)], {"group": 2, "dilations": [2]}, name="1d"),
    Case("Conv", [(1, 2, 4, 4, 3), normal(2, 2, 2, 2, 2)], name="3d"),
    Case("ConvTranspose", [(1, 2, 4, 4), normal(2, 3, 3, 3), normal(3)], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("ConvTranspose", [(1, 2, 4, 4), normal(2, 3, 3, 3)],
         {"strides": [2, 2], "output_padding": [1, 1]}, name="more"),
    Case("ConvTranspose", [(1, 2, 4, 4), normal(2, 3, 3, 3)], {"strides": [2, 2], "pads": [0, 1, 1, 1]}, name="uneven"),
    Case("ConvTranspose", [(1, 2, 4, 4), normal(2, 3, 3, 3)],
         {"strides": [2, 2], "output_shape": [8, 8]}, name="shape"),
    Case("ConvTranspose", [(1, 2, 4, 4), normal(2, 3, 3, 3)],
         {"strides": [2, 2], "auto_pad": "SAME_LOWER"}, name="lower"),
    Case("ConvTranspose", [(1, 4, 4), normal(4, 2, 3)], {"group": 2, "dilations": [2]}, name="1d"),
    *(Case("BatchNormalization", [shape, normal(3), normal(3), normal(3), abs(normal(3))],
           {"epsilon": 0.01}, opset, name=str(shape))
      for opset in (7, 9, 14, 15) for shape in ((1, 3), (1, 3, 4), (1, 3, 2, 2), (2, 3, 4))),
]  # fmt: skip
POOLS = [
    Case("MaxPool", [(1, 2, 6, 6)], {"kernel_shape": [2, 2], "strides": [2, 2]}, 8),
    Case("MaxPool", [(1, 2, 6, 6)], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 0, 1]}, name="uneven"),
    Case("MaxPool", [(1, 2, 6, 7)], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, name="ceil"),
    Case("MaxPool", [(1, 2, 9)], {"kernel_shape": [3], "dilations": [2]}, name="1d"),
    Case("MaxPool", [(1, 2, 4, 4, 4)], {"kernel_shape": [2, 2, 2]}, name="3d"),
    Case("MaxPool", [(1, 2, 7, 6)],
         {"kernel_shape": [3, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]}, name="upper"),
    *(Case("AveragePool", [(1, 2, 6, 6)],
           {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": c}, name=f"count {c}")
      for c in (0, 1)),
    *(Case("AveragePool", [(1, 2, 6, 5)],
           {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 0, 1], "count_include_pad": c},
           name=f"uneven {c}") for c in (0, 1)),
    *(Case("AveragePool", [(1, 2, 6, 7)],
           {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": c}, 19, name=f"ceil {c}")
      for c in (0, 1)),
    Case("AveragePool", [(1, 2, 7, 6)],
         {"kernel_shape": [3, 2], "auto_pad": "SAME_LOWER", "strides": [2, 2]}, name="lower"),
    Case("AveragePool", [(1, 2, 9)], {"kernel_shape": [3], "strides": [2]}, 7, name="1d"),
    Case("AveragePool", [(1, 2, 9, 9)], {"kernel_shape": [3, 3], "dilations": [2, 2]}, 19, name="dilated"),
    Case("GlobalAveragePool", [(1, 2, 3, 4)]), Case("GlobalMaxPool", [(1, 2, 3, 4)]),
    Case("GlobalAveragePool", [(2, 3, 4)], name="batch"),
]  # fmt: skip
REDUCTIONS = [
    *(Case(op, [(1, 2, 3, 4)], {"axes": [1, 3]}, 11, low=low) for op, low in (
        ("ReduceMean", -2.0), ("ReduceMax", -2.0), ("ReduceMin", -2.0), ("ReduceL1", -2.0), ("ReduceL2", -2.0),
        ("ReduceSumSquare", -2.0), ("ReduceLogSum", 0.5), ("ReduceSum", -2.0),
    )),
    Case("ReduceLogSumExp", [(1, 2, 3)], {"axes": [1, 2]}, 13), Case("ReduceLogSumExp", [(2, 3)], {"axes": [0]}, 13),
    *(Case(op, [(1, 2, 3), ints(-1)], {"keepdims": 0}, 18, name="input")
      for op in ("ReduceMean", "ReduceMax", "ReduceSum")),
    *(Case(op, [(2, 3)], {"keepdims": 0}, name="all") for op in ("ReduceMean", "ReduceMax", "ReduceSum")),
    Case("ReduceSum", [(2, 3)], {"noop_with_empty_axes": 1}, 13, name="none"),
    Case("ReduceSum", [(1, 3), ints(0)], {"keepdims": 0}, 13, name="batch"),
    Case("ReduceMax", [(2, 3, 4)], {"axes": [0]}, 13, name="first"),
    *(Case(op, [(1, 3, 4)], {}, opset) for op in ("Softmax", "LogSoftmax") for opset in (7, 11, 13)),
    *(Case(op, [(1, 3, 4)], {"axis": axis}, opset, name=str(axis))
      for op in ("Softmax", "LogSoftmax") for opset in (11, 13) for axis in (-2, 2)),
    Case("Softmax", [(3, 4)], {"axis": 0}, name="first"),
    Case("LayerNormalization", [(1, 3, 4), normal(4), normal(4)]),
    Case("LayerNormalization", [(1, 3, 4), normal(3, 4)], {"axis": 1, "epsilon": 0.1}, name="two axes"),
    Case("InstanceNormalization", [(1, 3, 4, 2), normal(3), normal(3)]),
    Case("GroupNormalization", [(1, 4, 3), normal(4), normal(4)], {"num_groups": 2}, 21),
    *(Case("LpNormalization", [(1, 3, 4, 2)], {"p": p, **axis}, name=f"{p} {axis}")
      for p in (1, 2) for axis in ({}, {"axis": 1}, {"axis": -2})),
    *(Case("TopK", [(1, 5), ints(3)], {"largest": largest}, 11, unread=1, name=str(largest)) for largest in (0, 1)),
    Case("TopK", [(3, 2)], {"k": 2, "axis": 0}, 9, unread=1),
    Case("Shrink", [(1, 5)], {"bias": 0.4, "lambd": 0.4}, name="soft"), Case("Shrink", [(1, 5)], {"bias": 0.2}),
    *(Case(op, [(1, 2, 4, 5)], {"p": p, **window}, name=str(p)) for p in (1, 2) for op, window in (
        ("GlobalLpPool", {}), ("LpPool", {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [0, 1, 1, 1]}),
    )),
    *(Case("Einsum", args, {"equation": equation}, name=equation) for equation, args in (
        ("bij,bjk->bik", [(1, 2, 3), (1, 3, 2)]), ("bhid,bhjd->bhij", [(1, 2, 3, 2), (1, 2, 3, 2)]),
        ("bij,kj->bki", [(1, 2, 3), normal(4, 3)]), ("ij,bjk", [normal(2, 3), (1, 3, 2)]), ("bij->bj", [(1, 2, 3)]),
        ("bi,bj->bij", [(1, 2), (1, 3)]), ("bi,ij,bj->b", [(1, 2), normal(2, 3), (1, 3)]),
        ("hi,bhj->bhij", [normal(2, 3), (1, 2, 2)]), ("ij->ji", [(2, 3)]),
    )),
    Case("CumSum", [(1, 4), ints(1)]),
    Case("CumSum", [(3, 4), ints(0)], {"exclusive": 1, "reverse": 1}, name="reverse"),
]  # fmt: skip
LAYOUT = [
    Case("Reshape", [(1, 2, 6), ints(1, 3, -1)]), Case("Reshape", [(1, 2, 6), ints(0, 0, 2, 3)], name="zeros"),
    Case("Flatten", [(1, 2, 6)]),
    Case("Flatten", [(2, 3, 2)], {"axis": 2}, name="axis"),
    Case("Flatten", [(3,)], {"axis": 0}, name="0"),
    Case("Squeeze", [(1, 2, 1, 3)], {"axes": [0, 2]}, 11), Case("Squeeze", [(1, 2, 1), ints(2)], opset=13),
    Case("Squeeze", [(1, 1, 3)], name="all"), Case("Unsqueeze", [(2, 3)], {"axes": [0, 3]}, 11),
    Case("Unsqueeze", [(1, 3), ints(1)], opset=13), Case("Transpose", [(1, 2, 3)]),
    Case("Transpose", [(1, 2, 3)], {"perm": [0, 2, 1]}, name="kept"),
    Case("Transpose", [(2, 3)], {"perm": [1, 0]}, name="two"),
    Case("Concat", [(1, 2), (1, 3)], {"axis": 1}), Case("Concat", [(1, 2), (1, 2)], {"axis": 0}, name="batch"),
    Case("Concat", [normal(1, 2), (1, 3), normal(1, 1), (1, 2)], {"axis": -1}, name="constants"),
    Case("Concat", [(3,), (2,)], {"axis": 0}, name="vectors"),
    Case("Concat", [(2, 3), (1, 3)], {"axis": 0}, name="rows"),
    Case("Slice", [(1, 4, 5)], {"axes": [1, 2], "starts": [1, 0], "ends": [3, -1]}, 7),
    Case("Slice", [(1, 6), ints(4), ints(-100), ints(1), ints(-2)], name="back"),
    Case("Split", [(1, 6)], {"axis": 1, "split": [1, 2, 3]}, 11, 3),
    Case("Split", [(1, 6), ints(4, 2)], {"axis": 1}, 13, 2),
    Case("Split", [(1, 5)], {"axis": 1, "num_outputs": 2}, 18, 2),
    Case("Split", [(4, 2)], {"axis": 0}, 13, 2, name="first"),
    Case("Gather", [(1, 4), ints(2, 0, 2)], {"axis": 1}),
    Case("Gather", [(1, 4), numpy.array(1)], {"axis": 1}, name="one"),
    Case("Gather", [(5, 2), ints(-1, 0)], {"axis": 0}, name="first"),
    Case("GatherElements", [(2, 3), numpy.array([[0, 2], [1, 1]])], {"axis": 1}),
    Case("GatherND", [(2, 3), numpy.array([[0, 1], [1, 2]])]), Case("Expand", [(1, 1, 3), ints(2, 4, 1)]),
    Case("Tile", [(1, 2), ints(2, 3)]), Case("DepthToSpace", [(1, 8, 2, 2)], {"blocksize": 2}),
    Case("DepthToSpace", [(1, 8, 2, 2)], {"blocksize": 2, "mode": "CRD"}, name="crd"),
    Case("SpaceToDepth", [(1, 2, 4, 4)], {"blocksize": 2}), Case("Trilu", [(3, 3)], {"upper": 0}),
    Case("ScatterND", [(2, 3), numpy.array([[0, 1], [1, 2]]), (2,)]),
    Case("ScatterND", [normal(2, 3), numpy.array([[0, 1], [1, 2]]), (2,)], name="into a constant"),
    Case("ScatterElements", [(2, 3), numpy.array([[1, 0]]), normal(1, 2)], {"axis": 1}),
    Case("Where", [numpy.array([True, False, True]), (1, 3), (1, 3)]),
    Case("Where", [numpy.array([[True], [False]]), (1, 3), normal(3)], name="constant"),
    Case("Pad", [(1, 2, 3, 3)], {"pads": [0, 0, 1, 2, 0, 0, 0, 1]}, 7),
    Case("Pad", [(1, 4), ints(0, 1, 0, 2), number(3)], name="level"),
    Case("Pad", [(2, 3)], {"pads": [1, 0, 0, 2], "value": 1.5}, 10, name="level"),
    Case("Pad", [(1, 5), ints(0, -1, 0, 2)], name="cut"),
    Case("Pad", [(1, 5), ints(0, 2, 0, 1)], {"mode": "reflect"}, name="reflect"),
    Case("Pad", [(1, 5), ints(0, 2, 0, 1)], {"mode": "edge"}, name="edge"),
    Case("Pad", [(1, 5), ints(2, 1), number(1), ints(1)], opset=18, name="axes"),
    Case("Resize", [(1, 2, 3, 3), None, floats(1, 1, 2, 2)],
         {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    Case("Resize", [(1, 2, 3, 3), None, None, ints(1, 2, 5, 6)], {"mode": "nearest"}, name="sizes"),
    *(Case("Resize", [(1, 2, 3, 4), None, floats(1, 1, 2, 1.5)],
           {"mode": "linear", "coordinate_transformation_mode": m}, name=m)
      for m in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")),
    Case("Resize", [(1, 2, 3, 4), None, None, ints(1, 2, 5, 3)], {"mode": "linear"}, name="linear sizes"),
    Case("Resize", [(1, 2, 4, 4), None, floats(1, 1, 2, 2)], {"mode": "cubic"}, name="cubic"),
    Case("Resize", [(1, 2, 3, 3), floats(1, 1, 2, 2)], {"mode": "nearest"}, 10),
    Case("Resize", [(1, 2, 3, 3), floats(1, 1, 2, 2)], {"mode": "linear"}, 10, name="linear"),
    Case("Upsample", [(1, 2, 3, 3)], {"scales": [1.0, 1.0, 2.0, 2.0]}, 7),
    Case("Upsample", [(1, 2, 3, 3), floats(1, 1, 2, 3)], {"mode": "linear"}, 9),
]  # fmt: skip
_H = {"hidden_size": 2}
_BOTH = {"direction": "bidirectional"}
RECURRENT = [
    Case("LSTM", [(3, 1, 2), normal(1, 8, 2), normal(1, 8, 2)], _H, 14, 3),
    Case("LSTM", [(2, 1, 2), normal(2, 8, 2), normal(2, 8, 2), normal(2, 16), None, normal(2, 1, 2), (2, 1, 2)],
         {**_H, **_BOTH}, 14, 3, name="both ways"),
    *(Case("GRU", [(3, 1, 2), normal(1, 6, 2), normal(1, 6, 2), normal(1, 12)],
           {**_H, "linear_before_reset": after}, 14, 2, name=str(after)) for after in (0, 1)),
    Case("GRU", [(2, 1, 2), normal(2, 6, 2), normal(2, 6, 2), None, None, (2, 1, 2)], {**_H, **_BOTH}, 14, 2,
         name="both ways"),
    Case("RNN", [(3, 2, 2), normal(1, 2, 2), normal(1, 2, 2), normal(1, 4)], {**_H, "direction": "reverse"}, 14, 2),
    Case("RNN", [(2, 1, 2), normal(2, 2, 2), normal(2, 2, 2)],
         {**_H, **_BOTH, "activations": ["Relu", "Tanh"]}, 14, 2, name="two"),
]  # fmt: skip
CASES = [
    c
    for c in (*PLAIN, *ARITHMETIC, *WEIGHTS, *POOLS, *REDUCTIONS, *LAYOUT, *RECURRENT)
    if c.operator not in ("And", "Or")
]


def points(case: Case, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    draw = numpy.random.default_rng(1)
    return {name: (case.low + case.wide * draw.random(shape)).astype(numpy.float32) for name, shape in shapes.items()}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_is_what_onnxruntime_makes_of_it(case: Case, tmp_path: Path) -> None:
    shapes = {f"x{i}": arg for i, arg in enumerate(case.args) if isinstance(arg, tuple)}
    constants = {f"x{i}": arg for i, arg in enumerate(case.args) if isinstance(arg, numpy.ndarray)}
    names = ["" if arg is None else f"x{i}" for i, arg in enumerate(case.args)]
    outputs = [f"y{i}" for i in range(case.outputs)]
    unread = [f"unread{i}" for i in range(case.unread)]
    node = helper.make_node(case.operator, names, [*outputs, *unread], **case.attributes)
    made = model([node], shapes, constants, outputs, opset=case.opset)
    graph = onnx_to_graph(saved(made, tmp_path))  # compares it, too, in float32 and float64
    point = points(case, shapes)
    given = {name: torch.from_numpy(array).reshape(1, *dict(graph.given.shapes)[name]) for name, array in point.items()}
    x = graph.joined(given)
    found = graph.named(graph(x))
    for name, wanted in zip(outputs, executed(made, point), strict=True):
        torch.testing.assert_close(found[name].flatten(), torch.from_numpy(wanted).flatten(), rtol=2e-5, atol=2e-5)
    trace = domains.Box().propagate(graph, Interval(x - 0.01, x + 0.01))
    value = graph(x)
    assert bool((trace.lower <= value + 1e-6).all() and (value <= trace.upper + 1e-6).all())


def test_every_rule_is_tried() -> None:
    front._fill_rules()
    tried = {case.operator for case in CASES} | {"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "And", "Or"}
    tried |= {
        "QuantizeLinear",
        "DequantizeLinear",
        "CastLike",
        "Compress",
        "ReverseSequence",
        "MeanVarianceNormalization",
    }
    tried |= {"ArgMax", "ArgMin"}
    own = {name for name, rule in RULES.items() if rule.__module__.startswith("absdomain.")}
    assert own <= tried, f"no case for {sorted(own - tried)}"


@pytest.mark.parametrize("p", [1, 2])
def test_a_norm_of_zero_is_not_divided_by(p: int, tmp_path: Path) -> None:
    """x / |x| jumps at 0: over a box that holds 0 nothing is bounded, and over others all is."""
    node = helper.make_node("LpNormalization", ["x0"], ["y0"], p=p)
    graph = onnx_to_graph(saved(model([node], {"x0": (1, 3)}, {}, ["y0"]), tmp_path))
    around, beside = Interval(-torch.ones(1, 3), torch.ones(1, 3)), Interval(torch.ones(1, 3), 2 * torch.ones(1, 3))
    for domain in (domains.Box(), domains.DeepPoly(), domains.Zonotope()):
        trace = domain.propagate(graph, around)
        assert bool((trace.lower == -torch.inf).all() and (trace.upper == torch.inf).all())
        trace = domain.propagate(graph, beside)
        assert bool(trace.lower.isfinite().all() and trace.upper.isfinite().all())
        for x in beside.sample(50)[:, 0].unsqueeze(1):
            value = torch.nn.functional.normalize(x, p, -1)
            assert bool((trace.lower <= value + 1e-6).all() and (value <= trace.upper + 1e-6).all())
