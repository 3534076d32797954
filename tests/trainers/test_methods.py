"""Every registered method makes its objective of what its recipe and its settings say."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain import Linf, margins, parse, to_graph
from absdomain.attack import adam, margin_loss
from absdomain.data import DataError
from absdomain.registry import names
from absdomain.runtime.modes import evaluating
from absdomain.trainers import Moment, Objective, Recipe, RecipeError, read
from absdomain.trainers.adversarial import Adversarial
from absdomain.trainers.attacks import Adam, SignAscent
from absdomain.trainers.certified import Certified, worst_margins
from absdomain.trainers.losses import softplus
from absdomain.trainers.methods.advibp import AdvIBP
from absdomain.trainers.methods.robustra import Robustra
from absdomain.trainers.methods.shi import shi
from absdomain.trainers.stabilise import ibp

MIX = "mix(deeppoly.guided(by=box), box)"
DOMAINS = {"crown-ibp": MIX, "robustra": "dual", "singleprop": "symbolic_gap", "wong-kolter": "dual(projections=2)"}
NUMBERS: dict[str, Any] = {
    "eps": 0.1,
    "eps_eval": 0.05,
    "warmup": 10.0,
    "ramp": 4.0,
    "epochs": 20,
    "seed": 5,
    "beta_end": 0.0,
}


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(5, 1, 2, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])


def built(network: nn.Module, text: str, **given: Any) -> Objective:
    name = text.partition("(")[0]
    given = {"network": "mlp-2x100", "domain": DOMAINS.get(name, "box"), "dtype": "float64"} | given
    recipe = Recipe(trainer=text, **NUMBERS | given)
    return read(text).build(network, torch.rand(1, 1, 2, 3, dtype=torch.float64), 4, recipe)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", names("trainers"))
def test_a_method_takes_the_recipes_numbers(network: nn.Module, batch: tuple[Tensor, Tensor], name: str) -> None:
    # Not what the objectives have unasked; robustra takes no l1.
    given: dict[str, Any] = {"clip": True} if name == "robustra" else {"clip": False, "l1": 0.01}
    objective = built(network, name, **given)
    assert objective.network is network
    assert getattr(objective, "clip", None) == ((0.0, 1.0) if given["clip"] else None)
    if isinstance(objective, Certified):
        assert objective.classes == 4
        assert str(objective.domain) == str(parse(DOMAINS.get(name, "box")))
    if isinstance(objective, Certified) and not isinstance(objective, Robustra):
        assert objective.eps_end == 0.1  # the training's
    if isinstance(objective, AdvIBP):
        assert objective.ramp_end == 14.0
    if isinstance(objective, Certified):
        assert objective.seed == 5
    size = sum(p.abs().sum().item() for p in network.parameters() if p.dim() > 1)
    assert objective.penalty().item() == pytest.approx(given.get("l1", 0.0) * size)
    objective.set(eps=0.0, kappa=1.0)
    x, y = batch
    terms = {"robustra": 0, "cosine": 2}.get(name, 1)  # all train naturally before eps grows, but for the pair
    if terms == 1 and not getattr(objective, "with_regulariser", False):
        expected = functional.cross_entropy(network(x), y) + objective.penalty()
        assert objective(x, y).loss.item() == pytest.approx(expected.item())


def test_the_attacks_have_their_options(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    trades, pgd = built(network, "trades(steps=3, rate=0.5)"), built(network, "pgd(steps=3, rate=0.02)")
    assert isinstance(trades, Adversarial)
    assert isinstance(pgd, Adversarial)
    assert (trades.attack, pgd.attack) == (SignAscent(3, 0.5), Adam(3, 0.02))
    x, y = batch
    region = Linf(x, 0.2, clip=(0, 1))
    with evaluating(network):
        expected = adam(network, region, y, steps=3, rate=0.02, start=x, loss=margin_loss)
    assert torch.equal(pgd.attack(network, region, y, start=x), expected)


def test_advibp_takes_its_loss_with_or_without_elision(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    trace = parse("box").propagate(to_graph(network, x), Linf(x, 0.1, clip=(0, 1)))
    apart = softplus(worst_margins(trace.lower, trace.upper, y)).item()
    losses = {}
    for elision in (True, False):
        objective = built(network, f"advibp(loss=softplus, elision={elision})")
        objective.set(eps=0.1, kappa=0.0)
        losses[elision] = objective(x, y).metrics["loss_bound"].item()
    assert losses[False] == pytest.approx(apart)
    assert losses[True] < apart - 1e-4


def test_shis_method_has_shis_initialisation_and_penalties() -> None:
    assert (shi.settings.initialisation, shi.settings.regularise) == (ibp, 0.5)
    for name in ("sabr", "cc-ibp", "mtl-ibp", "exp-ibp"):
        own = read(name).settings
        assert (own.initialisation, own.regularise) == (ibp, 0.5)
    for data, expected in {"mnist": (70, 256, (50.0, 60.0), 20.0), "cifar10": (160, 128, (120.0, 140.0), 80.0)}.items():
        recipe = shi.recipe(data=data)
        assert (recipe.epochs, recipe.batch, recipe.milestones, recipe.ramp) == expected
        assert (recipe.lr, recipe.decay, recipe.gradient_norm, recipe.smooth, recipe.clip) == (
            5e-4,
            0.2,
            10,
            True,
            True,
        )


def test_wong_and_kolters_objective_may_be_regularised(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    objective = built(network, "wong-kolter(regularise=0.5)")
    objective.set(eps=0.05, kappa=0.0)
    assert objective.intensity.item() == pytest.approx(0.25)  # type: ignore[operator]
    assert "regulariser" in objective(*batch).metrics


BATCH_NORM = ("certified", "crown-ibp", "advibp", "sabr", "cc-ibp", "mtl-ibp", "exp-ibp")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", BATCH_NORM)
def test_a_step_updates_running_statistics_once_by_the_clean_batch(batch: tuple[Tensor, Tensor], name: str) -> None:
    x, y = batch
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)).double()
    objective = built(network, name)
    objective.train()
    objective.set(eps=0.05, kappa=0.0, beta=0.5, at=Moment(50, 10))
    objective(x, y)
    norm: Any = network[2]
    seen = network[1](x.flatten(1))
    assert norm.num_batches_tracked.item() == 1
    torch.testing.assert_close(norm.running_mean, 0.1 * seen.mean(0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * seen.var(0))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ["certified", "pure-ibp", "crown-ibp", "advibp", "mtl-ibp", "sabr", "wong-kolter"])
def test_every_step_of_any_method_draws_its_own_projections(batch: tuple[Tensor, Tensor], name: str) -> None:
    x, y = batch
    network = nn.Sequential(nn.Flatten(), *(nn.Linear(6, 9), nn.ReLU()), *(nn.Linear(9, 9), nn.ReLU()), nn.Linear(9, 4))
    drawn = "dual(projections=2)"
    objective = built(network.double(), name, domain=f"mix({drawn}, box, weight=0.5)" if name == "crown-ibp" else drawn)
    assert isinstance(objective, Certified)

    def bound(step: int) -> Tensor:
        objective.set(eps=0.1, kappa=0.0, beta=0.5, at=Moment(step, 10))
        return objective.bound(objective.region(x), y).detach()

    assert torch.equal(bound(70), bound(70))  # a resumed run draws the same
    assert not torch.equal(bound(70), bound(71))
    assert torch.equal(
        objective.lower(x, y), objective.sound.propagate(objective.graph, objective.region(x), margins(y, 4)).lower
    )
    assert "projections" not in str(objective.sound)


@pytest.mark.parametrize("name", ["advibp", "exp-ibp"])
def test_a_loss_that_may_be_negative_is_refused_where_it_must_not_be(network: nn.Module, name: str) -> None:
    with pytest.raises(RecipeError, match=r"loss: '?hinge'? cannot be used.*take another"):
        built(network, f"{name}(loss=hinge)")


def test_a_mixture_without_an_end_is_refused(network: nn.Module) -> None:
    with pytest.raises(RecipeError, match="beta_end: None cannot be used; the mixture's weight goes to it"):
        built(network, "crown-ibp", beta_end=None)


@pytest.mark.parametrize("domain", ["lp", "exact", "box & lp", "mix(lp, box)"])
@pytest.mark.parametrize("name", ["certified", "sabr", "advibp"])
def test_a_domain_without_gradients_is_refused(network: nn.Module, name: str, domain: str) -> None:
    with pytest.raises(RecipeError, match=r"domain: .* cannot be used; its bounds have no gradient"):
        built(network, name, domain=domain)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("data", ["mnist", "fashion-mnist", "cifar10", "svhn", "digits", "toy"])
def test_a_radius_is_that_of_the_data_set_or_given(data: str) -> None:
    for name in names("trainers"):
        method = read(name)
        if any(recipe.data == data for recipe in method.recipes) or method.recipes[0].eps == 0:
            assert method.recipe(data=data).data == data
        else:
            with pytest.raises(RecipeError, match=rf"eps: {name} has no recipe for '{data}', only for .*; give the"):
                method.recipe(data=data)
            assert method.recipe(data=data, eps=0.03).eps == 0.03


def test_a_data_set_is_known_by_its_name_in_any_case() -> None:
    assert read("ibp").recipe(data="MNIST") == read("ibp").recipe(data="mnist")
    with pytest.raises(DataError, match=r"unknown data set 'minst', .*; did you mean mnist"):
        read("ibp").recipe(data="minst")


def test_a_natural_phase_longer_than_the_warm_up_is_refused(network: nn.Module) -> None:
    with pytest.raises(RecipeError, match=r"natural: 10\.0 cannot be used; the warm-up is 3.0; give at most that"):
        built(network, "advibp", warmup=3.0)
    assert isinstance(built(network, "advibp(natural=3)", warmup=3.0), AdvIBP)
