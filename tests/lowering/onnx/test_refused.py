"""What is refused: by its name, its place and a remedy; and files that are no networks, or promise too much."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy
import pytest
from onnx import TensorProto, helper

from absdomain import InvalidFile, UnsupportedOp, onnx_to_graph
from tests.lowering.onnx.written import Array, W, model, network, normal, saved

node = helper.make_node


def unsupported(*nodes: Any, **options: Any) -> Any:
    return model(list(nodes), {"x": (1, 4)}, **options)


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "no rule": (unsupported(node("Asinh", ["x"], ["y"])), UnsupportedOp, "Asinh at 'y' has no rule.*register one"),
    "a loop": (unsupported(node("RandomNormalLike", ["x"], ["y"])), UnsupportedOp, "RandomNormalLike at 'y'"),
    "old": (unsupported(node("Relu", ["x"], ["y"]), opset=6), InvalidFile, "needs one opset of 7 or later, got 6"),
    "a constant output": (
        model([node("Relu", ["x"], ["z"])], {"x": (1, 4)}, {"c": W}, ["z", "c"]), Exception, "'c'",
    ),
    "no such tensor": (unsupported(node("Relu", ["w"], ["y"])), InvalidFile, "not valid"),
    "shapes": (network((1, 5)), InvalidFile, "MatMul 'y' does not fit|MatMul 'z' does not fit its inputs"),
    "exponents": (
        model([node("Pow", ["x", "e"], ["y"])], {"x": (1, 2)}, {"e": numpy.array([2, 3], "float32")}), UnsupportedOp,
        r"exponents \[2.0, 3.0\]",
    ),
    "whole numbers": (unsupported(node("Cast", ["x"], ["y"], to=7)), UnsupportedOp, "casts to whole numbers"),
    "places of the largest": (
        model([node("TopK", ["x", "k"], ["v", "i"]), node("Cast", ["i"], ["y"], to=1)], {"x": (1, 4)},
              {"k": numpy.array([2])}),
        UnsupportedOp, "reads 'i', an output beside the first",
    ),
    "peepholes": (
        model([node("LSTM", ["x", "w", "w", "", "", "", "", "p"], ["y"], hidden_size=1)], {"x": (2, 1, 1)},
              {"w": normal(1, 4, 1), "p": normal(1, 3)}, opset=14),
        UnsupportedOp, "has peepholes",
    ),
    "a batch of two": (
        model([node("Conv", ["x", "w"], ["y"])], {"x": (2, 1, 4)}, {"w": normal(1, 1, 2)}), UnsupportedOp,
        r"applied to \(2, 1, 4\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_by_name(name: str, tmp_path: Path) -> None:
    made, kind, told = REFUSED[name]
    with pytest.raises(kind, match=told):
        onnx_to_graph(saved(made, tmp_path))


BOMBS = {
    "ConstantOfShape": [node(
         "ConstantOfShape", ["big"], ["b"]), node("ReduceSum", ["b"], ["s"]), node("Add", ["x", "s"], ["y"])],
    "Expand": [node("Expand", ["x", "big"], ["b"]), node("ReduceSum", ["b"], ["y"])],
    "Tile": [node("Tile", ["x", "big2"], ["b"]), node("ReduceSum", ["b"], ["y"])],
    "Range": [node(
         "Range", ["zero", "most", "one"], ["b"]), node("ReduceSum", ["b"], ["s"]), node("Add", ["x", "s"], ["y"])],
    "Resize": [node("Resize", ["x", "", "", "big2"], ["b"]), node("ReduceSum", ["b"], ["y"])],
    "Pad": [node("Pad", ["x", "pads"], ["b"]), node("ReduceSum", ["b"], ["y"])],
    "MatMul": [node("Reshape", ["x", "column"], ["c"]), node("Tile", ["c", "tall"], ["t"]),
               node("Transpose", ["t"], ["u"]),
               node("MatMul", ["t", "u"], ["b"]), node("ReduceSum", ["b"], ["y"])],
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_promises_terabytes_is_refused(name: str, tmp_path: Path) -> None:
    constants: dict[str, Array] = {
        "big": numpy.array([10**4, 10**9, 4]),
        "big2": numpy.array([10**4, 10**9]),
        "pads": numpy.array([0, 0, 0, 10**13]),
        "zero": numpy.array(0, "float32"), "one": numpy.array(1, "float32"), "most": numpy.array(1e13, "float32"),
        "column": numpy.array([4, 1]), "tall": numpy.array([10**6, 1]),
    }  # fmt: skip
    with pytest.raises((InvalidFile, UnsupportedOp), match=r"at most|not fit|does not suit|products"):
        onnx_to_graph(saved(model(BOMBS[name], {"x": (1, 4)}, constants), tmp_path))


def test_files_that_are_no_networks_are_refused(tmp_path: Path) -> None:
    whole = network().SerializeToString()
    for name, data, told in (
        ("empty", b"", "no node or no output"),
        ("text", b"(declare-const X_0 Real)", "not an ONNX model"),
        ("cut", whole[: len(whole) // 2], "cut off|damaged|not valid|no node"),
        ("gzip", gzip.compress(whole)[:40], "cannot be read"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidFile, match=told):
            onnx_to_graph(tmp_path / name)
    for missing in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(InvalidFile, match="cannot be read"):
            onnx_to_graph(missing)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "", "missing.bin", "link.bin"])
def test_tensors_are_read_from_the_model_s_folder_alone(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(W.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    made = network()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    with pytest.raises(InvalidFile, match="no file in the model's folder"):
        onnx_to_graph(saved(made, folder))


def test_a_tensor_that_is_not_as_large_as_it_says_is_refused(tmp_path: Path) -> None:
    for change in (
        lambda t: t.dims.__setitem__(0, 10**12),
        lambda t: setattr(t, "raw_data", t.raw_data[:-1]),
        lambda t: t.dims.__setitem__(0, -4),
        lambda t: setattr(t, "data_type", TensorProto.STRING),
    ):
        made = network()
        change(made.graph.initializer[0])
        with pytest.raises(InvalidFile, match="tensor 'W'"):
            onnx_to_graph(saved(made, tmp_path))
