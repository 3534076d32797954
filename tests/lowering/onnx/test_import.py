"""Whole files: batches, names, dtypes, several inputs and outputs, and what is refused."""

from __future__ import annotations

import gzip
import pickle
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from absdomain import Graph, InvalidFile, UnsupportedOp, onnx_to_graph, ops
from absdomain.lowering.onnx import node_outputs, table
from tests.lowering.onnx.written import Array, W, executed, model, network, normal, saved

node = helper.make_node


@pytest.mark.parametrize(
    ("shape", "sample"),
    [((1, 4), (4,)), (("N", 4), (4,)), ((4,), (4,)), ((1, 1, 1, 4), (1, 1, 4)), ((1, 5, 4), (5, 4)), ((5, 4), (5, 4)),
     ((0, 4), (4,))],
)  # fmt: skip
def test_the_batch_is_the_first_axis_where_that_is_one_or_open(
    shape: tuple[int | str, ...], sample: tuple[int, ...], tmp_path: Path
) -> None:
    graph = onnx_to_graph(saved(network(shape), tmp_path))
    assert (graph.inputs, graph.outputs, graph.input.shape) == (("x",), ("y",), sample)
    x = torch.randn(7, *sample)
    torch.testing.assert_close(graph(x), (x @ torch.from_numpy(W)).relu())


def test_open_axes_take_the_sizes_that_are_given(tmp_path: Path) -> None:
    graph = onnx_to_graph(saved(network(("N", "length", 4)), tmp_path), sizes={"length": 6})
    assert graph.input.shape == (6, 4)
    for shape, told in ((("N", "length", 4), "'length': 1"), ((1, 0, 4), r"'x\[1\]': 1")):
        with pytest.raises(InvalidFile, match=rf"leaves the axes .* open.*sizes=.{told}"):
            onnx_to_graph(saved(network(shape), tmp_path))


def test_a_batch_that_is_not_first_is_a_sample_s_own_axis(tmp_path: Path) -> None:
    made = model([node("MatMul", ["V", "x"], ["y"])], {"x": (4, "N")}, {"V": W.T.copy()})
    graph, x = onnx_to_graph(saved(made, tmp_path)), torch.randn(7, 4, 1)
    assert (graph.input.shape, graph.output.shape) == ((4, 1), (3, 1))
    torch.testing.assert_close(graph(x), torch.from_numpy(W).T @ x)


def test_nodes_are_named_after_tensors_and_hidden_ones_can_be_asked_for(tmp_path: Path) -> None:
    graph = onnx_to_graph(saved(network(), tmp_path))
    assert [n.name for n in graph.nodes] == ["x", "z", "y"]
    assert graph.ending_at(["z"]).output.shape == (3,)
    assert pickle.loads(pickle.dumps(graph)).outputs == ("y",)


def test_nodes_of_the_file_are_found_by_their_own_names(tmp_path: Path) -> None:
    made = network()
    made.graph.node[0].name = "layer"
    assert node_outputs(saved(made, tmp_path)) == {"layer": "z"}


def test_several_inputs_and_outputs_go_by_their_names(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["a", "W"], ["p"]), node("Add", ["p", "b"], ["s"]), node("Relu", ["s"], ["r"])]
    made = model(nodes, {"a": (1, 4), "b": (1, 3), "unread": (2,)}, {"W": W}, ["s", "a", "r"])
    graph = onnx_to_graph(saved(made, tmp_path))
    assert (graph.inputs, graph.outputs) == (("a", "b", "unread"), ("s", "a", "r"))
    point = {"a": normal(1, 4), "b": normal(1, 3), "unread": normal(2)}
    x = graph.joined(
        {"a": torch.from_numpy(point["a"]), "b": torch.from_numpy(point["b"]), "unread": torch.zeros(1, 2)}
    )
    for found, wanted in zip(graph.named(graph(x)).values(), executed(made, point), strict=True):
        torch.testing.assert_close(found, torch.from_numpy(wanted))


def test_an_output_that_is_passed_on_has_its_own_name(tmp_path: Path) -> None:
    made = model([node("Identity", ["x"], ["i"]), node("Flatten", ["i"], ["y"])], {"x": (1, 4)}, outputs=["y", "i"])
    graph = onnx_to_graph(saved(made, tmp_path))
    assert graph.outputs == ("y", "i")


def test_gzipped_files_and_files_beside_it_are_read(tmp_path: Path) -> None:
    (tmp_path / "net.onnx.gz").write_bytes(gzip.compress(network().SerializeToString()))
    apart = network()
    external_data_helper.convert_model_to_external_data(apart, location="weights.bin", size_threshold=0)
    external_data_helper.write_external_data_tensors(apart, str(tmp_path))
    (tmp_path / "net.onnx").write_bytes(apart.SerializeToString())
    x = torch.randn(7, 4)
    for name in ("net.onnx.gz", "net.onnx"):
        torch.testing.assert_close(onnx_to_graph(tmp_path / name)(x), (x @ torch.from_numpy(W)).relu())


def test_weights_are_of_the_dtype_that_is_asked_for(tmp_path: Path) -> None:
    third = numpy.array(3, numpy.float32)
    nodes = [node("Div", ["W", "third"], ["V"]), node("MatMul", ["x", "V"], ["y"])]
    made = model(nodes, {"x": (1, 4)}, {"W": W, "third": third})
    exact = onnx_to_graph(saved(made, tmp_path), dtype=torch.float64)
    x = torch.randn(7, 4, dtype=torch.float64)
    torch.testing.assert_close(exact(x), x @ torch.from_numpy(W).double() / 3, rtol=1e-15, atol=1e-15)
    assert onnx_to_graph(saved(made, tmp_path))(x.float()).dtype == torch.float32


@pytest.mark.parametrize("element", [TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_a_file_may_have_another_dtype(element: int, tmp_path: Path) -> None:
    kind = helper.tensor_dtype_to_np_dtype(element)
    made = model([node("MatMul", ["x", "W"], ["y"])], {"x": (1, 4)}, {"W": W.astype(kind)}, element=element)
    graph = onnx_to_graph(saved(made, tmp_path))
    dtype = torch.float64 if element == TensorProto.DOUBLE else torch.float32
    x = torch.randn(7, 4, dtype=dtype)
    torch.testing.assert_close(graph(x), x @ torch.from_numpy(W.astype(kind).astype("float64")).to(dtype))


def test_what_depends_on_no_input_is_computed(tmp_path: Path) -> None:
    """x reshaped to sizes that its own shape tells, plus a constant that several nodes make."""
    nodes = [
        node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]), node("Unsqueeze", ["n", "axes"], ["m"]),
        node("Concat", ["m", "rest"], ["target"], axis=0), node("Reshape", ["x", "target"], ["v"]),
        node("ConstantOfShape", ["rest"], ["zeros"]),
        node("Exp", ["zeros"], ["ones"]),
        node("Add", ["v", "ones"], ["y"]),
    ]  # fmt: skip
    constants: dict[str, Array] = {"zero": numpy.array(0), "axes": numpy.array([0]), "rest": numpy.array([2, 2])}
    graph = onnx_to_graph(saved(model(nodes, {"x": ("N", 4)}, constants), tmp_path))
    x = torch.randn(7, 4)
    torch.testing.assert_close(graph(x), x.view(7, 2, 2) + 1)


def test_a_clip_ends_at_the_largest_float32_where_the_file_says_so(tmp_path: Path) -> None:
    """Some exporters mean that there is no end; of real numbers, and of float64, it is one."""
    far = numpy.finfo(numpy.float32).max
    ends = {"low": -far, "high": far, "a": 1e30, "s": 1e-38}
    constants: dict[str, Array] = {name: numpy.array(value, numpy.float32) for name, value in ends.items()}
    nodes = [node("Mul", ["x", "a"], ["p"]), node("Clip", ["p", "low", "high"], ["c"]), node("Mul", ["c", "s"], ["y"])]
    graph = onnx_to_graph(saved(model(nodes, {"x": (1, 1)}, constants), tmp_path), dtype=torch.float64)
    x = torch.tensor([[-5e9], [1.0], [5e9]], dtype=torch.float64)
    torch.testing.assert_close(graph(x), (x * 1e30).clamp(-float(far), float(far)) * 1e-38, rtol=1e-6, atol=0)


def test_truth_values_choose(tmp_path: Path) -> None:
    nodes = [
        node("Greater", ["x", "c"], ["g"]), node("LessOrEqual", ["x", "d"], ["l"]), node("And", ["g", "l"], ["a"]),
        node("Not", ["a"], ["n"]), node("Less", ["x", "c"], ["u"]), node("GreaterOrEqual", ["x", "d"], ["v"]),
        node("Or", ["n", "u"], ["o"]), node("And", ["o", "v"], ["b"]), node("Cast", ["a"], ["f"], to=1),
        node("Where", ["b", "x", "f"], ["w"]), node("Where", ["a", "c", "d"], ["k"]), node("Add", ["w", "k"], ["y"]),
    ]  # fmt: skip
    made = model(nodes, {"x": (1, 8)}, {"c": numpy.array(-0.5, "float32"), "d": numpy.array(0.7, "float32")})
    graph = onnx_to_graph(saved(made, tmp_path))
    x = normal(1, 8)
    torch.testing.assert_close(graph(torch.from_numpy(x)), torch.from_numpy(executed(made, {"x": x})[0]))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("shape", [(1, 2), (1, 3), (3, 4, 2)])
@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
def test_the_place_of_the_largest_entry(operator: str, shape: tuple[int, ...], last: int, tmp_path: Path) -> None:
    nodes = [node(operator, ["x"], ["i"], axis=1, select_last_index=last), node("Cast", ["i"], ["y"], to=1)]
    made = model(nodes, {"x": shape})
    graph = onnx_to_graph(saved(made, tmp_path))
    draw = numpy.random.default_rng(0)
    for _ in range(20):  # of few values, so that some are the same
        x = draw.integers(0, 3, shape).astype(numpy.float32)
        found = graph(torch.from_numpy(x).reshape(1, *graph.input.shape))
        torch.testing.assert_close(found.flatten(), torch.from_numpy(executed(made, {"x": x})[0]).flatten())


def test_numbers_of_eight_bits(tmp_path: Path) -> None:
    scales, zeros = numpy.array([0.1, 0.2, 0.3], "float32"), numpy.array([0, 3, -5], "int8")
    weights = numpy.arange(-6, 6, dtype="int8").reshape(4, 3)
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("DequantizeLinear", ["W", "scales", "zeros"], ["V"], axis=1), node("MatMul", ["d", "V"], ["y"]),
    ]  # fmt: skip
    constants = {"s": numpy.array(0.05, "float32"), "z": numpy.array(10, "uint8"), "W": weights}
    made = model(nodes, {"x": (1, 4)}, constants | {"scales": scales, "zeros": zeros})
    graph, x = onnx_to_graph(saved(made, tmp_path)), normal(1, 4)
    torch.testing.assert_close(graph(torch.from_numpy(x)), torch.from_numpy(executed(made, {"x": x})[0]))


def test_a_rule_that_is_wrong_is_found_by_its_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx_to_graph(saved(network(), tmp_path))
    for wrong in (ops.Abs(), ops.LeakyReLU(1e-9)):
        monkeypatch.setitem(table.RULES, "Relu", lambda call, x, op=wrong: call.apply(op, x))
        with pytest.raises(
            ValueError, match=r"differs from .*written.onnx by .* at node 'y'.*which stands for Relu 'y'"
        ):
            onnx_to_graph(saved(network(), tmp_path))
    assert isinstance(onnx_to_graph(saved(network(), tmp_path), check=False), Graph)


def test_all_that_is_unsupported_is_told_of_at_once(tmp_path: Path) -> None:
    nodes = [
        node("Det", ["x"], ["a"]),
        node("Bernoulli", ["a"], ["b"]),
        node("Relu", ["b"], ["c"]),
        node("Hardmax", ["c"], ["y"]),
    ]
    with pytest.raises(UnsupportedOp) as told:
        onnx_to_graph(saved(model(nodes, {"x": (2, 2)}), tmp_path))
    for part in ("3 unsupported:", "Det at 'a'", "Bernoulli at 'b'", "Hardmax at 'y'", "lowering.onnx.table.lowers"):
        assert part in str(told.value)


def test_without_the_extra_the_error_says_how_to_install_it() -> None:
    code = """
import sys
sys.modules["onnx"] = None
import absdomain
try:
    absdomain.onnx_to_graph("net.onnx")
except absdomain.MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "absdomain[onnx]"' in done.stdout, done.stderr


def test_a_plug_in_adds_a_rule_for_an_operator_of_its_own_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "RULES", dict(table.RULES))
    made = model([node("Soft", ["x"], ["y"], domain="ours")], {"x": (1, 4)})
    made.opset_import.append(helper.make_opsetid("ours", 1))
    with pytest.raises(UnsupportedOp, match="ours::Soft at 'y' has no rule"):
        onnx_to_graph(saved(made, tmp_path))
    monkeypatch.setitem(table.RULES, "ours::Soft", lambda call, x: call.apply(ops.Softplus(), x))
    with pytest.raises(UnsupportedOp, match="has no rule"):  # the walk has the table of the library
        onnx_to_graph(saved(made, tmp_path))


def test_numbers_of_a_tensor_may_stand_in_any_field(tmp_path: Path) -> None:
    made = network()
    tensor = helper.make_tensor("W", TensorProto.FLOAT, W.shape, W.flatten().tolist())
    made.graph.initializer[0].CopyFrom(tensor)
    assert not made.graph.initializer[0].HasField("raw_data")
    torch.testing.assert_close(
        onnx_to_graph(saved(made, tmp_path))(torch.eye(4)),
        torch.from_numpy(numpy_helper.to_array(tensor).copy()).relu(),
    )
