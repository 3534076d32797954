"""ONNX file -> Graph."""

from absdomain.lowering.onnx.front import node_outputs, onnx_to_graph

__all__ = ["node_outputs", "onnx_to_graph"]
