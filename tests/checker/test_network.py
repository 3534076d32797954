"""The checker's reader of ONNX: what it does not know, it refuses, so that no other network is proved."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from absdomain_check import Unreadable
from absdomain_check.affine import Scale, Total
from absdomain_check.network import RELU, Builder, Value, read_network
from tests.checker.networks import model

FIVE, PAIR = np.float32([5]), np.float32([[1, 2]])


def named(operator: str, inputs: str, out: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(" "), [out], **attributes)


def added(operator: str, inputs: str, weights: dict[str, Any], **attributes: Any) -> bytes:
    """x plus an operation on constants alone."""
    return model([named(operator, inputs, "k", **attributes), named("Add", "x k")], weights, [1, 1])


ALONE = {  # was read as if it read the node before it
    "Relu": ("c", {"c": FIVE}),
    "Tanh": ("c", {"c": FIVE}),
    "Abs": ("c", {"c": FIVE}),
    "Sigmoid": ("c", {"c": FIVE}),
    "Neg": ("c", {"c": FIVE}),
    "LeakyRelu": ("c", {"c": FIVE}),
    "Mul": ("c d", {"c": FIVE, "d": FIVE}),
    "Div": ("c d", {"c": FIVE, "d": FIVE}),
    "MatMul": ("c d", {"c": PAIR, "d": PAIR.T}),
    "Gemm": ("c d", {"c": PAIR, "d": PAIR.T}),
    "ReduceMean": ("c", {"c": PAIR}),
    "Max": ("c d", {"c": FIVE, "d": FIVE}),
}


@pytest.mark.parametrize("operator", ALONE)
def test_an_operation_on_constants_alone_is_refused(operator: str) -> None:
    inputs, weights = ALONE[operator]
    with pytest.raises(Unreadable, match="constant"):
        read_network(added(operator, inputs, weights))


@pytest.mark.parametrize(("low", "high"), [(np.inf, 5.0), (0.0, -np.inf), (np.nan, 5.0)])
def test_a_clip_whose_end_is_no_number_and_matters_is_refused(low: float, high: float) -> None:
    weights = {"low": np.float32(low), "high": np.float32(high)}
    with pytest.raises(Unreadable, match="finite"):
        read_network(model([named("Clip", "x low high")], weights, [1, 1]))


def test_a_clip_whose_infinite_ends_do_not_matter_is_the_identity() -> None:
    weights = {"low": np.float32(-np.inf), "high": np.float32(np.inf)}
    net = read_network(model([named("Clip", "x low high")], weights, [1, 1]))
    assert net.evaluate(np.array([[3.0]]))[-1].tolist() == [[3.0]]


SPREAD = {  # attributes of a transposed convolution of 4 channels of 3 x 2
    "plain": {},
    "strides": {"strides": [2, 3], "output_padding": [1, 2], "kernel_shape": [3, 2]},
    "pads": {"strides": [2, 2], "pads": [1, 0, 2, 1]},
    "dilations": {"dilations": [2, 3], "pads": [1, 1, 1, 1]},
    "groups": {"group": 2, "strides": [2, 1]},
}


@pytest.mark.parametrize("case", SPREAD)
def test_a_transposed_convolution_is_what_onnxruntime_computes(case: str) -> None:
    rng, group = np.random.default_rng(0), SPREAD[case].get("group", 1)
    weights = {"w": rng.standard_normal((4, 3, 3, 2)).astype(np.float32)}
    weights["b"] = rng.standard_normal(3 * group).astype(np.float32)
    data = model([named("ConvTranspose", "x w b", **SPREAD[case])], weights, [1, 4, 3, 2])
    x = rng.standard_normal((1, 4, 3, 2)).astype(np.float32)
    (theirs,) = pytest.importorskip("onnxruntime").InferenceSession(data).run(None, {"x": x})
    (own,) = read_network(data).evaluate(x.reshape(1, -1).astype(np.float64))[-1]
    assert own.shape == theirs.reshape(-1).shape
    np.testing.assert_allclose(own, theirs.reshape(-1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"auto_pad": "SAME_UPPER"}, {"output_shape": [4, 4]}, {"strides": [0, 1]}, {"pads": [9, 0, 9, 0]}, {"group": 3},
        {"output_padding": [1, 0]}, {"pads": [-1, 0, 0, 0]}, {"pads": [0, 0]}, {"kernel_shape": [2, 2]}, {"unheard": 1},
        {"strides": [1, 1, 1]}, {"dilations": [0, 1]},
    ],
    ids=str,
)  # fmt: skip
def test_a_transposed_convolution_that_is_not_known_is_refused(wrong: dict[str, Any]) -> None:
    data = model([named("ConvTranspose", "x w", **wrong)], {"w": np.ones((4, 3, 3, 2), np.float32)}, [1, 4, 3, 2])
    with pytest.raises(Unreadable):
        read_network(data)


UNKNOWN = {  # an attribute or an input that changes the value
    "shape of a part": ([named("Shape", "x", "s", start=1), named("Reshape", "x s")], {}),
    "windows of another size": ([named("Conv", "x w", kernel_shape=[2, 2])], {"w": np.ones((1, 1, 1, 1), np.float32)}),
    "unheard of": ([named("Relu", "x", surprise=1)], {}),
    "axes of padding": (
        [named("Pad", "x pads none axes")],
        {"pads": np.int64([0, 0, 1, 0, 0, 0, 0, 0]), "none": np.float32(0), "axes": np.int64([2, 3, 0, 1])},
    ),
}


@pytest.mark.parametrize("shape", [(3, 3, 1), (2, 3, 3), (1, 3, 1, 1), ()])
def test_a_vector_times_a_batch_of_matrices_is_refused(shape: tuple[int, ...]) -> None:
    """It was contracted over the batch, and its many entries were taken for one."""
    weights = {"w": np.ones(shape, np.float32)}
    nodes = [named("MatMul", "x w", "a"), named("Relu", "a", "r"), named("ReduceSum", "r")]
    with pytest.raises(Unreadable, match="batch"):
        read_network(model(nodes, weights, [shape[0] if shape else 3]))


def test_an_operation_on_values_of_another_size_is_refused() -> None:
    """Numpy would broadcast one entry to many."""
    build = Builder()
    build.net.add((), 3)
    for wrong in (Scale((1,), 1), Total((3, 1), 3, signs=(1, 1))):
        with pytest.raises(Unreadable, match="entries"):
            build.net.add((0,) * len(wrong.sizes), wrong.size, wrong)
    with pytest.raises(Unreadable, match="entries"):
        build.curve(Value((), 0), RELU)


@pytest.mark.parametrize("pool", ["MaxPool", "AveragePool"])
def test_pools_that_programs_read_differently_or_of_many_images_are_refused(pool: str) -> None:
    dilated = {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER", "dilations": [2, 1]}
    for attributes, images in ((dilated, 1), ({"kernel_shape": [2, 2]}, 2)):
        with pytest.raises(Unreadable, match=r"auto_pad|one image"):
            read_network(model([named(pool, "x", **attributes)], {}, [images, 1, 3, 3]))
    read_network(model([named(pool, "x", **{**dilated, "dilations": [1, 1]})], {}, [1, 1, 3, 3]))


@pytest.mark.parametrize(
    ("node", "weights"),
    [
        (named("LeakyRelu", "x", alpha=np.inf), {}),
        (named("Gemm", "x w", alpha=1e30), {"w": np.full((1, 1), 1e300)}),
    ],
    ids=["infinite", "beyond float64"],
)
def test_products_beyond_the_floats_are_unreadable(node: onnx.NodeProto, weights: dict[str, Any]) -> None:
    """They ended in an error of Python's own."""
    with pytest.raises(Unreadable):
        read_network(model([node], weights, [1, 1]))


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_no_rule_reads_is_refused(case: str) -> None:
    nodes, weights = UNKNOWN[case]
    with pytest.raises(Unreadable):
        read_network(model(nodes, weights, [1, 1, 2, 2]))


def test_an_attribute_that_is_given_twice_is_refused() -> None:
    node = named("LeakyRelu", "x", alpha=0.5)
    node.attribute.append(helper.make_attribute("alpha", 0.25))
    with pytest.raises(Unreadable, match="twice"):
        read_network(model([node], {}, [1, 1]))


def test_a_reduction_over_no_axes_that_is_said_to_be_none_is_the_identity() -> None:
    net = read_network(model([named("ReduceMean", "x", noop_with_empty_axes=1)], {}, [1, 3]))
    assert net.evaluate(np.array([[1.0, 2.0, 6.0]]))[-1].tolist() == [[1.0, 2.0, 6.0]]
    net = read_network(model([named("ReduceMean", "x")], {}, [1, 3]))
    assert net.evaluate(np.array([[1.0, 2.0, 6.0]]))[-1].tolist() == [[3.0]]


@pytest.mark.parametrize(("opset", "kind"), [(6, TensorProto.FLOAT), (99, TensorProto.FLOAT), (13, TensorProto.INT64)])
def test_old_and_unknown_opsets_and_whole_numbers_are_refused(opset: int, kind: int) -> None:
    ends = [helper.make_tensor_value_info(name, kind, [1, 1]) for name in "xy"]
    two = numpy_helper.from_array(np.array([2], helper.tensor_dtype_to_np_dtype(kind)), "two")
    graph = helper.make_graph([named("Div", "x two")], "g", ends[:1], ends[1:], [two])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    with pytest.raises(Unreadable, match=r"opset|float"):
        read_network(made.SerializeToString())


def test_what_exporters_write_and_changes_nothing_is_read() -> None:
    """Attributes as torch and tf2onnx write them, and the sum of each window of 2 x 2 of 1, 2, 3, 4 times 2."""
    nodes = [
        named("Conv", "x w", "c", dilations=[1, 1], group=1, kernel_shape=[2, 2], pads=[0, 0, 0, 0], strides=[1, 1]),
        named("BatchNormalization", "c s z z s", "n", epsilon=0.0, momentum=0.9),
        named("MaxPool", "n", kernel_shape=[1, 1], ceil_mode=0, storage_order=0, strides=[1, 1]),
    ]
    weights = {"w": np.full((1, 1, 2, 2), 2, np.float32), "s": np.ones(1, np.float32), "z": np.zeros(1, np.float32)}
    net = read_network(model(nodes, weights, [1, 1, 2, 2]))
    assert net.evaluate(np.array([[1.0, 2.0, 3.0, 4.0]]))[-1].tolist() == [[20.0]]
