"""ONNX file -> Graph."""

from absdomain.lowering.onnx.front import node_outputs, onnx_to_graph, operators

__all__ = ["node_outputs", "onnx_to_graph", "operators"]
