"""A file -> an ONNX model whose tensors are all in memory and as large as they say; nothing in it is executed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from absdomain.errors import InvalidFile
from absdomain.lowering.onnx.table import Array

_LARGEST = 2**31 - 1  # bytes that protobuf reads
OPSETS = range(7, 100)  # broadcasting was another before 7
_GZIP = b"\x1f\x8b"
_NUMBERS = {  # element types that are numbers; texts and those of several values in a byte are none
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.BOOL,
    TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
    TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64,
}  # fmt: skip


def read(path: Path) -> ModelProto:
    """The model in a file, gzipped or not, with the tensors that it keeps in other files of its folder.

    Errors: InvalidFile, with the place, for what is no model, is cut off or promises more than it holds.
    """
    model = ModelProto()
    try:
        model.ParseFromString(_bytes(path))
    except DecodeError as error:
        raise InvalidFile(
            f"{path}: it is not an ONNX model, or is cut off ({error}); export the network again"
        ) from None
    if not model.graph.node or not model.graph.output:
        raise InvalidFile(f"{path}: the model has no node or no output; export the network again")
    for tensor, place in tensors(model):
        check(tensor, path, place)
    return model


def checked(model: ModelProto, path: Path) -> None:
    """Refuses what is no valid ONNX: names without a value, values with two, attributes of other types.

    An output's shape, which the checker asks for, may be missing: nobody reads it, and the model loses it here.
    """
    for value in model.graph.output:
        value.type.tensor_type.shape.SetInParent()
    try:
        checker.check_model(model)
    except Exception as error:  # whatever the checker finds, it says in classes of its own, or in those of C++
        raise InvalidFile(f"{path}: the model is not valid: {_first(error)}; export the network again") from None


def opset(model: ModelProto, path: Path) -> int:
    """The version of ONNX's own operators."""
    found = {o.version for o in model.opset_import if o.domain in ("", "ai.onnx")}
    if len(found) != 1 or not found <= set(OPSETS):
        told = ", ".join(map(str, sorted(found))) or "none"
        raise InvalidFile(f"{path}: it needs one opset of {OPSETS.start} or later, got {told}; export it again")
    return found.pop()


def array(tensor: TensorProto) -> Array:
    """The numbers of a tensor that `check` has passed, in memory of their own."""
    return numpy.array(numpy_helper.to_array(tensor))


def tensors(model: ModelProto) -> Iterator[tuple[TensorProto, str]]:
    """The model's tensors, each with its place."""
    for tensor in model.graph.initializer:
        yield tensor, f"tensor {tensor.name!r}"
    for node in model.graph.node:
        for attribute in node.attribute:
            held = [attribute.t] if attribute.HasField("t") else list(attribute.tensors)
            for tensor in held:
                yield tensor, f"the attribute {attribute.name!r} of {where(node)}"


def where(node: NodeProto) -> str:
    """A node by its operator and its name, or its first output."""
    return f"{node.op_type} {next(filter(None, [node.name, *node.output]), 'without a name')!r}"


def check(tensor: TensorProto, path: Path, place: str) -> None:
    """Refuses a tensor that is not as large as it says, and fetches one that is kept in another file."""
    told = f"{path}: {place}"
    if tensor.data_type not in _NUMBERS:
        names = dict(zip(TensorProto.DataType.values(), TensorProto.DataType.keys(), strict=True))
        raise InvalidFile(f"{told} holds {names.get(tensor.data_type, tensor.data_type)}; only numbers can be read")
    if any(size < 0 for size in tensor.dims):
        raise InvalidFile(f"{told} has the shape {list(tensor.dims)}; sizes are at least 0")
    count, width = prod(tensor.dims), helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    if tensor.data_location == TensorProto.EXTERNAL:
        _fetch(tensor, path, place, count * width)
    found = len(tensor.raw_data) / width if tensor.HasField("raw_data") else _listed(tensor)
    if found != count:
        raise InvalidFile(f"{told} says {list(tensor.dims)}, {count} numbers, but holds {found:g}; the file is damaged")
    if tensor.data_type == TensorProto.BOOL and not set(tensor.raw_data) <= {0, 1}:  # kernels do not agree on others
        raise InvalidFile(f"{told} has a truth value that is neither 0 nor 1; the file is damaged")


def _listed(tensor: TensorProto) -> int:
    """How many numbers stand in the field of the tensor's type."""
    field = helper.tensor_dtype_to_field(tensor.data_type)
    return len(getattr(tensor, field))


def _fetch(tensor: TensorProto, path: Path, place: str, size: int) -> None:
    """Reads a tensor's bytes from its own file, which stands in the model's folder or below."""
    given = {entry.key: entry.value for entry in tensor.external_data}
    folder = path.parent.resolve()
    file = (folder / given.get("location", "")).resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        raise InvalidFile(
            f"{path}: {place} is kept in {given.get('location')!r}, no file in the model's folder; put it there"
        )
    start, length = (_whole(given.get(key), default) for key, default in (("offset", 0), ("length", size)))
    if start is None or length != size or start + size > file.stat().st_size:
        raise InvalidFile(
            f"{path}: {place} has {size} bytes and is kept at offset {given.get('offset', 0)}, length "
            f"{given.get('length', size)}, of {file.name!r}, which has {file.stat().st_size}; the files do not match"
        )
    with file.open("rb") as stream:
        stream.seek(start)
        tensor.raw_data = stream.read(size)
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def _whole(text: str | None, default: int) -> int | None:
    """A whole number that is at least 0; None: the text is none."""
    return default if text is None else int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _bytes(path: Path) -> bytes:
    """What the file holds, unpacked, where that is no more than protobuf reads."""
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == _GZIP
        with gzip.open(path) if packed else path.open("rb") as source:
            data: bytes = source.read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidFile(f"{path}: it cannot be read ({error}); give the path of an .onnx or .onnx.gz file") from None
    if len(data) > _LARGEST:
        raise InvalidFile(f"{path}: it has more than {_LARGEST} bytes; keep its tensors in files beside it")
    return data


def _first(error: Any) -> str:
    return str(error).strip().partition("\n")[0]
