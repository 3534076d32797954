"""LSTM, GRU and plain recurrent networks, unrolled over the length of the example."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from absdomain import ops
from absdomain.lowering.aten.arguments import active, constants, expression
from absdomain.lowering.recurrent import Cell, State, Weights, gru, lstm, plain, unrolled
from absdomain.lowering.table import Activation, Call, Value, lowers

_CELLS: dict[str, Cell] = {
    "lstm": lstm,
    "gru": gru,
    "rnn_tanh": plain(ops.Tanh),
    "rnn_relu": plain(ops.ReLU),
}


def _cell(call: Call) -> Cell:
    return _CELLS[call.target.split(".")[1].removesuffix("_cell")]


@lowers("aten.lstm.input", "aten.gru.input", "aten.rnn_tanh.input", "aten.rnn_relu.input")
def _recurrent(
    call: Call, x: Value, states: Any, weights: Sequence[Any], biased: bool, layers: int, dropout: float,
    training: bool, both: bool, batch_first: bool,
) -> list[Activation]:  # fmt: skip
    """Every step of every layer: the outputs of the last one, and the last states of all."""
    if training and dropout:
        call.unsupported("is random in evaluation mode, too", "evaluate it: module.eval()")
    x, given = active(call, x), list(states) if isinstance(states, list | tuple) else [states]
    count = layers * (2 if both else 1)
    each = len(weights) // count
    own = [_weights(call, weights[i * each : (i + 1) * each], biased) for i in range(count)]
    x = _time_first(call, x, batch_first)
    last: list[State] = []
    for layer in range(layers):
        outputs = []
        for number in range(layer * count // layers, (layer + 1) * count // layers):
            start = [_row(call, s, number) for s in given]
            backwards = both and number % 2 == 1
            y, end = unrolled(call, _cell(call), own[number], x, start, backwards=backwards)
            outputs.append(y)
            last.append(end)
        x = _joined(call, outputs, len(call.shape_of(x)))
    ends = [_joined(call, [_as_row(call, end[i]) for end in last], 1) for i in range(len(given))]
    return [_time_first(call, x, batch_first), *ends]


@lowers("aten.lstm_cell.default", "aten.gru_cell.default", "aten.rnn_tanh_cell.default", "aten.rnn_relu_cell.default")
def _one_step(call: Call, x: Value, states: Any, *weights: Any, **named: Any) -> Any:
    """One step: the output, and of an LSTM its cell."""
    given = states if isinstance(states, list | tuple) else [states]
    own = Weights(*constants(call, *weights, *named.values()))
    start = [expression(call, _sample, s) if not isinstance(s, Activation) else s for s in given]
    end = _cell(call)(call, own, call.apply(ops.Dense(own.input, own.input_bias), active(call, x)), start)
    return end if len(end) > 1 else end[0]


def _weights(call: Call, listed: Sequence[Any], biased: bool) -> Weights:
    """Those of one direction of one layer, in torch's order; of an LSTM with a projection there is one more."""
    known = constants(call, *listed)
    biases = known[2:4] if biased else [None, None]
    rest = known[4 if biased else 2 :]
    return Weights(*known[:2], *biases, *rest)


def _time_first(call: Call, x: Activation, batch_first: bool) -> Activation:
    """Several sequences of one sample lie along an axis before or after that of time, which the steps have first."""
    swap = batch_first and len(call.shape_of(x)) == 3
    return call.apply(ops.Permute((0, 2, 1, 3)), x) if swap else x


def _sample(constant: torch.Tensor) -> torch.Tensor:
    """Of a batch of one."""
    return constant.squeeze(0)


def _row(call: Call, states: Value, number: int) -> Any:
    """The state of one direction of one layer, of (layers, ..., features) a sample."""
    if not isinstance(states, Activation):
        return expression(call, lambda c: _sample(c)[number], states)
    shape = call.shape_of(states)
    return call.apply(ops.Gather(torch.arange(prod(shape)).view(shape)[number].contiguous()), states)


def _as_row(call: Call, state: Activation) -> Activation:
    return call.apply(ops.Reshape((1, *call.shape_of(state))), state)


def _joined(call: Call, xs: Sequence[Activation], axis: int) -> Activation:
    return xs[0] if len(xs) == 1 else call.apply(ops.Concat(axis), *xs)
