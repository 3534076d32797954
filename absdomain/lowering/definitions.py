"""Operations outside the table, written out as PyTorch itself defines them by others.

PyTorch keeps a definition of many operations for compilers: a cosine similarity as norms and products, a gated unit as
halves and a product. What the table has a rule for stays whole, since a rule knows more than the definition says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from absdomain.lowering.export import Exported, tracing

_ROUNDS = 4  # definitions name operations that are defined themselves


def written_out(exported: Exported, known: Collection[str]) -> Exported:
    """The program with definitions for what depends on an input, is not known by its name, and has one."""
    for _ in range(_ROUNDS):
        missing = {node.target for node in _moving(exported) if str(node.target) not in known}
        missing = {target for target in missing if isinstance(target, torch._ops.OpOverload)}
        table: Any = torch.export.default_decompositions() if missing else {}
        found = {target: table[target] for target in missing if target in table}
        if not found:
            break
        with tracing():
            exported = replace(exported, program=exported.program.run_decompositions(found))
    return exported


def _moving(exported: Exported) -> Iterator[fx.Node]:
    """The calls that depend on an input's entries: not those that read its size."""
    reached = set(exported.inputs)
    for node in exported.nodes:
        depends = node.op == "call_function" and any(arg in reached for arg in node.all_input_nodes)
        if depends and not isinstance(node.meta.get("val"), torch.SymInt | int):
            reached.add(node)
            yield node
