"""A network as an ONNX file: the architecture as it was lowered, the weights under their names in the module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from absdomain.errors import NoCertificate
from absdomain.graph import Graph
from absdomain.kinds import Op
from absdomain.ops import Add, AvgPool, BatchNorm, Conv, Dense, Pad, ReLU, Reshape, Scale

_OPSET = 13


def onnx_of(graph: Graph, module: nn.Module) -> tuple[bytes, bool]:
    """(the bytes, whether their floats are the module's parameters and buffers, and no others), of the module's graph.

    Errors: NoCertificate with the operation that has no counterpart.
    """
    own = {name: t.detach().cpu().double() for name, t in module.state_dict().items() if t.is_floating_point()}
    made = _File(own)
    with torch.no_grad():
        for step in graph.schedule:
            args = [f"n{a}" for a in step.args]
            made.add(step.op, args, f"n{step.place}", graph.nodes[step.place].shape)
    ends = [
        helper.make_tensor_value_info(f"n{place}", TensorProto.DOUBLE, [1, *graph.nodes[place].shape])
        for place in (0, len(graph.nodes) - 1)
    ]
    held = [numpy_helper.from_array(array, name) for name, array in made.arrays.items()]
    file = helper.make_model(
        helper.make_graph(made.nodes, "network", ends[:1], ends[1:], held),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=8,
    )
    floats = {name for name, array in made.arrays.items() if array.dtype.kind == "f"}
    return file.SerializeToString(deterministic=True), floats == own.keys()


@dataclass(eq=False)
class _File:
    """Nodes and arrays, of which those that equal a tensor of `own` have its name."""

    own: dict[str, Tensor]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def held(self, t: Tensor) -> str:
        """The name of an array."""
        name = self._named(t)
        if name is None:
            name = f"c{len(self.arrays)}"
            self.arrays[name] = t.detach().cpu().numpy()
        return name

    def _named(self, t: Tensor, change: Callable[[Tensor], Tensor] = lambda own: own) -> str | None:
        """The tensor of the module of which `change` makes these numbers, held from now on; of several a new one."""
        t = t.detach().cpu().double()
        found = [name for name, own in self.own.items() if own.shape == t.shape and torch.equal(change(own), t)]
        name = next((name for name in found if name not in self.arrays), found[0] if found else None)
        if name is not None:
            self.arrays[name] = self.own[name].numpy()
        return name

    def node(self, kind: str, args: list[str], out: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, args, [out], **attributes))

    def floats(self, *tensors: Tensor | None) -> list[str]:
        """The names of arrays, less what is None at the end."""
        return [self.held(t) for t in tensors if t is not None]

    @singledispatchmethod
    def add(self, op: Op, args: list[str], out: str, shape: tuple[int, ...]) -> None:
        """The nodes of an operation; `shape` is that of its value, without the batch."""
        raise NoCertificate(f"an operation {type(op).__name__} is not written as ONNX")

    @add.register
    def _(self, op: Dense, args: list[str], out: str, shape: tuple[int, ...]) -> None:
        if len(shape) != 1 or op.weight.dim() != 2:
            raise NoCertificate("a matrix on one of several axes is not written as ONNX")
        self.node("Gemm", args + self.floats(op.weight, op.bias), out, transB=1)

    @add.register
    def _(self, op: Conv, args: list[str], out: str, shape: tuple[int, ...]) -> None:
        self.node(
            "Conv", args + self.floats(op.weight, op.bias), out, strides=op.stride, dilations=op.dilation,
            pads=[*op.padding, *op.padding], group=op.groups,
        )  # fmt: skip

    @add.register
    def _(self, op: ReLU, args: list[str], out: str, shape: tuple[int, ...]) -> None:
        self.node("Relu", args, out)

    @add.register
    def _(self, op: Add, args: list[str], out: str, shape: tuple[int, ...]) -> None:
        for k, other in enumerate(args[1:], 1):
            last = k + 1 == len(args)
            self.node("Add", [args[0] if k == 1 else f"{out}_{k - 1}", other], out if last else f"{out}_{k}")

    @add.register
    def _(self, op: Reshape, args: list[str], out: str, shape: tuple[int, ...]) -> None:
        self.node("Reshape", [*args, self.held(torch.tensor([1, *shape]))], out)

    @add.register
    def _(self, op: Pad, args: list[str], out: str, shape: tuple[int, ...]) -> None:
        pairs = list(zip(op.amounts[::2], op.amounts[1::2], strict=True))[::-1]  # torch has the last axis first
        pairs = [(0, 0)] * (len(shape) + 1 - len(pairs)) + pairs
        self.node("Pad", [*args, self.held(torch.tensor([p[k] for k in (0, 1) for p in pairs]))], out)

    @add.register
    def _(self, op: AvgPool, args: list[str], out: str, shape: tuple[int, ...]) -> None:
        if op.ceil_mode or op.divisor is not None:
            raise NoCertificate("an average of windows with ceil_mode, or a divisor, is not written as ONNX")
        self.node(
            "AveragePool", args, out, kernel_shape=op.kernel, strides=op.stride, pads=[*op.padding, *op.padding],
            count_include_pad=int(op.count_include_pad),
        )  # fmt: skip

    @add.register
    def _(self, op: BatchNorm, args: list[str], out: str, shape: tuple[int, ...]) -> None:
        one, zero = torch.ones_like(op.mean), torch.zeros_like(op.mean)
        given = (one if op.gain is None else op.gain, zero if op.shift is None else op.shift, op.mean, op.variance)
        self.node("BatchNormalization", args + self.floats(*given), out, epsilon=op.eps)

    @add.register
    def _(self, op: Scale, args: list[str], out: str, shape: tuple[int, ...]) -> None:
        """w x + b; as x / s and x - m where w = 1 / s and b = -m for tensors of the module."""
        parts = [("Mul", "Div", op.weight, torch.reciprocal), ("Add", "Sub", op.bias, torch.neg)]
        some = [(kind, inverse, t, change) for kind, inverse, t, change in parts if t is not None]
        for k, (kind, inverse, t, change) in enumerate(some):
            name = self._named(t, change)
            last = k + 1 == len(some)
            self.node(
                kind if name is None else inverse, [f"{out}_0" if k else args[0], name or self.held(t)],
                out if last else f"{out}_0",
            )  # fmt: skip
