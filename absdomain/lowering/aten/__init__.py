"""The table from ATen overloads to ops; a rule is a line or a few."""

from absdomain.lowering.aten import (
    activations,
    arithmetic,
    composites,
    interpolation,
    layout,
    masks,
    norms,
    ordering,
    placing,
    pooling,
    products,
    recurrent,
    weights,
)

__all__ = [
    "activations",
    "arithmetic",
    "composites",
    "interpolation",
    "layout",
    "masks",
    "norms",
    "ordering",
    "placing",
    "pooling",
    "products",
    "recurrent",
    "weights",
]
