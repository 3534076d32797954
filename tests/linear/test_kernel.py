"""Back-substitution's passes keep the small number beside the large one."""

import pytest
import torch
from torch import Tensor

from absdomain.linear.kernel import BoxMinima, BoxMinimum, SignSplit


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("c", [-1.0, 1.0])
def test_each_sign_meets_its_own_slope(c: float, dtype: torch.dtype) -> None:
    below, above = (1.0, 1e-20) if c < 0 else (1e-20, 1.0)
    rows, slopes = torch.full((1, 1, 1), c, dtype=dtype), [torch.full((1, 1), s, dtype=dtype) for s in (below, above)]
    split, _ = SignSplit.apply(rows, *slopes, None, torch.zeros(1, 1, dtype=dtype))
    assert torch.equal(split, torch.full_like(split, c * 1e-20))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_each_sign_meets_its_own_end(dtype: torch.dtype) -> None:
    def number(t: float) -> Tensor:
        return torch.full((1, 1), t, dtype=dtype)

    found = BoxMinimum.apply(-number(1.0).unsqueeze(0), number(-1e20), number(9.0))
    assert found.item() == -9.0
    found = BoxMinimum.apply(number(1.0).unsqueeze(0), number(-9.0), number(1e20))
    assert found.item() == -9.0


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_derivatives(lower: bool, shared: bool) -> None:
    torch.manual_seed(0)
    rows = torch.randn(3, 1 if shared else 2, 4, dtype=torch.float64, requires_grad=True)
    a, s, b, t = (torch.randn(2, 4, dtype=torch.float64, requires_grad=True) for _ in range(4))
    low = b if lower else None
    assert torch.autograd.gradcheck(lambda *given: SignSplit.apply(*given), (rows, a, s, low, t))
    assert torch.autograd.gradcheck(lambda *given: BoxMinima.apply(*given), (rows, low, t))
    assert torch.autograd.gradcheck(lambda *given: BoxMinimum.apply(*given), (rows, b, t))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_both_signs_meet_their_own_end(dtype: torch.dtype) -> None:
    rows, low, high = (torch.full((1, 1), t, dtype=dtype) for t in (1.0, -1e20, 9.0))
    minima = BoxMinima.apply(rows.unsqueeze(0), low, high)
    assert [m.item() for m in minima] == [low.item(), -9.0]
