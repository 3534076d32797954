"""Recurrent networks over a fixed length, step after step, for whichever table asks for them.

A sequence is (L, ..., features) a sample, and what a state holds (..., features). A state is an activation, or a
constant: what is computed of constants alone stays one. Gates are in PyTorch's order: input, forget, cell and output
(Hochreiter and Schmidhuber 1997; Gers et al. 2000); reset, update and new (Cho et al. 2014).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain import ops
from absdomain.kinds import Op
from absdomain.kinds.live import Live
from absdomain.lowering.rewritings import Adder

Constant = Tensor | Live
State = list[Any]  # activations or constants: the output first, and the cell of an LSTM
Cell = Callable[[Adder[Any], "Weights", Any, State], State]


@dataclass(frozen=True, eq=False)
class Weights:
    """Those of one direction of one layer: the gates are W x + b + (R h + c), the output perhaps projected by P."""

    input: Any  # a Constant each, which ops take as the tensor that it reads
    state: Any
    input_bias: Any = None
    state_bias: Any = None
    projection: Any = None


def unrolled(
    call: Adder[Any], cell: Cell, weights: Weights, x: Any, state: State, *, backwards: bool = False
) -> tuple[Any, State]:
    """The outputs at every step, (L, ..., features), and the last state; backwards from the last step to the first."""
    given = call.apply(ops.Dense(weights.input, weights.input_bias), x)
    shape = call.shape_of(given)
    places = torch.arange(prod(shape)).view(shape)
    found: list[Any] = []
    for step in range(shape[0])[:: -1 if backwards else 1]:
        state = cell(call, weights, call.apply(ops.Gather(places[step].contiguous()), given), state)
        found.append(call.apply(ops.Reshape((1, *call.shape_of(state[0]))), state[0]))
    ordered = found[:: -1 if backwards else 1]
    return ordered[0] if len(ordered) == 1 else call.apply(ops.Concat(1), *ordered), state


def lstm(call: Adder[Any], weights: Weights, given: Any, state: State) -> State:
    """c' = s(f) c + s(i) tanh(g) and h' = P s(o) tanh(c'), with s the logistic function."""
    h, c = state
    i, f, g, o = _parts(call, _plus(call, given, _dense(call, weights.state, weights.state_bias, h)), 4)
    kept = _times(call, call.apply(ops.Sigmoid(), f), c)
    new = call.apply(ops.Product(), call.apply(ops.Sigmoid(), i), call.apply(ops.Tanh(), g))
    c = call.apply(ops.Add(), kept, new)
    h = call.apply(ops.Product(), call.apply(ops.Sigmoid(), o), call.apply(ops.Tanh(), c))
    return [h if weights.projection is None else _dense(call, weights.projection, None, h), c]


def gru(call: Adder[Any], weights: Weights, given: Any, state: State) -> State:
    """h' = n + s(z) (h - n) of n = tanh(n_x + s(r) n_h), with s the logistic function."""
    (h,) = state
    own = _parts(call, _dense(call, weights.state, weights.state_bias, h), 3)
    (r, z, n), (own_r, own_z, own_n) = _parts(call, given, 3), own
    reset = call.apply(ops.Sigmoid(), _plus(call, r, own_r))
    new = call.apply(ops.Tanh(), _plus(call, n, _times(call, reset, own_n)))
    return _mixed(call, call.apply(ops.Sigmoid(), _plus(call, z, own_z)), h, new)


def gru_reset_first(call: Adder[Any], weights: Weights, given: Any, state: State) -> State:
    """The same of n = tanh(n_x + R_n (s(r) h) + c_n): the state is reset before it is multiplied (Cho et al. 2014)."""
    (h,) = state
    size = call.shape_of(given)[-1] // 3
    (gates, gates_bias), (new, new_bias) = (
        [None if v is None else computed(lambda c, at=at: c[at], v) for v in (weights.state, weights.state_bias)]
        for at in (slice(2 * size), slice(2 * size, None))
    )
    (r, z, n), (own_r, own_z) = _parts(call, given, 3), _parts(call, _dense(call, gates, gates_bias, h), 2)
    held = _times(call, call.apply(ops.Sigmoid(), _plus(call, r, own_r)), h)
    made = call.apply(ops.Tanh(), _plus(call, n, _dense(call, new, new_bias, held)))
    return _mixed(call, call.apply(ops.Sigmoid(), _plus(call, z, own_z)), h, made)


def plain(activation: Callable[[], Op]) -> Cell:
    """h' = f(W x + b + R h + c) (Elman 1990)."""

    def cell(call: Adder[Any], weights: Weights, given: Any, state: State) -> State:
        own = _dense(call, weights.state, weights.state_bias, state[0])
        return [call.apply(activation(), _plus(call, given, own))]

    return cell


def computed(f: Callable[..., Tensor], *given: Constant) -> Constant:
    """f of constants, anew at each use where one of them is."""
    if not any(isinstance(c, Live) for c in given):
        return f(*given)
    return Live(lambda: f(*(c.read() if isinstance(c, Live) else c for c in given)))


def _mixed(call: Adder[Any], kept: Any, h: Any, new: Any) -> State:
    """n + z (h - n)."""
    minus = call.apply(ops.Scale(torch.tensor(-1.0, dtype=torch.float64), None), new)
    return [call.apply(ops.Add(), new, call.apply(ops.Product(), kept, _plus(call, minus, h)))]


def _dense(call: Adder[Any], weight: Any, bias: Any, x: Any) -> Any:
    """W x + b."""
    if isinstance(x, Constant):
        return computed(F.linear, x, weight, *(() if bias is None else (bias,)))
    return call.apply(ops.Dense(weight, bias), x)


def _plus(call: Adder[Any], x: Any, y: Any) -> Any:
    """x + y, of which y may be constant."""
    fixed = isinstance(y, Constant)
    return call.apply(ops.Scale(None, y), x) if fixed else call.apply(ops.Add(), x, y)


def _times(call: Adder[Any], x: Any, y: Any) -> Any:
    """x y, of which y may be constant."""
    fixed = isinstance(y, Constant)
    return call.apply(ops.Scale(y, None), x) if fixed else call.apply(ops.Product(), x, y)


def _parts(call: Adder[Any], x: Any, count: int) -> list[Any]:
    """The gates, one after another along the last axis."""
    if isinstance(x, Constant):
        return [computed(lambda c, k=k: c.chunk(count, -1)[k], x) for k in range(count)]
    shape = call.shape_of(x)
    places = torch.arange(prod(shape)).view(shape).chunk(count, -1)
    return [call.apply(ops.Gather(p.contiguous()), x) for p in places]
