"""Adversarial objectives are their formulas, at points inside the region that are worse than the clean ones."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain.attack import adam, ascend, cross_entropy, fgsm, margin_loss
from absdomain.region import L2, Linf, Region
from absdomain.trainers import Objective, Recipe, RecipeError, read
from absdomain.trainers.adversarial import Adversarial
from absdomain.trainers.attacks import Adam, Attack, Fgsm, SignAscent
from absdomain.trainers.methods.trades import Trades


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4)).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(8, 1, 2, 3, dtype=torch.float64), torch.arange(8) % 4


ATTACKS: dict[str, Attack] = {"fgsm": Fgsm(), "signs": SignAscent(), "adam": Adam()}
REGIONS: dict[str, Callable[[Tensor], Region]] = {
    "clipped": lambda x: Linf(x, 0.2, clip=(0, 1)),
    "l2": lambda x: L2(x, 0.3),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("region", REGIONS.values(), ids=REGIONS)
def test_an_attack_stays_inside_and_hurts(
    network: nn.Module, batch: tuple[Tensor, Tensor], attack: Attack, region: Callable[[Tensor], Region]
) -> None:
    x, y = batch
    ball = region(x)
    points = attack(network, ball, y)
    torch.testing.assert_close(ball.project(points), points)
    assert not points.requires_grad
    worse, clean, random = (cross_entropy(network(at), y).mean() for at in (points, x, ball.sample(1)[0]))
    assert worse > clean + 0.02
    assert worse > random + 0.02
    assert all(parameter.grad is None for parameter in network.parameters())


def test_one_step_of_ascent_is_fgsm(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    region = Linf(x, 0.2, clip=(0, 1))
    start = region.sample(1)[0]
    ours = ascend(network, region, y, steps=1, rate=1.25, start=start)
    assert torch.equal(ours, fgsm(network, region, y, rate=1.25, start=start).points)


def test_adam_is_torchs_adam_with_a_projection(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    region, points = Linf(x, 0.2, clip=(0, 1)), x.clone().requires_grad_()
    optimiser = torch.optim.Adam([points], lr=0.1, maximize=True)
    for _ in range(7):
        optimiser.zero_grad()
        margin_loss(network(points), y).sum().backward(inputs=[points])
        optimiser.step()
        points.data = region.project(points.data)
    torch.testing.assert_close(adam(network, region, y, start=x), points.detach())


@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0])
def test_adversarial_mixes_clean_and_attacked_losses(
    network: nn.Module, batch: tuple[Tensor, Tensor], kappa: float
) -> None:
    x, y = batch
    objective = Adversarial(network, Fgsm(), l1=0.01)
    objective.set(eps=0.1, kappa=kappa)
    torch.manual_seed(1)
    step = objective(x, y)
    torch.manual_seed(1)
    points = Fgsm()(network, Linf(x, 0.1, clip=(0, 1)), y)
    size = sum(p.abs().sum() for name, p in network.named_parameters() if name.endswith("weight"))
    clean, attacked = (functional.cross_entropy(network(at), y) for at in (x, points))
    assert step.loss.item() == pytest.approx((kappa * clean + (1 - kappa) * attacked + 0.01 * size).item())
    assert ("clean_error" in step.metrics) == (kappa > 0)
    assert ("train_attack_error" in step.metrics) == (kappa < 1)


def test_trades_is_its_formula(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    objective = Trades(network, SignAscent(5, 0.25), weight=2.0)
    objective.set(eps=0.1, kappa=0.0)
    seen: list[Tensor] = []
    handle = network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    step = objective(x, y)
    handle.remove()
    points = seen[-1]
    p, q = network(x).softmax(1), network(points).softmax(1)
    divergence = (p * (p / q).log()).sum(1)
    expected = functional.cross_entropy(network(x), y) + 2 * divergence.mean()
    assert step.loss.item() == pytest.approx(expected.item())
    ours = torch.autograd.grad(step.loss, list(network.parameters()))
    theirs = torch.autograd.grad(expected, list(network.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
    start = network(x + 0.001 * torch.randn_like(x)).softmax(1)
    assert divergence.mean() > 100 * (p * (p / start).log()).sum(1).mean()
    assert ((points - x).abs() <= 0.1 + 1e-12).all()


def test_trades_is_natural_while_kappa_is_1(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    objective = Trades(network, SignAscent())
    assert objective(x, y).loss.item() == pytest.approx(functional.cross_entropy(network(x), y).item())


@pytest.mark.parametrize("kind", [Adversarial, Trades])
def test_an_attack_does_not_move_statistics_nor_modes(kind: Callable[..., Objective]) -> None:
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 4)).double().train()
    network[2].eval()
    x, y = torch.rand(8, 1, 2, 3, dtype=torch.float64), torch.arange(8) % 4
    objective = kind(network, Adam())
    objective.set(eps=0.1, kappa=0.0)
    objective(x, y)
    assert network[1].num_batches_tracked == (1 if kind is Adversarial else 2)  # the passes of the loss alone
    assert [part.training for part in network] == [True, True, False, True]


def test_the_held_out_error_under_attack_is_reported(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    objective = Adversarial(network, Adam())
    objective.set(eps=0.3, kappa=0.0)
    with torch.no_grad():
        reported = objective.epoch_end([(x[:5], y[:5]), (x[5:], y[5:])])
        clean = (network(x).argmax(1) != y).double().mean().item()
    assert clean <= reported["attack_error"] <= 1
    assert (reported["attack_error"] * 8) % 1 == pytest.approx(0, abs=1e-9)
    assert objective.epoch_end([]) == {}


def test_attack_settings_are_checked() -> None:
    for text in ("fgsm(rate=0)", "pgd(steps=0)", "pgd(rate=-1)", "trades(steps=0)", "trades(weight=-1)"):
        with pytest.raises(RecipeError, match=r"(rate|steps|weight): \S+ cannot be used; give a"):
            read(text)


def test_trades_on_mnist_is_the_released_recipe() -> None:
    recipe: Recipe = read("trades").recipe(data="mnist")
    assert recipe.trainer == "trades(weight=1.0, steps=40, rate=0.03333)"
    assert (recipe.optimiser, recipe.lr, recipe.batch, recipe.milestones) == ("sgd", 0.01, 128, (55.0, 75.0, 90.0))


def test_trades_has_a_gradient_where_a_probability_underflows(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch[0].float(), batch[1]
    network = network.float()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 300
    assert bool((network(x).softmax(1) == 0).any())
    objective = Trades(network, SignAscent(2, 0.5))
    objective.set(eps=0.01, kappa=0.0)
    objective(x, y).loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)
