"""What a module computes for one sample, where it asks whether there is one.

Libraries ask so before they lay a constant out for a batch, which changes nothing. The module is traced once more with
its own questions answered as for one sample; the two programs are to be one, but for calls that do nothing to it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

_LAID = {"aten.expand.default", "aten.slice.Tensor", "aten.repeat.default"}  # may leave a batch of one as it is
_SIZES = (int, float, bool, torch.SymInt, torch.SymFloat, torch.SymBool)


def alike(many: ExportedProgram, alone: ExportedProgram) -> bool:
    """Whether two functional programs are one for a batch of one; False where that is not seen."""
    table: dict[str, int] = {}
    return _outputs(many, table) == _outputs(alone, table)


def _outputs(program: ExportedProgram, table: dict[str, int]) -> str:
    """What it returns, in terms of the calls in the table, each of which stands there once."""
    known: dict[fx.Node, int] = {}
    for node in program.graph.nodes:
        if node.op == "output":
            return repr(fx.node.map_arg(node.args[0], known.__getitem__))
        source = node.args[0] if node.args else None
        if str(node.target) in _LAID and isinstance(source, fx.Node) and _shape(node) == _shape(source):
            known[node] = known[source]
        else:
            told = _told(program, node, known)
            known[node] = table.setdefault(told, len(table))
    raise ValueError("an exported program has an output")  # torch.export's own law


def _told(program: ExportedProgram, node: fx.Node, known: dict[fx.Node, int]) -> str:
    """A size by its value for one sample, an input or a parameter by its name, a call by its arguments."""
    value = node.meta.get("val")
    if isinstance(value, _SIZES):
        return f"size {_single(value)}"
    if node.op != "call_function":
        constant = program.graph_signature.inputs_to_lifted_tensor_constants.get(node.name)
        held: Any = program.constants.get(constant) if constant is not None else None
        return f"{node.op} {_name(program, node) if held is None else (held.dtype, held.shape, held.tolist())}"
    return f"{node.target} {fx.node.map_arg((node.args, node.kwargs), lambda n: f'%{known[n]}')!r}"


def _name(program: ExportedProgram, node: fx.Node) -> str:
    """The path of a parameter or a buffer, or the input's own name."""
    signature = program.graph_signature
    state = signature.inputs_to_parameters.get(node.name) or signature.inputs_to_buffers.get(node.name)
    return f"{node.name} {state}"


def _shape(node: fx.Node) -> list[Any]:
    return [_single(size) for size in node.meta["val"].shape]


def _single(size: Any) -> Any:
    """What it is for one sample."""
    expression = getattr(getattr(size, "node", None), "expr", size)
    symbols = getattr(expression, "free_symbols", ())
    return expression.subs(dict.fromkeys(symbols, 1)) if symbols else expression
