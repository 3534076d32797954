"""ONNX file -> Graph."""

from absdomain.lowering.onnx.front import onnx_to_graph

__all__ = ["onnx_to_graph"]
