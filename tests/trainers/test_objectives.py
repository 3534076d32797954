"""Each loss is its formula; what a loss does not need is not computed; the relaxation gives way as beta says."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain import Linf, margins, parse, to_graph
from absdomain.domain import Mix
from absdomain.trainers import read
from absdomain.trainers.certified import Certified
from absdomain.trainers.losses import robust_cross_entropy
from absdomain.trainers.methods.crown_ibp import CrownIBP
from absdomain.trainers.methods.natural import Natural
from absdomain.trainers.objective import Objective, verified_error

MIXTURE = "mix(deeppoly.guided(by=box), box)"


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(5, 1, 2, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])


def lower(network: nn.Module, x: Tensor, y: Tensor, domain: str, eps: float = 0.1) -> Tensor:
    trace = parse(domain).propagate(to_graph(network, x), Linf(x, eps, clip=(0, 1)), margins(y, 4))
    return trace.lower


def mixture() -> Mix:
    domain = parse(MIXTURE)
    assert isinstance(domain, Mix)
    return domain


def gradients(network: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters())))


def test_robust_cross_entropy_is_that_of_the_worst_logits() -> None:
    low = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.0, -1.0]])
    logits = torch.cat([torch.zeros(2, 1), -low], 1)  # margins of label 0
    expected = functional.cross_entropy(logits, torch.zeros(2, dtype=torch.long))
    assert robust_cross_entropy(low).item() == pytest.approx(expected.item())
    assert robust_cross_entropy(torch.full((1, 3), -1e4)).item() == pytest.approx(1e4, rel=1e-3)  # no overflow


def test_robust_cross_entropy_of_example_1() -> None:
    for bound, value in ((0.4, 0.513015), (0.15, 0.620957), (-0.1, 0.744397), (-0.6, 1.037488)):
        assert robust_cross_entropy(torch.tensor([[bound]])).item() == pytest.approx(value, abs=1e-5)


def test_only_finite_bounds_verify() -> None:
    nan, inf = float("nan"), float("inf")
    low = torch.tensor([[1.0, 2.0], [1.0, -0.1], [1.0, nan], [inf, 1.0], [0.0, 3.0]])
    assert verified_error(low).item() == pytest.approx(3 / 5)


def test_natural_is_cross_entropy(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    step = Natural(network)(x, y)
    assert step.loss.item() == pytest.approx(functional.cross_entropy(network(x), y).item())
    assert step.metrics["clean_error"].item() == pytest.approx((network(x).argmax(1) != y).double().mean().item())


@pytest.mark.sampled(3)
@pytest.mark.parametrize("domain", ["box", "deeppoly", "box & deeppoly"])
@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0])
def test_certified_mixes_the_two_losses(
    network: nn.Module, batch: tuple[Tensor, Tensor], domain: str, kappa: float
) -> None:
    x, y = batch
    objective = Certified(network, x[:1], parse(domain), classes=4, l1=0.01)
    objective.set(eps=0.1, kappa=kappa)
    size = sum(p.abs().sum() for name, p in network.named_parameters() if name.endswith("weight"))
    robust = robust_cross_entropy(lower(network, x, y, domain))
    expected = kappa * functional.cross_entropy(network(x), y) + (1 - kappa) * robust + 0.01 * size
    step = objective(x, y)
    assert step.loss.item() == pytest.approx(expected.item(), rel=1e-9)
    for ours, theirs in zip(gradients(network, step.loss), gradients(network, expected), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert ("clean_error" in step.metrics) == (kappa > 0)
    assert ("verified_error" in step.metrics) == (kappa < 1)


def test_the_clip_is_the_recipes_choice(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    clipped, free = (Certified(network, x[:1], parse("box"), classes=4, clip=clip) for clip in ((0.0, 1.0), None))
    for objective in (clipped, free):
        objective.set(eps=0.3, kappa=0.0)
    assert (clipped.lower(x, y) >= free.lower(x, y) - 1e-12).all()
    assert clipped(x, y).loss < free(x, y).loss


@pytest.mark.sampled(3)
@pytest.mark.parametrize("beta", [1.0, 0.25, 0.0])
def test_crown_ibp_mixes_its_bounds(network: nn.Module, batch: tuple[Tensor, Tensor], beta: float) -> None:
    x, y = batch
    objective = CrownIBP(network, x[:1], mixture(), classes=4)
    objective.set(eps=0.1, kappa=0.0, beta=beta)
    expected = beta * lower(network, x, y, "crown-ibp") + (1 - beta) * lower(network, x, y, "box")
    torch.testing.assert_close(objective.lower(x, y), expected)
    loss = objective(x, y).loss
    assert loss.item() == pytest.approx(robust_cross_entropy(expected).item())
    for ours, theirs in zip(gradients(network, loss), gradients(network, robust_cross_entropy(expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_mixture_the_other_way_round_weighs_the_intervals(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    domain = parse("mix(box, deeppoly.guided(by=box))")
    assert isinstance(domain, Mix)
    objective = CrownIBP(network, x[:1], domain, classes=4)
    objective.set(eps=0.1, kappa=0.0, beta=0.25)
    expected = 0.25 * lower(network, x, y, "box") + 0.75 * lower(network, x, y, "crown-ibp")
    torch.testing.assert_close(objective.lower(x, y), expected)


def test_a_negligible_beta_is_ibp_bit_for_bit(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    objective = CrownIBP(network, x[:1], mixture(), classes=4)
    objective.set(eps=0.1, kappa=0.0, beta=9e-6)
    assert objective.domain.weight == 0.0  # an exact zero, whose branch Mix does not trace
    assert torch.equal(objective.lower(x, y), lower(network, x, y, "box"))


@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_a_term_of_weight_0_costs_nothing(network: nn.Module, batch: tuple[Tensor, Tensor], kappa: float) -> None:
    x, y = batch
    objective = Certified(network, x[:1], parse("box"), classes=4)
    objective.set(eps=0.1, kappa=kappa)
    forwards = []
    network.register_forward_hook(lambda *_: forwards.append(1))
    objective(x, y)
    assert len(forwards) == (kappa > 0)


def test_before_any_schedule_the_method_trains_naturally(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    assert Certified(network, x[:1], parse("box"), classes=4)(x, y).loss.item() == Natural(network)(x, y).loss.item()


def test_batch_statistics_are_updated_even_at_kappa_0(batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    norm = nn.BatchNorm1d(6)
    network = nn.Sequential(nn.Flatten(), norm, nn.Linear(6, 4)).double()
    objective = Certified(network, x[:1], parse("box"), classes=4).train()
    objective.set(eps=0.1, kappa=0.0)
    objective(x, y).loss.backward()
    assert norm.num_batches_tracked == 1
    torch.testing.assert_close(norm.running_mean, 0.1 * x.flatten(1).mean(0))


def test_objectives_follow_the_live_weights(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    objective = Certified(network, x[:1], parse("box"), classes=4)
    objective.set(eps=0.1, kappa=0.0)
    optimiser = torch.optim.Adam(objective.parameters(), 0.01)
    losses = []
    for _ in range(20):
        loss = objective(x, y).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert objective(x, y).loss.item() == pytest.approx(robust_cross_entropy(lower(network, x, y, "box")).item())


def test_schedule_values_are_no_state(network: nn.Module) -> None:
    objective: Objective = Natural(network)
    assert set(objective.state_dict()) == {f"network.{name}" for name in network.state_dict()}


def test_diffai_is_certified_with_zonotopes(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    method = read("diffai")
    recipe = method.recipe(data="digits")
    objective = method.build(network, x[:1], 4, recipe)
    objective.set(eps=0.1, kappa=0.25)
    robust = robust_cross_entropy(lower(network, x, y, "zonotope"))
    expected = 0.25 * functional.cross_entropy(network(x), y) + 0.75 * robust
    assert recipe.kappa_end == 0.5
    assert objective(x, y).loss.item() == pytest.approx(expected.item())
