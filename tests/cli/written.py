"""Small ONNX files and properties of them: y = |x_0 - x_1| over the unit square."""

from __future__ import annotations

from pathlib import Path

import numpy
from onnx import helper

from tests.lowering.onnx.written import model

BOX = "".join(
    f"(declare-const X_{i} Real)\n(assert (>= X_{i} 0.0))\n(assert (<= X_{i} 1.0))\n" for i in range(2)
) + "(declare-const Y_0 Real)\n"  # fmt: skip
SAT, UNSAT = "(assert (>= Y_0 0.5))\n", "(assert (>= Y_0 1.5))\n"

TWO = """(vnnlib-version <2.0>)
(declare-network f (declare-input A float32 [1,2]) (declare-output B float32 [1,1]))
(declare-network g (declare-input C float32 [1,2]) (declare-output D float32 [1,1]))
(assert (and (>= A[0,0] 0) (<= A[0,0] 1) (>= A[0,1] 0) (<= A[0,1] 1)))
(assert (and (== A[0,0] C[0,0]) (== A[0,1] C[0,1])))
(assert (>= D[0,0] (+ B[0,0] LIMIT)))
"""


def network(path: Path, *, slope: float = 1.0) -> Path:
    """The file of y = slope (relu(x_0 - x_1) + relu(x_1 - x_0))."""
    W = numpy.array([[1.0, -1.0], [-1.0, 1.0]], numpy.float32)
    V = numpy.full((2, 1), slope, numpy.float32)
    node = helper.make_node
    nodes = [node("MatMul", ["x", "W"], ["z"]), node("Relu", ["z"], ["h"]), node("MatMul", ["h", "V"], ["y"])]
    path.write_bytes(model(nodes, {"x": (1, 2)}, {"W": W, "V": V}).SerializeToString())
    return path


def unsafe(path: Path, assertion: str) -> Path:
    """The file of a property in VNN-LIB 1.0."""
    path.write_text(BOX + assertion)
    return path
