"""Small ONNX networks and properties for the tests of certificates."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_STARTS = 20  # of descents: from one alone the least value of a ball was missed


def model(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shape: list[int], out: str = "y") -> bytes:
    """The bytes of a network from x, of this shape, to `out`."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return made.SerializeToString()


def dense(seed: int, widths: list[int], curve: str = "Relu") -> bytes:
    """Layers of random weights with a curve between them."""
    rng, nodes, weights, last = np.random.default_rng(seed), [], {}, "x"
    for k, (n, m) in enumerate(pairwise(widths)):
        weights[f"w{k}"] = (rng.standard_normal((n, m)) / np.sqrt(n)).astype(np.float32)
        weights[f"b{k}"] = (0.3 * rng.standard_normal(m)).astype(np.float32)
        end = k + 2 == len(widths)
        nodes.append(helper.make_node("Gemm", [last, f"w{k}", f"b{k}"], ["y" if end else f"z{k}"]))
        if not end:
            nodes.append(helper.make_node(curve, [f"z{k}"], [f"a{k}"]))
        last = f"a{k}"
    return model(nodes, weights, [1, widths[0]])


def images(seed: int, pool: str = "MaxPool") -> bytes:
    """Conv, batch norm, relu, a residual block, pooling and a dense layer: 1 x 4 x 4 to 3."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)

    weights = {
        "w0": drawn(2, 1, 3, 3), "b0": np.array([0.2, 0.3], np.float32), "w1": drawn(2, 2, 3, 3), "w2": drawn(8, 3),
        "b2": drawn(3, 1)[:, 0],
        "s": np.array([0.7, 1.3], np.float32), "t": np.array([0.1, -0.2], np.float32),
        "mu": np.array([0.05, 0.1], np.float32), "v": np.array([0.9, 1.7], np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c0", "s", "t", "mu", "v"], ["n0"]),
        helper.make_node("Relu", ["n0"], ["a0"]),
        helper.make_node("Conv", ["a0", "w1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Add", ["r1", "a0"], ["a1"]),
        helper.make_node(pool, ["a1"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"]),
    ]
    return model(nodes, weights, [1, 1, 4, 4])


def box(lower: np.ndarray, upper: np.ndarray, outputs: int, *rows: str) -> bytes:
    """VNN-LIB 1.0: inputs in a box, and the rows, which are unsafe together."""
    lines = [f"(declare-const X_{i} Real)" for i in range(len(lower))]
    lines += [f"(declare-const Y_{j} Real)" for j in range(outputs)]
    for i, (low, high) in enumerate(zip(lower, upper, strict=True)):
        lines += [f"(assert (>= X_{i} {low:.12f}))", f"(assert (<= X_{i} {high:.12f}))"]
    return "\n".join([*lines, *(f"(assert {row})" for row in rows)]).encode()


def around(net: bytes, seed: int, size: int, outputs: int, radius: float, room: float) -> bytes:
    """A ball in which Y_0 <= t is unsafe, t so far below the least value that was found as `room` says of the range."""
    from absdomain_check.network import read_network

    rng = np.random.default_rng(seed)
    centre = rng.uniform(-1, 1, size)
    t = rng.uniform(-1, 1, (2000, size))
    read = read_network(net)
    y = read.evaluate(centre + radius * t)[-1][:, 0]
    wide, best = y.max() - y.min(), t[y.argsort()[:_STARTS]]
    for _ in range(4):  # entry by entry to the end that is lower
        for i in range(size):
            ends = np.repeat(best[:, None], 3, 1)
            ends[:, 1:, i] = (-1, 1)
            found = read.evaluate(centre + radius * ends.reshape(-1, size))[-1][:, 0].reshape(-1, 3)
            best = np.take_along_axis(ends, found.argmin(1)[:, None, None], 1)[:, 0]
    t = read.evaluate(centre + radius * best)[-1][:, 0].min() - room * wide - 1e-3
    return box(centre - radius, centre + radius, outputs, f"(<= Y_0 {t:.12f})")


def shuffled(rng: Random, data: bytes) -> bytes:
    """The bytes with a random change."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        kind, at = rng.randrange(4), rng.randrange(max(1, len(changed)))
        if kind == 0 and changed:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[at : at + rng.randint(1, 4)]
        elif kind == 2:
            changed[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 4)))
        elif changed:
            changed[at] = rng.choice((0, 1, 2, 3, 4, 5, 6, 127, 128, 255))
    return bytes(changed)
