"""SingleProp's loss is the paper's: (1 - lambda) CE(z) + lambda CE(worst), lambda from held-out images."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain.trainers import Certified, Recipe, read
from absdomain.trainers.methods.singleprop import singleprop
from absdomain.trainers.schedules import Moment


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 4)).double()


def gap(network: nn.Sequential, x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """z and v by the paper's eq. (8), phi(v, z) = (relu(z + v) - relu(z - v)) / 2, written out."""
    z, v = x.flatten(1), torch.full_like(x.flatten(1), eps)
    for number in (1, 3, 5):
        layer: nn.Linear = network[number]  # type: ignore[assignment]
        if number > 1:
            z, v = z.relu(), ((z + v).relu() - (z - v).relu()) / 2
        z, v = functional.linear(z, layer.weight, layer.bias), functional.linear(v, layer.weight.abs())
    return z, v


@pytest.mark.parametrize("elision", [True, False])
def test_the_loss_is_the_papers(network: nn.Sequential, elision: bool) -> None:
    x, y = torch.rand(5, 1, 2, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    recipe = Recipe(trainer="singleprop", domain="symbolic_gap", clip=False)
    objective = singleprop.with_options(elision=elision).build(network, x, 4, recipe)
    assert isinstance(objective, Certified)
    objective.learnt.fill_(0.25)
    objective.set(eps=0.2, kappa=0.9, at=Moment(3, 2))
    step = objective(x, y)
    z, v = gap(network, x, 0.2)
    own = functional.one_hot(y, 4)
    nominal = functional.cross_entropy(z, y)
    worst = functional.cross_entropy(z + v * (1 - 2 * own), y)
    regularised = nominal + 0.75 * (worst - nominal)
    if elision:
        assert step.loss < regularised - 1e-4
    else:
        assert step.loss.item() == pytest.approx(regularised.item())
    assert "verified_error" not in step.metrics  # a heuristic verifies nothing
    box = Certified(network, x, read("ibp").build(network, x, 4, Recipe(domain="box")).domain, classes=4, clip=None)  # type: ignore[attr-defined]
    box.set(eps=0.2, kappa=0.0)
    torch.testing.assert_close(objective.lower(x, y), box.lower(x, y))


@pytest.mark.parametrize(("domain", "passes"), [("symbolic_gap", 0), ("box", 1)])
def test_both_terms_are_of_one_propagation_where_the_domain_has_the_logits(
    network: nn.Sequential, domain: str, passes: int
) -> None:
    """The loss, its gradient and the errors are those of Certified, which evaluates the network besides."""
    x, y = torch.rand(5, 1, 2, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    ours = singleprop.build(network, x, 4, Recipe(trainer="singleprop", domain=domain))
    theirs = Certified(network, x, ours.domain, classes=4, settings=ours.settings)  # type: ignore[attr-defined]
    calls: list[int] = []
    network.register_forward_hook(lambda *_: calls.append(1))
    found = []
    for objective in (ours, theirs):
        objective.learnt.fill_(0.25)
        objective.set(eps=0.2, kappa=0.9)
        calls.clear()
        step = objective(x, y)
        assert len(calls) == (passes if objective is ours else 1)
        found.append((step.loss, *torch.autograd.grad(step.loss, list(network.parameters())), *step.metrics.values()))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other)


def test_the_recipes_are_the_papers() -> None:
    recipe = singleprop.recipe(data="mnist")
    per_epoch = 550
    assert (recipe.batch, recipe.epochs, recipe.domain, recipe.clip) == (100, 100, "symbolic_gap", False)
    assert [recipe.at(step, per_epoch).eps for step in (0, 2000, 7000, 12000, 54000)] == pytest.approx(
        [0.0, 0.0, 0.15, 0.3, 0.3]
    )
    rate = recipe.learning_rate(per_epoch)
    assert [rate(step) for step in (14999, 15000, 25000)] == pytest.approx([1e-3, 1e-4, 1e-5])
    linear = singleprop.recipe(data="mnist", trainer="singleprop(weight=scheduled)")
    assert linear.trainer == "singleprop(weight=scheduled)"
    assert linear.at(7000, per_epoch).kappa == pytest.approx(0.75)  # lambda from 0 to 0.5
    cifar = singleprop.recipe(data="cifar10")
    assert (cifar.domain, cifar.flip, cifar.crop) == ("symbolic_gap(slopes=parallel)", False, 0)
    assert cifar.at(30000, 900).eps == pytest.approx(4 / 255)
