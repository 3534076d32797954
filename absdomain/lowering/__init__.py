"""Networks of others -> Graph: nn.Module, and ONNX files."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from absdomain.errors import InvalidFile, MissingExtra, UnsupportedOp

if TYPE_CHECKING:
    from absdomain.lowering.onnx import onnx_to_graph
    from absdomain.lowering.table import Activation, Call, lowers
    from absdomain.lowering.walk import to_graph

# loaded at first use: neither front end waits for what the other one imports
_LAZY = {"Activation": "table", "Call": "table", "lowers": "table", "onnx_to_graph": "onnx", "to_graph": "walk"}

__all__ = [
    "Activation",
    "Call",
    "InvalidFile",
    "MissingExtra",
    "UnsupportedOp",
    "lowers",
    "onnx_to_graph",
    "to_graph",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"absdomain.lowering.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'absdomain.lowering' has no attribute {name!r}")
