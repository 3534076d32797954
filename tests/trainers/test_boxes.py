"""Objectives between an attack and a bound are their formulas, and their ends are the methods that they join."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain import Linf, margins, parse
from absdomain.trainers import Certified, Recipe, RecipeError, Setup, read
from absdomain.trainers.attacks import Attack, Fgsm, SignAscent
from absdomain.trainers.certified import worst_margins
from absdomain.trainers.expressive import Expressive
from absdomain.trainers.losses import robust_cross_entropy
from absdomain.trainers.methods import sabr
from absdomain.trainers.methods.cc_ibp import CCIBP
from absdomain.trainers.methods.exp_ibp import ExpIBP
from absdomain.trainers.methods.mtl_ibp import MTLIBP
from absdomain.trainers.methods.sabr import Sabr
from absdomain.trainers.stabilise import as_built

SHIFT = SignAscent(1, 0.5)
PLAIN: dict[str, Any] = {"initialisation": as_built, "regularise": 0.0}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4)).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(8, 1, 2, 3, dtype=torch.float64), torch.arange(8) % 4


def built(kind: type[Certified], network: nn.Module, name: str, **given: Any) -> Any:
    method = read(name).with_options(**PLAIN | given)
    recipe = Recipe(trainer=name, domain="box", eps=0.1, l1=0.01)
    example = torch.rand(1, 1, 2, 3, dtype=torch.float64)
    made = kind.of(Setup(network, example, 4, recipe, method.settings))
    made.set(eps=0.1, kappa=0.0)
    return made


def points(network: nn.Module, x: Tensor, y: Tensor, attack: Attack, eps: float = 0.1) -> Tensor:
    torch.manual_seed(2)
    return attack(network, Linf(x, eps, clip=(0, 1)), y)


def of_seed(objective: Certified, x: Tensor, y: Tensor) -> Any:
    torch.manual_seed(2)
    step = objective(x, y)
    return step._replace(loss=step.loss - objective.penalty())


def test_sabr_bounds_a_small_box_at_the_attacked_point(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    objective = built(Sabr, network, "sabr", share=0.4, attack=SHIFT)
    regions: list[Linf] = []
    bound = objective.bound
    objective.bound = lambda region, *rest: regions.append(region) or bound(region, *rest)
    step = of_seed(objective, x, y)
    found = points(network, x, y, SHIFT)
    centre = torch.maximum(torch.minimum(found, x + 0.06), x - 0.06).clamp(0, 1)
    small = Linf(centre, 0.04, clip=(0, 1))
    lower = parse("box").propagate(objective.graph, small, margins(y, 4)).lower
    assert step.loss.item() == pytest.approx(robust_cross_entropy(lower).item())
    assert set(step.metrics) == {"small_box_error"}
    (region,) = regions
    whole = objective.region(x).box()
    assert (region.box().lower >= whole.lower - 1e-12).all()
    assert (region.box().upper <= whole.upper + 1e-12).all()


def test_the_ends_of_sabr(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    whole, point = (built(Sabr, network, "sabr", share=share, attack=SHIFT) for share in (1.0, 0.0))
    certified = built(Certified, network, "certified")
    assert of_seed(whole, x, y).loss.item() == pytest.approx(of_seed(certified, x, y).loss.item())
    attacked = functional.cross_entropy(network(points(network, x, y, SHIFT)), y)
    assert of_seed(point, x, y).loss.item() == pytest.approx(attacked.item())


def test_the_rate_of_an_attack_drops(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    ball, start = Linf(x, 0.1, clip=(0, 1)), x.clone()
    for steps, rate in ((4, 0.5), (3, 0.05), (1, 0.005)):
        start = SignAscent(steps, rate)(network, ball, y, start=start)
    assert torch.equal(SignAscent(8, 0.5, (4, 7))(network, ball, y, start=x), start)
    for drops in ((0,), (8,), (5, 3), (3, 3)):
        with pytest.raises(RecipeError, match=r"drops: .* cannot be used; give rising numbers of steps"):
            SignAscent(8, 0.5, drops)


Formula = Callable[[Tensor, Tensor, Tensor, float], Tensor]
FORMULAS: dict[str, tuple[type[Expressive], Formula]] = {
    "cc-ibp": (CCIBP, lambda low, z, y, a: robust_cross_entropy(a * low + (1 - a) * worst_margins(z, z, y))),
    "mtl-ibp": (MTLIBP, lambda low, z, y, a: a * robust_cross_entropy(low) + (1 - a) * functional.cross_entropy(z, y)),
    "exp-ibp": (
        ExpIBP,
        lambda low, z, y, a: (
            a * robust_cross_entropy(low).log() + (1 - a) * functional.cross_entropy(z, y).log()
        ).exp(),
    ),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", FORMULAS)
def test_expressive_losses_are_their_formulas(network: nn.Module, batch: tuple[Tensor, Tensor], name: str) -> None:
    (x, y), (kind, formula) = batch, FORMULAS[name]
    objective = built(kind, network, name, alpha=0.3, reach=0.5, attack=SHIFT)
    low = parse("box").propagate(objective.graph, objective.region(x), margins(y, 4)).lower
    z, values = network(points(network, x, y, SHIFT, eps=0.05)), []
    for alpha in (0.0, 0.3, 0.7, 1.0):
        objective.settings = replace(objective.settings, alpha=alpha)
        step = of_seed(objective, x, y)
        values.append(step.loss.item())
        assert values[-1] == pytest.approx(formula(low, z, y, alpha).item())
    assert values[0] == pytest.approx(functional.cross_entropy(z, y).item())  # expressive: from a lower bound of the
    assert values[-1] == pytest.approx(robust_cross_entropy(low).item())  # worst-case loss to an upper one
    assert values == sorted(values)
    assert set(step.metrics) == {"train_attack_error", "verified_error"}


def test_exp_ibp_at_a_loss_of_0(network: nn.Module) -> None:
    objective = built(ExpIBP, network, "exp-ibp", alpha=0.5)
    z = torch.tensor([[1e3, 0.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = objective.combine(z[:, :1] - z[:, 1:], z, torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-100)
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_statistics_are_those_of_one_pass(batch: tuple[Tensor, Tensor]) -> None:
    """At radius 0 the bounds are the pass's logits."""
    x, y = batch
    parts = (nn.Flatten(), nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 4))
    network = nn.Sequential(*parts).double().train()
    for kind, name in ((Sabr, "sabr"), (MTLIBP, "mtl-ibp")):
        network[2].reset_running_stats()
        objective = built(kind, network, name, attack=Fgsm())
        objective.set(eps=1e-9, kappa=0.0)
        step = of_seed(objective, x, y)
        assert step.loss.item() == pytest.approx(functional.cross_entropy(network(x), y).item(), rel=1e-5)
        assert network[2].num_batches_tracked == 1 + 1  # of the comparison


def test_bounds_beside_an_attack_have_the_statistics_of_the_clean_images(batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    parts = (nn.Flatten(), nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 4))
    network = nn.Sequential(*parts).double().train()
    objective = built(MTLIBP, network, "mtl-ibp", alpha=1.0, attack=SHIFT)
    found = points(network, x, y, SHIFT)
    losses = [
        robust_cross_entropy(objective.bound(objective.region(x), y, objective.batchnorms(at)[1])).item()
        for at in (found, x)
    ]
    network[2].reset_running_stats()  # as they were when the points were found
    found_again = of_seed(objective, x, y).loss.item()
    assert abs(losses[0] - losses[1]) > 1e-4
    assert found_again == pytest.approx(losses[1])


def test_no_proof_is_shown_where_there_is_none(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    objective = built(MTLIBP, network, "mtl-ibp")
    objective.domain = parse("symbolic_gap")
    assert set(objective(*batch).metrics) == {"train_attack_error"}


def test_settings_are_checked() -> None:
    for text in ("sabr(share=1.5)", "mtl-ibp(alpha=-0.1)", "cc-ibp(reach=0.0)", "exp-ibp(regularise=-1.0)"):
        with pytest.raises(RecipeError, match=r"\w+: \S+ cannot be used; give a"):
            read(text)
    assert read("sabr(share=0.4, attack=fgsm)").settings == replace(sabr.Settings(), share=0.4, attack=Fgsm())


def test_the_released_recipes() -> None:
    found = {name: read(name).recipe(data="mnist") for name in ("sabr", "cc-ibp", "mtl-ibp", "exp-ibp", "shi")}
    assert all((recipe.network, recipe.epochs, recipe.ramp) == ("cnn7", 70, 20) for recipe in found.values())
    assert {name: recipe.l1 for name, recipe in found.items()} == {
        "sabr": 1e-6, "cc-ibp": 3e-6, "mtl-ibp": 1e-6, "exp-ibp": 1e-6, "shi": 0.0
    }  # fmt: skip
    assert [found[name].trainer for name in ("sabr", "cc-ibp", "shi")] == ["sabr", "cc-ibp(alpha=0.3)", "shi"]
    cifar = {name: read(name).recipe(data="cifar10") for name in found}
    assert [cifar[name].epochs for name in ("shi", "sabr", "mtl-ibp")] == [160, 180, 260]
    assert cifar["sabr"].trainer == "sabr(share=0.7)"
