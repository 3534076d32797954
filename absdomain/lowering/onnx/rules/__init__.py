"""The table from ONNX operators to ops; a rule is a line or a few."""

from absdomain.lowering.onnx.rules import (
    activations,
    arithmetic,
    choices,
    comparisons,
    composites,
    interpolation,
    layout,
    pooling,
    quantised,
    recurrent,
    reductions,
    sums,
    weights,
)

__all__ = [
    "activations",
    "arithmetic",
    "choices",
    "comparisons",
    "composites",
    "interpolation",
    "layout",
    "pooling",
    "quantised",
    "recurrent",
    "reductions",
    "sums",
    "weights",
]
