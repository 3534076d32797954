"""A cut keeps every point at which the plane is not above its allowance."""

import pytest
import torch

from absdomain.branching import axes


@pytest.mark.parametrize("seed", range(20))
def test_no_point_that_may_be_unsafe_is_cut_off(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    low = drawn(50, 3)
    high = low + drawn(50, 3).abs() * (torch.rand(50, 3, generator=generator, dtype=torch.float64) > 0.2)
    a, slack = drawn(50, 3) * 10.0 ** torch.randint(-6, 7, (50, 3), generator=generator), torch.tensor(1e-9)
    inner = torch.lerp(low, high, torch.rand(400, 50, 3, generator=generator, dtype=torch.float64))
    b = -(a * inner[0]).sum(1) + slack.double()  # the first point is just on the plane
    new_low, new_high = axes._cut(low, high, a, b, slack.double())
    unsafe = (a * inner).sum(2) + b <= slack.double()
    kept = ((inner >= new_low) & (inner <= new_high)).all(2)
    assert bool(unsafe.any()) and bool(kept[unsafe].all())
    assert bool((new_low > low).any() or (new_high < high).any())


def test_a_box_without_such_a_point_is_empty() -> None:
    low, high = torch.zeros(1, 2).double(), torch.ones(1, 2).double()
    a, b, slack = torch.ones(1, 2).double(), torch.ones(1).double(), torch.tensor(0.5).double()
    new_low, new_high = axes._cut(low, high, a, b, slack)
    assert not bool((new_low <= new_high).all())
