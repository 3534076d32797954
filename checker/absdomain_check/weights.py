"""Whether an ONNX file has the weights of a safetensors file, and no others."""

from __future__ import annotations

import json

import numpy as np
from onnx import onnx_ml_pb2 as pb

from absdomain_check.affine import Array
from absdomain_check.errors import Refused, Unreadable
from absdomain_check.network import array, sized

_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "MatMul", "Gemm", "Conv", "BatchNormalization", "Max", "Min", "Clip"}
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def read_weights(data: bytes) -> dict[str, Array]:
    """The tensors of floats of a safetensors file. Errors: Unreadable."""
    size = int.from_bytes(data[:8], "little")
    try:
        table = json.loads(data[8 : 8 + size])
        found = {}
        for name, told in table.items():
            if name == "__metadata__" or told["dtype"][0] != "F":
                continue
            (start, end), dtype = told["data_offsets"], np.dtype(_TYPES[told["dtype"]])
            shape = tuple(told["shape"])
            if not 0 <= start <= end <= len(data) - 8 - size or end - start != sized(shape) * dtype.itemsize:
                raise Unreadable(f"tensor {name!r} is not where the file says")
            found[name] = np.frombuffer(data[8 + size + start : 8 + size + end], dtype).reshape(shape)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Unreadable(f"no safetensors file: {error!r}") from None
    return found


def compare(network: bytes, weights: bytes) -> None:
    """Refused unless each tensor of floats that either file has is in the other, with the same numbers, and is used."""
    model = pb.ModelProto()
    model.ParseFromString(network)
    held = {t.name: array(t) for t in model.graph.initializer}
    read = {name for node in model.graph.node for name in node.input}
    own = {name: t for name, t in held.items() if t.dtype.kind == "f"}
    given = read_weights(weights)
    if any(a.type in (1, 4, 6) and a.name in ("value", "value_float", "value_floats")
           for node in model.graph.node for a in node.attribute):  # fmt: skip
        raise Refused("the network has constants beside the run's weights")
    whole = {name for name, t in held.items() if t.dtype.kind != "f"}
    if any(node.op_type in _ARITHMETIC and whole & set(node.input) for node in model.graph.node):
        raise Refused("the network computes with whole numbers beside the run's weights")
    for name in sorted(own.keys() | given.keys()):
        if name not in own or name not in given or name not in read:
            raise Refused(f"tensor {name!r} is not in both, the network and the run's weights")
        shapes = [[n for n in t.shape if n > 1] for t in (own[name], given[name])]
        if shapes[0] != shapes[1] or (own[name].reshape(-1) != given[name].reshape(-1)).any():
            raise Refused(f"tensor {name!r} of the network is not that of the run's weights")
