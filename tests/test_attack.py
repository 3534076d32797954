"""Attacks stay in their region, find what is there to find, and leave the module as it was."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from absdomain.attack import AdamAttack, Pgd, adam, ascend, fgsm, inside, margin, margin_loss, pgd, rounded_towards
from absdomain.region import L1, L2, Interval, Linf, Region

REGIONS: dict[str, Callable[[Tensor], Region]] = {
    "linf": lambda x: Linf(x, 0.1),
    "clipped": lambda x: Linf(x, 0.3, clip=(0.0, 1.0)),
    "interval": lambda x: Interval(x - 0.05, x + 0.2),
    "l2": lambda x: L2(x, 0.5),
    "l1": lambda x: L1(x, 0.7),
    "point": lambda x: L2(x, 0.0),
}


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 4))


@pytest.fixture
def images() -> Tensor:
    return torch.rand(16, 3, 2, 2)


def test_the_margin_is_the_distance_to_the_best_rival() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.5], [0.0, 4.0, 4.0], [1.0, float("nan"), 0.0], [1.0, 2.0, 5.0]])
    labels = torch.tensor([0, 1, 0, 0])
    torch.testing.assert_close(margin(logits, labels), torch.tensor([0.5, 0.0, torch.nan, -4.0]), equal_nan=True)
    assert torch.equal(margin_loss(logits[:1], labels[:1]), torch.tensor([-0.5]))


@pytest.mark.parametrize("name", REGIONS)
def test_points_lie_in_the_region_and_have_their_margins(name: str, net: nn.Module, images: Tensor) -> None:
    region, labels = REGIONS[name](images), net(images).argmax(1)
    for found in (fgsm(net, region, labels), pgd(net, region, labels, steps=7, restarts=2)):
        assert inside(region, found.points).all()
        torch.testing.assert_close(found.margin, margin(net(found.points), labels), atol=1e-5, rtol=1e-5)
        assert found.margin.isfinite().all()


@pytest.mark.parametrize("name", REGIONS)
def test_an_affine_network_is_attacked_exactly(name: str, images: Tensor) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).double()
    x = images.double()
    region, labels = REGIONS[name](x), torch.zeros(len(x), dtype=torch.int64)
    c = (net[1].weight[0] - net[1].weight[1]).detach()
    d = (net[1].bias[0] - net[1].bias[1]).detach()
    found = pgd(net, region, labels, steps=100, goal=-torch.inf)
    far = region.project(x - 1e7 * c.view_as(x[0]))
    worst = far.flatten(1) @ c + d  # a linear function is smallest at the projection of a far point
    torch.testing.assert_close(found.margin, worst, atol=2e-4, rtol=0)
    assert (found.margin >= worst - 1e-6).all()


@pytest.mark.parametrize("rate", [1.0, 1.25])
def test_a_step_is_as_long_as_the_ball_before_the_clip(rate: float) -> None:
    """A black, a white and a grey pixel: x + rate eps sign(g), then cut, from wherever in the ball it starts."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[-1.0, -1.0, 1.0], [1.0, 1.0, -1.0]]))
    x, start = torch.tensor([[0.0, 1.0, 0.5]]), torch.tensor([[0.1, 0.8, 0.6]])
    region, labels = Linf(x, 0.3, clip=(0.0, 1.0)), torch.tensor([0])
    for begin in (x, start):
        moved = (begin + rate * 0.3 * torch.tensor([1.0, 1.0, -1.0])).clamp(0, 1)
        expected = torch.minimum(torch.maximum(moved, x - 0.3), x + 0.3)
        found = fgsm(net, region, labels, rate=rate, start=begin)
        torch.testing.assert_close(found.points, expected)
    reached = ascend(net, region, labels, steps=40, rate=1 / 30, start=x)
    torch.testing.assert_close(reached, torch.tensor([[0.3, 1.0, 0.2]]))  # more than the radius in all


def test_pgd_is_at_least_as_strong_as_the_nominal_point_and_repeats(net: nn.Module, images: Tensor) -> None:
    region, labels = Linf(images, 0.05), net(images).argmax(1)
    first, second = (
        Pgd(steps=5, restarts=3)(net, region, labels, generator=torch.Generator().manual_seed(7)) for _ in range(2)
    )
    assert torch.equal(first.points, second.points)
    assert (first.margin <= margin(net(images), labels)).all()


def test_steps_of_adam_find_what_papers_report(net: nn.Module, images: Tensor) -> None:
    """From random starts, the worst point met on the way, the same for the same generator; its steps are Adam's."""
    region, labels = Linf(images, 0.05, clip=(0.0, 1.0)), net(images).argmax(1)
    first, second = (
        AdamAttack(steps=8, restarts=2)(net, region, labels, generator=torch.Generator().manual_seed(7))
        for _ in range(2)
    )
    assert torch.equal(first.points, second.points)
    assert bool(inside(region, first.points).all())
    torch.testing.assert_close(first.margin, margin(net(first.points), labels))
    start = region.sample(1, torch.Generator().manual_seed(7))[0]
    moved = adam(net, region, labels, steps=1, rate=0.01, start=start)
    own = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([own], lr=0.01)
    margin(net(own), labels).sum().backward()
    optimiser.step()
    torch.testing.assert_close(moved, region.project(own.detach()))
    with pytest.raises(ValueError, match="needs steps >= 0 and restarts >= 1"):
        AdamAttack(steps=3, restarts=0)(net, region, labels)


def test_more_restarts_never_lose(net: nn.Module, images: Tensor) -> None:
    region, labels = Linf(images, 0.1), net(images).argmax(1)
    few, many = (
        pgd(net, region, labels, restarts=n, goal=-torch.inf, generator=torch.Generator().manual_seed(0))
        for n in (1, 4)
    )
    assert (many.margin <= few.margin).all()


def test_broken_samples_are_left_alone(images: Tensor) -> None:
    calls = []

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            return torch.stack([x.flatten(1).sum(1) * 0 - 1, x.flatten(1).sum(1) * 0], 1)

    found = pgd(Counting(), Linf(images, 0.1), torch.zeros(16, dtype=torch.int64), steps=50, restarts=5)
    assert found.broken.all()
    assert calls == [16]


def test_the_module_is_left_as_it_was(images: Tensor) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4)).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with torch.no_grad():  # an attack needs gradients wherever it is called
        pgd(net, Linf(images, 0.1), torch.zeros(16, dtype=torch.int64), steps=3)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not net.training


def test_nan_is_never_a_success(images: Tensor) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    net[1].weight.data[0, 0] = torch.nan
    found = pgd(net, Linf(images, 0.1), torch.ones(16, dtype=torch.int64), steps=3)
    assert not found.broken.any()
    assert found.points.isfinite().all()


def test_impossible_settings_are_refused(net: nn.Module, images: Tensor) -> None:
    with pytest.raises(ValueError, match="restarts=0"):
        pgd(net, Linf(images, 0.1), torch.zeros(16, dtype=torch.int64), restarts=0)


@pytest.mark.parametrize("name", ["linf", "clipped", "l2", "l1"])
def test_rounding_towards_a_point_of_the_region_stays_in_it(name: str, images: Tensor) -> None:
    x = images.double()  # entries that single precision has
    region = REGIONS[name](x)
    points = region.project(x + 0.7 * torch.randn(x.shape, dtype=torch.float64))
    near = rounded_towards(points, x, torch.float32)
    assert near.dtype == torch.float32
    assert ((near.double() - x).abs() <= (points - x).abs()).all()
    torch.testing.assert_close(near.double(), points, atol=1e-6, rtol=0)
    assert inside(region, near.double()).all()
    assert not inside(region, x + 1.0).any()
