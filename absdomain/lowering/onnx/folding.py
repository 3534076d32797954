"""What depends on no input, computed once, after its size has been checked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy
from onnx import (
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    TensorProto,
    TypeProto,
    helper,
    numpy_helper,
    shape_inference,
)

from absdomain.errors import InvalidFile
from absdomain.kinds import Shape
from absdomain.lowering.onnx.kernels import evaluator
from absdomain.lowering.onnx.reading import where
from absdomain.lowering.onnx.table import Array

_SHOWN = 4096  # entries of a constant on whose values ONNX infers shapes
MOST = 2**28  # entries of one tensor
_ALL = 2**30  # entries of all that is computed of one file

# Functions of their inputs alone whose cost goes with the sizes of their inputs and outputs. No loop, no chance.
FOLDED = {
    "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "AveragePool",
    "BatchNormalization", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike",
    "Ceil", "Clip", "Compress", "Concat", "Constant", "ConstantOfShape", "Conv", "Cos", "Cosh", "CumSum",
    "DepthToSpace", "DequantizeLinear", "Det", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Expand", "EyeLike",
    "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool",
    "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less",
    "LessOrEqual", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool", "Mean", "Min", "Mod", "Mul", "Neg", "NonZero",
    "Not", "OneHot", "Or", "PRelu", "Pad", "Pow", "QuantizeLinear", "Range", "Reciprocal", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare", "Relu", "Reshape", "Resize", "ReverseSequence", "Round", "ScatterElements", "ScatterND",
    "Selu", "Shape", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Slice", "Softmax", "Softplus", "Softsign",
    "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tan", "Tanh", "Tile", "TopK", "Transpose", "Trilu",
    "Unsqueeze", "Upsample", "Where", "Xor",
}  # fmt: skip
_FLOAT = int(TensorProto.FLOAT)
FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
_SMALLER = {"NonZero", "Compress"}  # whose shape depends on values, and is no larger than its input's


@dataclass(frozen=True)
class Kind:
    """An element type of ONNX and a shape; None: not inferred."""

    element: int
    shape: Shape | None


class Folder:
    """Computes nodes of one file, whose operators are of these versions."""

    def __init__(self, path: Path, opsets: Sequence[OperatorSetIdProto]) -> None:
        self.path = path
        self.opsets = opsets
        self.left = _ALL

    def kinds(self, node: NodeProto, inputs: Mapping[str, Kind], constants: Mapping[str, Array]) -> list[Kind | None]:
        """What the node's outputs are, as ONNX infers it; None: it does not. InvalidFile for what does not fit.

        Floating-point types all count as float32, which every operator knows.
        """
        if node.domain not in ("", "ai.onnx"):
            return [None for _ in node.output]
        kinds = {
            name: Kind(_FLOAT if kind.element in FLOATS else kind.element, kind.shape) for name, kind in inputs.items()
        }
        shown = {name: v.astype(numpy.float32) if v.dtype.kind == "f" else v for name, v in constants.items()}
        model = self.alone(node, kinds, shown)
        try:
            inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        except Exception as error:  # whatever inference finds, it says in classes of its own, or in those of C++
            told = " ".join(str(error).split())
            raise InvalidFile(f"{self.path}: {where(node)} does not fit its inputs: {told[:300]}") from None
        found = {value.name: _kind(value.type) for value in inferred.graph.output}
        made = [found.get(name) for name in node.output]
        for kind in made:
            if kind is not None and kind.shape is not None:
                self.check(node, kind.shape)
        return made

    def check(self, node: NodeProto, shape: Shape) -> None:
        """Refuses a tensor that is too large to be made, before it is made."""
        count = prod(shape)
        self.left -= count
        if count > MOST or self.left < 0 or any(size < 0 for size in shape):
            raise InvalidFile(
                f"{self.path}: {where(node)} makes {list(shape)}, {count} numbers; at most {MOST} in one tensor and "
                f"{_ALL} in all are made of a file"
            )

    def run(self, node: NodeProto, inputs: Sequence[Array | None], kinds: Sequence[Kind | None] | None) -> list[Array]:
        """The node's outputs; kinds None: what they are is inferred from the inputs here."""
        if kinds is None:
            given = {name: array for name, array in zip(node.input, inputs, strict=True) if array is not None}
            kinds = self.kinds(node, {name: kind_of(array) for name, array in given.items()}, given)
        named = [kind for name, kind in zip(node.output, kinds, strict=True) if name]
        if any(kind is None or kind.shape is None for kind in named) and node.op_type not in _SMALLER:
            raise InvalidFile(f"{self.path}: {where(node)} makes a constant whose size cannot be told; fold it first")
        given = {name: array for name, array in zip(node.input, inputs, strict=True) if array is not None}
        try:
            return self._evaluated(node, given)
        except Exception as error:  # a kernel says what it finds in many classes
            if not any(array.dtype == numpy.float64 for array in given.values()):
                raise InvalidFile(
                    f"{self.path}: {where(node)} cannot be computed ({type(error).__name__}: {str(error)[:200]})"
                ) from None
        single = [v.astype(numpy.float32) if v is not None and v.dtype == numpy.float64 else v for v in inputs]
        found = self.run(node, single, kinds)  # for want of a kernel of float64
        return [v.astype(numpy.float64) if v.dtype == numpy.float32 else v for v in found]

    def _evaluated(self, node: NodeProto, given: Mapping[str, Array]) -> list[Array]:
        model = self.alone(node, {name: kind_of(array) for name, array in given.items()}, {})
        with numpy.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [numpy.asarray(v) for v in evaluator(model).run(None, given)]

    def alone(self, node: NodeProto, inputs: Mapping[str, Kind], constants: Mapping[str, Array]) -> ModelProto:
        """A model of this node only."""
        names = [name for name in dict.fromkeys(node.input) if name]
        shown = [name for name in names if name in constants and constants[name].size <= _SHOWN]
        graph = helper.make_graph(
            [node],
            "one",
            [helper.make_tensor_value_info(n, inputs[n].element, inputs[n].shape) for n in names if n not in shown],
            [helper.make_empty_tensor_value_info(name) for name in node.output if name],
            [numpy_helper.from_array(constants[name], name) for name in shown],
        )
        return helper.make_model(graph, opset_imports=self.opsets, ir_version=8)


def _kind(given: TypeProto) -> Kind | None:
    if not given.HasField("tensor_type"):
        return None
    tensor = given.tensor_type
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return Kind(tensor.elem_type, None)
    return Kind(tensor.elem_type, tuple(dim.dim_value for dim in tensor.shape.dim))


def kind_of(array: Array) -> Kind:
    """What an array is."""
    return Kind(helper.np_dtype_to_tensor_dtype(array.dtype), tuple(array.shape))
