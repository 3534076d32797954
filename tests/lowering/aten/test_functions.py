"""Functions of one number or two, steps and masks, some in one module."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from absdomain import UnsupportedOp, to_graph
from tests.written import Written, parameter, same


def mixed(f: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Written(lambda s, x: f(s.layer(x)), layer=nn.Linear(4, 4))


INVERSE = (torch.asin, torch.acos, torch.atanh, torch.tan)
FUNCTIONS: dict[str, Callable[[], nn.Module]] = {
    "inverse functions": mixed(lambda x: torch.stack([f(0.9 * x.tanh()) for f in INVERSE], 1).sum(1)),
    "hyperbolic functions": mixed(lambda x: x.sinh() - x.cosh() + (x.sigmoid() + 2).acosh()),
    "error functions": mixed(lambda x: x.erfc() + torch.special.ndtr(x) - torch.special.expit(x)),
    "logit": mixed(lambda x: x.sigmoid().clamp(0.1, 0.9).logit() + x.logit(0.1)),
    "two numbers": mixed(lambda x: x.hypot(x.flip(1)) + torch.logaddexp(x, x.flip(1))),
    "powers": mixed(lambda x: (x.sigmoid() + 0.5) ** x + 2**x - (x * x + 1).pow(torch.full((), 1.5, dtype=x.dtype))),
    "powers of a base that is kept positive": mixed(lambda x: x.clamp(min=0.1) ** x + (x.exp() + 1e-3) ** x.flip(1)),
    "logarithms": mixed(lambda x: (x.exp() + 1).log2() + (x * x).log1p() + (x.abs() + 2).log10()),
    "parts of numbers": mixed(lambda x: x.trunc() + 2 * x.frac() - x.fmod(0.7) + x.remainder(-0.4) + x.sgn()),
    "quotients": mixed(lambda x: x // 0.5 + x.div(0.3, rounding_mode="trunc") + (3 * x).round(decimals=1)),
    "and, or": mixed(lambda x: ((x > 0.1) & (x < 0.5)).to(x) - x * ((x > 1) | (x < -0.5)).to(x) + (x > 0) * x),
    "either": mixed(lambda x: torch.where((x > 0.1) ^ (x > 0.4), x, -x)),
    "gates": mixed(lambda x: F.glu(x) + F.glu(2 * x)),
    "clamped by tensors": lambda: Written(
        lambda s, x: x.clamp(s.low, s.low + 0.3) + x.clamp(min=s.low) + torch.max(x, s.low) + x.clamp(max=x.flip(1)),
        low=parameter(4),
    ),
    "a mean of powers": lambda: Written(
        lambda s, x: x.clamp(min=0.1).pow(s.p).mean(1, keepdim=True).pow(1 / s.p), p=nn.Parameter(torch.tensor([3.0])),
    ),
}  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_enclosed(name: str) -> None:
    torch.manual_seed(0)
    same(FUNCTIONS[name](), 4)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("forward", "message"), [
    (lambda s, x: (x == 0.5).to(x) + x, "holds at single points"), (lambda s, x: (-2) ** x, "has the base -2"),
    (lambda s, x: (x > 0).sum(1, keepdim=True) + x, "adds up truth values"), (lambda s, x: x.logit(0.7), "has eps 0.7"),
    (lambda s, x: x.sigmoid() ** x, r"base that may be 0 or negative.*make the base positive.*\[nonlinear, "),
    (lambda s, x: x ** torch.tensor([2.0, 3.0, 0.5, 1.0]), r"base that may be 0 or negative.*whole power as x \*\* 2"),
    (lambda s, x: x.fmod(x.flip(1)), "no division by a number|fmod"),
])  # fmt: skip
def test_what_is_no_function_with_a_band_is_refused(forward: Callable[..., Tensor], message: str) -> None:
    with pytest.raises(UnsupportedOp, match=message):
        to_graph(Written(forward), torch.rand(2, 4))
