"""Small ONNX files with faults: bytes that are cut, changed, put in or exchanged, and numbers that are extreme."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy
from onnx import ModelProto, helper, numpy_helper

from tests.lowering.onnx.written import model, normal

_NUMBERS = [-(2**63), -(2**31), -7, -1, 0, 1, 2, 3, 7, 2**15, 2**31 - 1, 2**31, 2**40, 2**63 - 1]
node = helper.make_node


def seeds() -> list[ModelProto]:
    """Networks with convolutions, pooling, reshaping, constants of shapes, several inputs and outputs."""
    image = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2], kernel_shape=[3, 3]),
        node("BatchNormalization", ["c", "g", "b", "b", "v"], ["n"]), node("Relu", ["n"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2]), node("ConvTranspose", ["p", "t"], ["u"], strides=[2, 2]),
        node("AveragePool", ["u"], ["a"], kernel_shape=[2, 2], ceil_mode=1, strides=[2, 2]),
        node("Shape", ["a"], ["s"]),
        node("Gather", ["s", "zero"], ["k"]), node("Unsqueeze", ["k", "axis"], ["l"]),
        node("Concat", ["l", "minus"], ["f"], axis=0), node("Reshape", ["a", "f"], ["h"]),
        node("Gemm", ["h", "d"], ["y"], transB=1),
    ]  # fmt: skip
    weights = {
        "w": normal(3, 2, 3, 3), "b": normal(3), "g": normal(3), "v": abs(normal(3)), "t": normal(3, 2, 2, 2),
        "zero": numpy.array(0), "axis": numpy.array([0]), "minus": numpy.array([-1]), "d": normal(4, 18),
    }  # fmt: skip
    moves = [
        node("Slice", ["x", "zeros", "two", "axis"], ["a"]), node("Transpose", ["a"], ["t"], perm=[0, 2, 1]),
        node("Tile", ["t", "times"], ["i"]),
        node("Pad", ["i", "pads"], ["p"]),
        node("ReduceMean", ["p"], ["m"], axes=[2]),
        node("ConstantOfShape", ["axis"], ["z"]), node("Expand", ["m", "wide"], ["e"]), node("Add", ["e", "z"], ["s"]),
        node("Softmax", ["s"], ["o"]),
        node("Concat", ["o", "b", "o", "b"], ["y"], axis=0),
        node("Split", ["y"], ["q", "r"], axis=0),
    ]  # fmt: skip
    sizes = {
        "zeros": numpy.array([0]), "two": numpy.array([2]), "axis": numpy.array([1]), "times": numpy.array([1, 2, 2]),
        "pads": numpy.array([0, 1, 0, 0, 0, 1]), "wide": numpy.array([1, 9, 4]),
    }  # fmt: skip
    dense = [
        node("MatMul", ["x", "w"], ["a"]), node("Add", ["a", "b"], ["c"]), node("Clip", ["c", "low"], ["d"]),
        node("Resize", ["e", "", "f"], ["g"], mode="linear"), node("Unsqueeze", ["d", "one"], ["e"]),
        node("Flatten", ["g"], ["h"]), node("Where", ["m", "h", "h"], ["y"]),
    ]  # fmt: skip
    dense = [dense[i] for i in (0, 1, 2, 4, 3, 5, 6)]
    rest = {"w": normal(4, 3), "b": normal(3), "f": numpy.array([1, 1, 2], "float32"), "m": numpy.array([True] * 6)}
    rest["one"], rest["low"] = numpy.array([1]), numpy.array(-1, "float32")
    return [
        model(image, {"x": ("N", 2, 8, 8)}, weights, opset=13),
        model(moves, {"x": (1, 3, 4), "b": (1, 9, 4)}, sizes, ["y", "q"], opset=12),
        model(dense, {"x": (1, 4)}, rest, opset=13),
    ]


def mutated(rng: Random, seed: ModelProto) -> bytes:
    """One to three faults."""
    made = ModelProto()
    made.CopyFrom(seed)
    for _ in range(rng.randint(1, 2)):
        if rng.random() < 0.6:
            _wrong(rng, made)
    data = bytearray(made.SerializeToString())
    while rng.random() < 0.4:
        _damaged(rng, data)
    return bytes(data)


def _wrong(rng: Random, made: ModelProto) -> None:
    """A valid file of another meaning."""
    number = rng.choice(_NUMBERS)
    way = rng.randrange(8)
    nodes = made.graph.node
    one = rng.choice(nodes)
    tensors = made.graph.initializer
    if way == 0 and one.attribute:
        attribute = rng.choice(one.attribute)
        if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = number
        else:
            attribute.i = number
    elif way == 1 and tensors:
        tensor: Any = rng.choice(tensors)
        if len(tensor.dims):
            tensor.dims[rng.randrange(len(tensor.dims))] = number
    elif way == 2 and tensors:
        tensor = rng.choice([t for t in tensors if t.data_type == 7] or list(tensors))
        if tensor.data_type == 7:
            tensor.raw_data = rng.choice(_NUMBERS).to_bytes(8, "little", signed=True) * (len(tensor.raw_data) // 8)
    elif way == 3:
        names = [name for other in nodes for name in (*other.input, *other.output)]
        if one.input:
            one.input[rng.randrange(len(one.input))] = rng.choice(names)
    elif way == 4:
        one.op_type = rng.choice(
            ["Relu", "Add", "MatMul", "Reshape", "Loop", "Identity", "Expand", "Resize", "Tile", "Conv"]
        )
    elif way == 5:
        dims = made.graph.input[0].type.tensor_type.shape.dim
        dims[rng.randrange(len(dims))].dim_value = number
    elif way == 6:
        del nodes[rng.randrange(len(nodes))]
    else:
        made.opset_import[0].version = rng.randint(0, 30)


def rewritten(rng: Random, seed: ModelProto) -> ModelProto:
    """A file of the same meaning: other names inside, weights written otherwise, in another order, with idle ones."""
    made = ModelProto()
    made.CopyFrom(seed)
    graph = made.graph
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}
    names = {name: f"v{rng.getrandbits(40)}" for one in graph.node for name in (*one.input, *one.output)}

    def renamed(name: str) -> str:
        return name if name in kept else names.setdefault(name, name)

    for one in graph.node:
        one.name, one.doc_string = f"n{rng.getrandbits(40)}", "idle"
        inputs, outputs = ([renamed(name) for name in side] for side in (one.input, one.output))
        del one.input[:], one.output[:]
        one.input.extend(inputs)
        one.output.extend(outputs)
    tensors = []
    for tensor in graph.initializer:
        written = numpy_helper.to_array(tensor)
        again = helper.make_tensor(renamed(tensor.name), tensor.data_type, tensor.dims, written.flatten().tolist())
        tensors.append(again if rng.random() < 0.5 else numpy_helper.from_array(written, again.name))
    rng.shuffle(tensors)
    tensors.append(numpy_helper.from_array(numpy.zeros(3, "float32"), "idle"))
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(tensors)
    made.producer_name, graph.name = "somebody", "else"
    helper.set_model_props(made, {"idle": "yes"})
    return made


def _damaged(rng: Random, data: bytearray) -> None:
    """Bytes that are changed, cut off, left out or doubled."""
    if not data:
        return
    place, length = rng.randrange(len(data)), rng.randint(1, 20)
    match rng.randrange(4):
        case 0:
            data[place] = rng.randrange(256)
        case 1:
            del data[place:]
        case 2:
            del data[place : place + length]
        case _:
            data[place:place] = data[place : place + length]
