"""LSTM, GRU and RNN, unrolled over the length of the file's sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy
import torch

from absdomain import ops
from absdomain.kinds import Op
from absdomain.lowering.onnx.table import Activation, Array, Call, Nodes, Value, lowers
from absdomain.lowering.recurrent import Cell, State, Weights, gru, gru_reset_first, lstm, plain, unrolled

_BACKWARDS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}  # where each of PyTorch's is among the file's
_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
_PLAIN: dict[str, Callable[[], Op]] = {"Tanh": ops.Tanh, "Relu": ops.ReLU, "Sigmoid": ops.Sigmoid}


@lowers("LSTM", "GRU", "RNN")
def _recurrent(
    call: Call, x: Value, weight: Value, own: Value, bias: Value = None, lengths: Value = None, *rest: Value
) -> list[Activation]:
    """The outputs of every step, (L, directions, N, H), and the last states, (directions, N, H)."""
    x = call.active(x)
    directions = _BACKWARDS[call.attribute("direction", "forward")]
    cells = _cells(call, len(directions))
    _checked(call, x, lengths, rest[2:])
    w, r = (call.constant(v, "a weight") for v in (weight, own))
    hidden, (length, batch, _) = r.shape[-1], x.shape
    given = [*rest[:2], None, None][: 2 if call.operator == "LSTM" else 1]
    nodes, held = Nodes(call), call.viewed(x, x.shape)
    outputs, ends = [], []
    for number, backwards in enumerate(directions):
        weights = _weights(call, w[number], r[number], None if bias is None else call.constant(bias, "a bias")[number])
        start = [_start(call, v, number, (batch, hidden)) for v in given]
        y, end = unrolled(nodes, cells[number], weights, held, start, backwards=backwards)
        outputs.append(nodes.apply(ops.Reshape((length, 1, batch, hidden)), y))
        ends.append(end)
    whole = call.known(_joined(nodes, outputs, 2), (length, len(directions), batch, hidden))
    return [whole, *(_last(call, nodes, ends, i, (batch, hidden)) for i in range(len(given)))]


def _cells(call: Call, directions: int) -> list[Cell]:
    """The step of each direction, by the activations that the file names."""
    kind, each = call.operator, len(_ACTIVATIONS[call.operator])
    listed = [v.decode() if isinstance(v, bytes) else str(v) for v in call.attribute("activations", [])]
    named = [listed[i * each : (i + 1) * each] or _ACTIVATIONS[kind] for i in range(directions)]
    if kind == "RNN" and all(one in _PLAIN for one, *_ in named):
        return [plain(_PLAIN[one]) for one, *_ in named]
    if any(one != _ACTIVATIONS[kind] for one in named):
        call.unsupported(f"has the activations {listed}", f"use {_ACTIVATIONS[kind]}")
    first = not call.attribute("linear_before_reset", 0)
    return [lstm if kind == "LSTM" else gru_reset_first if first else gru] * directions


def _checked(call: Call, x: Activation, lengths: Value, peepholes: Sequence[Value]) -> None:
    """Refuses what the steps here do not do."""
    if call.attribute("layout", 0):
        call.unsupported("has the batch first", "use layout 0")
    if call.attribute("clip") is not None or call.attribute("input_forget", 0):
        call.unsupported("clips its gates, or couples them", "leave clip and input_forget out")
    if lengths is not None and (call.constant(lengths, "lengths") != x.shape[0]).any():
        call.unsupported("has sequences of several lengths", f"give all of them {x.shape[0]} steps")
    if any(v is not None and call.constant(v, "peepholes").any() for v in peepholes):
        call.unsupported("has peepholes", "leave them out")


def _weights(call: Call, w: Array, r: Array, bias: Array | None) -> Weights:
    """Those of one direction, its gates in PyTorch's order."""
    order = _GATES[call.operator]
    w, r = (numpy.concatenate([numpy.split(v, len(order))[i] for i in order]) for v in (w, r))
    if bias is None:
        return Weights(call.tensor(w), call.tensor(r))
    parts = numpy.split(bias, 2 * len(order))
    both = (call.tensor(numpy.concatenate([parts[i + start] for i in order])) for start in (0, len(order)))
    return Weights(call.tensor(w), call.tensor(r), *both)


def _start(call: Call, value: Value, number: int, shape: tuple[int, int]) -> Any:
    """The state of one direction before the first step; zeros where the file leaves it out."""
    if value is None:
        return torch.zeros(shape, dtype=call.dtype)
    if isinstance(value, numpy.ndarray):
        return call.tensor(value[number])
    places = torch.arange(prod(value.shape)).view(value.shape)
    return call.raw(ops.Gather(places[number].contiguous()), call.viewed(value, value.shape))


def _last(call: Call, nodes: Nodes, ends: Sequence[State], i: int, shape: tuple[int, int]) -> Activation:
    parts = [nodes.apply(ops.Reshape((1, *shape)), end[i]) for end in ends]
    return call.known(_joined(nodes, parts, 1), (len(parts), *shape))


def _joined(nodes: Nodes, parts: Sequence[str], axis: int) -> str:
    return parts[0] if len(parts) == 1 else nodes.apply(ops.Concat(axis), *parts)
