"""Models that are run: by onnxruntime, and by ONNX's reference where that has no kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import onnxruntime
from onnx import ModelProto

from absdomain.lowering.onnx.table import Array


class Evaluator(Protocol):
    """A model that can be run."""

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, Array], /) -> Sequence[Array]:
        """The outputs of these names, or all."""


def evaluator(model: ModelProto) -> Evaluator:
    """Of onnxruntime, or else of the reference, whose first use takes a second."""
    found = compiled(model)
    if found is not None:
        return found
    from onnx.reference import ReferenceEvaluator

    reference: Any = ReferenceEvaluator(model)
    return reference  # type: ignore[no-any-return]


def compiled(model: ModelProto) -> Evaluator | None:
    """Of onnxruntime, without its rewritings and on one thread; None: it lacks a kernel."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    except Exception:  # it says in classes of its own what it lacks
        return None
