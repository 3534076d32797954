"""nn.LSTM, nn.GRU, nn.RNN and their cells, in their forms, against the modules."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from absdomain import UnsupportedOp, to_graph
from tests.written import Written, same

Forward = Callable[[Any, Tensor], Tensor]
LSTM, GRU, RNN = "LSTM", "GRU", "RNN"
BOTH = {"batch_first": True, "bidirectional": True, "num_layers": 2}


def outputs(self: Any, x: Tensor) -> Tensor:
    return self.net(x)[0]


def batch_second(self: Any, x: Tensor) -> Tensor:
    return self.net(x.transpose(0, 1))[0].transpose(0, 1)


def last_states(self: Any, x: Tensor) -> Tensor:
    states = self.net(x)[1]
    found = torch.cat(states, -1) if isinstance(states, tuple) else states
    return found.transpose(0, 1)


def from_the_input(self: Any, x: Tensor) -> Tensor:
    start = x[:, :1, :2].transpose(0, 1)
    return self.net(x, (start, start.tanh()) if isinstance(self.net, nn.LSTM) else start)[0][:, -1]


def windows(self: Any, x: Tensor) -> Tensor:
    """Rows of an image as samples, as networks of two directions have them."""
    y = self.net(x.reshape(-1, 2, 3))[0]
    return y.reshape(x.shape[0], 2, 2, -1)


def one_step(self: Any, x: Tensor) -> Tensor:
    found = self.net(x)
    return torch.cat(found, -1) if isinstance(found, tuple) else found


def steps(self: Any, x: Tensor) -> Tensor:
    state = None
    for t in range(x.shape[1]):
        state = self.net(x[:, t], state)
    return state[0] if isinstance(state, tuple) else state  # type: ignore[return-value]


CASES: list[tuple[str, dict[str, Any], Forward, tuple[int, ...]]] = [
    (LSTM, {"batch_first": True, "bias": False}, from_the_input, (2, 3)),
    (RNN, {"bidirectional": True}, batch_second, (2, 3)),
    ("LSTMCell", {}, one_step, (3,)),
    ("GRUCell", {}, steps, (2, 3)),
]
MORE: list[tuple[str, dict[str, Any], Forward, tuple[int, ...]]] = [
    (LSTM, BOTH, outputs, (2, 3)),
    (LSTM, {"num_layers": 2}, batch_second, (2, 3)),
    (LSTM, {"batch_first": True, "proj_size": 1}, last_states, (2, 3)),
    (LSTM, {"batch_first": True}, windows, (2, 2, 3)),
    (GRU, BOTH, last_states, (2, 3)),
    (RNN, {"nonlinearity": "relu"}, batch_second, (2, 3)),
    ("LSTMCell", {}, steps, (2, 3)),
    ("RNNCell", {"nonlinearity": "relu"}, steps, (2, 3)),
    ("RNNCell", {"bias": False}, one_step, (3,)),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("kind", "options", "forward", "shape"), [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE)]
)
def test_it_is_unrolled(kind: str, options: dict[str, Any], forward: Forward, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    same(Written(forward, net=getattr(nn, kind)(3, 2, **options)), *shape)


MIXED: dict[str, Forward] = {
    "samples for steps": outputs,
    "one sequence": lambda s, x: s.net(x[:, 0])[0],
}


@pytest.mark.parametrize("name", MIXED)
def test_samples_are_no_steps(name: str) -> None:
    with pytest.raises(UnsupportedOp):
        to_graph(Written(MIXED[name], net=nn.GRU(3, 2)), torch.randn(2, 2, 3))


def test_what_remains_random_is_refused() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        h = torch.zeros(2, x.shape[0], 2, dtype=x.dtype)
        weights = list(self.net._flat_weights)
        return torch._VF.gru(x, h, weights, True, 2, 0.5, True, False, True)[0]  # type: ignore[attr-defined]

    with pytest.raises(UnsupportedOp, match="random in evaluation mode"):
        to_graph(Written(forward, net=nn.GRU(3, 2, num_layers=2)), torch.randn(2, 2, 3))


def test_torch_s_warning_of_its_own_list_is_not_passed_on() -> None:
    """What a module assigns itself while it is called is still told."""

    def assigning(self: Any, x: Tensor) -> Tensor:
        self.seen = x + 1
        return last(self, x)

    def last(self: Any, x: Tensor) -> Tensor:
        value: Tensor = self.net(x)[0][:, -1]
        return value

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_graph(Written(last, net=nn.GRU(3, 2, batch_first=True)), torch.randn(2, 2, 3))
    with pytest.warns(UserWarning, match=r"self\.seen"):
        to_graph(Written(assigning, net=nn.GRU(3, 2, batch_first=True)), torch.randn(2, 2, 3))
