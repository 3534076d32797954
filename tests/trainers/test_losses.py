"""Each loss of bounds is its formula; a weight that learns is SingleProp's formula."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain import Linf, margins, parse, to_graph
from absdomain.trainers import Recipe, hinge, robust_cross_entropy, softplus
from absdomain.trainers.certified import Certified, Settings, certified, worst_margins
from absdomain.trainers.kappa import Adaptive
from absdomain.trainers.options import RecipeError

LOWER = torch.tensor([[1.0, -2.0, 0.5], [30.0, 0.0, -1.0]], dtype=torch.float64)


def test_softplus_and_hinge() -> None:
    """The released code of Gowal et al.: means over images and specifications, softplus at the bound and 10 more."""
    each = [math.log1p(math.exp(10 - value)) for value in LOWER.flatten().tolist()]
    assert softplus(LOWER).item() == pytest.approx(sum(each) / 6)
    assert hinge(LOWER).item() == pytest.approx((-1 + 2 - 0.5 - 10 + 0 + 1) / 6)


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(5, 1, 2, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])


def test_without_elision_the_logits_are_bounded_one_by_one(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    region, graph = Linf(x, 0.1, clip=(0, 1)), to_graph(network, x)
    box = parse("box").propagate(graph, region)
    worst = torch.where(nn.functional.one_hot(y, 4).bool(), box.lower, box.upper)
    objective = Certified(network, x, parse("box"), classes=4, settings=Settings(softplus, elision=False))
    objective.set(eps=0.1, kappa=0.0)
    expected = torch.stack([row[label] - torch.cat([row[:label], row[label + 1 :]]) for row, label in zip(worst, y)])  # noqa: B905
    torch.testing.assert_close(worst_margins(box.lower, box.upper, y), expected)
    torch.testing.assert_close(objective(x, y).loss, softplus(expected))
    assert robust_cross_entropy(expected).item() == pytest.approx(functional.cross_entropy(worst, y).item())
    elided = parse("box").propagate(graph, region, margins(y, 4)).lower
    torch.testing.assert_close(objective.lower(x, y), elided)  # errors are measured by the better bound
    assert (elided >= expected - 1e-12).all()
    assert (elided > expected + 1e-3).any()


@pytest.mark.parametrize(
    ("nominal", "robust", "expected"),
    [
        (1.0, 2.0, 10 / 12),
        (0.5, 0.5, 10 / 11),
        (1.0, math.inf, 0.0),
        (0.0, 1.0, 0.0),
        (0.0, 0.0, 0.3),
        (1.0, math.nan, 0.3),
        (1.0, -3.0, 1.0),  # of a hinge
    ],
)
def test_lambda_keeps_the_two_losses_in_proportion(nominal: float, robust: float, expected: float) -> None:
    found = 1 - Adaptive().learn(nominal, robust, learnt=0.7)
    assert found == pytest.approx(expected)
    gap = robust - nominal  # the same in the paper's form, gamma L / ((1 + gamma) L + R)
    if math.isfinite(gap) and nominal > 0 and robust >= 0:
        assert found == pytest.approx(10 * nominal / (11 * nominal + gap))


@pytest.mark.parametrize("domain", ["box", "deeppoly.guided(by=box)"])
def test_an_adaptive_weight_learns_from_held_out_images(
    network: nn.Module, batch: tuple[Tensor, Tensor], domain: str
) -> None:
    x, y = batch
    objective = Certified(network, x, parse(domain), classes=4, settings=Settings(weight=Adaptive()))
    objective.set(eps=0.1, kappa=0.2)
    assert objective.values.kappa == 1.0  # lambda is 0 in the first epoch, whatever the schedule says
    assert objective(x, y).loss.item() == pytest.approx(functional.cross_entropy(network(x), y).item())
    held_out = [(x[:3], y[:3]), (x[3:], y[3:])]
    with torch.no_grad():
        reported = objective.epoch_end(held_out)
        nominal = functional.cross_entropy(network(x), y).item()
        robust = robust_cross_entropy(objective.bound(objective.region(x), y)).item()
    expected = 10 * nominal / (10 * nominal + robust)
    assert reported == {"lambda": pytest.approx(expected)}
    objective.set(eps=0.1, kappa=0.2)
    assert objective.values.kappa == pytest.approx(1 - expected)
    assert objective(x, y).loss.item() == pytest.approx((1 - expected) * nominal + expected * robust)
    assert "learnt" in objective.state_dict()
    objective.set(eps=0.0, kappa=1.0)
    assert objective.values.kappa == 1.0  # no radius: no bound to compute


def test_a_weight_that_learns_needs_held_out_images(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    recipe = Recipe(trainer="certified(weight=adaptive)", domain="box", validation=0)
    with pytest.raises(RecipeError, match=r"validation: 0 cannot be used; an adaptive weight learns from held-out"):
        certified.with_options(weight=Adaptive()).build(network, batch[0], 4, recipe)


def test_a_schedule_leaves_no_state(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    objective = Certified(network, batch[0], parse("box"), classes=4)
    assert set(objective.state_dict()) == {f"network.{name}" for name in network.state_dict()}
