"""What of a module has no place in a graph: every call of it at once, with its kind and its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from absdomain.errors import UnsupportedOp

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_TORCH = str(Path(torch.__file__).parent)
_STEPS = (1e-2, 1.0, 30.0)  # of the arguments: a function that is affine on all of them is said to be affine
_FEW = 1e-4  # of the values' size: what rounding may do to them


class Structural(UnsupportedOp):
    """What a call does with samples, sizes or chance, rather than with numbers, is refused."""


class Unruled(UnsupportedOp):
    """A call that the table has no rule for; what is missing depends on what it does with numbers."""

    def told(self, kind: str) -> str:
        """The message for a call of this kind."""
        return f"{self} {_MISSING[kind]}"


_MISSING = {
    "affine": "has no rule, and is affine in its input: register one (absdomain.lowering.lowers) that applies an op of "
    "absdomain.ops, or your own (absdomain.kinds.Affine); nothing is to be relaxed",
    "nonlinear": "is neither Affine nor Nonlinear; give it a band (absdomain.kinds.Nonlinear) and register it "
    "(absdomain.lowering.lowers)",
    "complex": "has complex numbers, and a graph has real ones; write a transform as products with its constant real "
    "matrices (x @ C and x @ S)",
    "structural": "has no rule, and is no function of real numbers alone; write it by operations that have one, or "
    "register a rule (absdomain.lowering.lowers)",
}


@dataclass(frozen=True)
class Unknown:
    """The value of a call that has been refused, where no activation can stand for it: what reads it is not asked."""


@dataclass(frozen=True, eq=False)
class Blocker:
    """A call that has been refused."""

    node: fx.Node
    refusal: UnsupportedOp
    structural: bool

    def told(self, moving: Callable[[fx.Node], bool], values: Mapping[fx.Node, Any]) -> str:
        """The message, its kind and the line of the module that makes the call."""
        kind = "structural" if self.structural else _kind(self.node, moving, values)
        about = ", ".join(filter(None, (kind, _line(self.node))))
        message = self.refusal.told(kind) if isinstance(self.refusal, Unruled) else str(self.refusal)
        return f"{message} [{about}]"


def refuse(blockers: Sequence[Blocker], moving: Callable[[fx.Node], bool], values: Mapping[fx.Node, Any]) -> None:
    """UnsupportedOp that lists them, if there are any; `moving` says what depends on the input, `values` are some."""
    told = list(dict.fromkeys(blocker.told(moving, values) for blocker in blockers))
    if len(told) == 1:
        raise UnsupportedOp(told[0])
    if told:
        listed = "\n".join(f"  {number}. {text}" for number, text in enumerate(told, 1))
        raise UnsupportedOp(f"{len(told)} calls of the module have no place in a graph:\n{listed}")


def _line(node: fx.Node) -> str:
    """file:line of the call in the module's own code, or in torch's where it is made there."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    own = [frame for frame in frames if not frame[0].startswith(_TORCH)] or frames
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else ""


def _kind(node: fx.Node, moving: Callable[[fx.Node], bool], values: Mapping[fx.Node, Any]) -> str:
    """Affine or nonlinear in the arguments that depend on the input, complex, or else structural: no numbers."""
    read = [n for n in node.all_input_nodes if moving(n)]
    given = (n.meta.get("val") for n in (*read, node))
    if any(isinstance(v, Tensor) and v.is_complex() for v in given):
        return "complex"
    floating = (
        isinstance(v, Tensor) and v.is_floating_point() for v in (*(values.get(n) for n in read), values.get(node))
    )
    if not read or not all(floating):
        return "structural"
    generator = torch.Generator().manual_seed(0)
    steps = [torch.randn(values[n].shape, dtype=torch.float64, generator=generator) for n in read]
    target: Any = node.target

    def at(place: float) -> Tensor:
        held = {n: values[n] for n in node.all_input_nodes}
        held |= {n: (values[n] + place * s).to(values[n].dtype) for n, s in zip(read, steps, strict=True)}
        given: Any = fx.node.map_arg((node.args, node.kwargs), held.__getitem__)
        result: Tensor = target(*given[0], **given[1])
        return result.double()

    try:
        middle = at(0.0)
        straight = [(at(h) + at(-h) - 2 * middle).abs().max() <= _FEW * (at(h).abs().max() + 1) for h in _STEPS]
    except (RuntimeError, TypeError, ValueError):  # an operation that does not take such arguments
        return "structural"
    return "affine" if all(straight) else "nonlinear"  # which NaN is, of a function that has no value there
