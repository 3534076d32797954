"""Losses and gradients are those of the authors' released code, run once on the same weights and images: its numbers.

In float64 the two differ by rounding alone, as sums are taken in another order.
"""

import pytest
import torch
from torch import Tensor, nn

from absdomain import parse
from absdomain.registry import find
from absdomain.trainers import Certified, CrownIBP
from absdomain.trainers.methods.robustra import Robustra, Settings
from absdomain.trainers.recipe import Recipe
from absdomain.trainers.run.folder import build_network


def norms(loss: Tensor, network: nn.Module) -> list[float]:
    """The length of the gradient in each parameter."""
    return [g.norm().item() for g in torch.autograd.grad(loss, list(network.parameters()))]


# github.com/huanzhang12/CROWN-IBP: bound_layers.py, model A with its initial weights (train.py seeds 2019), loss of
# train.py with method "robust" on "crown-interval": { (eps, beta) -> the loss, and the lengths of its gradients }
CROWN_IBP = {
    (0.005, 0.98): (2.340611134565587, (
        0.09178829199662919, 0.030814263255880554, 0.22359341404511598, 0.13258720528503037, 0.13472342027813,
        0.10344805771563774, 0.08613316157041226, 0.1685054767497596)),
    (0.1, 0.5): (4.361466657120038, (
        6.884682596348898, 3.0790839335613667, 7.094065396745442, 4.022008062067898, 0.651948582174491,
        0.19663143010646053, 1.5633583252394807, 0.21922147350761031)),
    (0.3, 0.0): (13.848865932358294, (
        33.70868978323801, 15.468165976765638, 19.29089241119125, 7.799283547412176, 3.8454131441124986,
        0.44886981158111255, 14.6098267821787, 0.5584958476970352)),
}  # fmt: skip
FIRST = (-0.10427641868591309, -0.21577870845794678, 0.016657128930091858, -0.12396600842475891)


def test_crown_ibp_is_the_released_one() -> None:
    recipe: Recipe = find("presets", "mnist-0.3-crown-ibp-A")  # type: ignore[assignment]
    torch.manual_seed(2019)
    network = build_network(recipe, (1, 28, 28), 10)
    weights = list(network.parameters())
    assert tuple(p.detach().flatten()[0].item() for p in weights[:4]) == FIRST  # bit for bit
    i, row, column = torch.meshgrid(torch.arange(8), torch.arange(28), torch.arange(28), indexing="ij")
    x = (((37 * i + 11 * row + 7 * column + 3 * row * column) % 256).double() / 255).unsqueeze(1)
    objective = CrownIBP(network.double(), x, parse("mix(deeppoly.guided(by=box), box)"))
    for (eps, beta), (loss, lengths) in CROWN_IBP.items():
        objective.set(eps=eps, kappa=0.0, beta=beta)
        step = objective(x, torch.arange(8))
        assert step.loss.item() == pytest.approx(loss, rel=1e-13)
        assert norms(step.loss, network) == pytest.approx(lengths, rel=1e-12)


# github.com/llylly/Robustra: convex_adversarial/dual_network.py, robust_loss_transfer with individual=True, without
# projections, on a CPU in float64: { (eps, individual_rate) -> the loss, and the lengths of its gradients }
ROBUSTRA = {
    (0.4, 0.25): (1.516793430236107, (
        0.15642946189124324, 0.1015169742964283, 0.20221514938023094, 0.1211774708265314, 0.19385248355126028,
        0.19006358945535046)),
}  # fmt: skip
# The bounds themselves at eps 0.4 and the median, one row for each image. At the breakpoint that eta is, one entry of
# nu + eta q is 0, and the code takes the sign that rounding leaves there; pairs for which it leaves one are left out.
BOUNDS = (
    (0.005778633467771667, -0.2753021529567802, -0.24844289611391787),
    (-0.4235690417506637, None, -0.5128008721861179),
    (-0.0036709872700920188, 0.17449136418784583, -0.09153959889458203),
    (-0.023054956825911955, 0.17235319704317664, -0.07736916498191229),
    (-0.0433312384713265, None, -0.2075067362531382),
)
DUAL = {0.05: 1.3988867226013826, 0.2: 1.4355912341679384, 0.4: 1.5180195214383407}  # robust_loss there


def pair() -> tuple[nn.Sequential, nn.Sequential]:
    def made() -> nn.Sequential:
        layers = nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 4)
        return nn.Sequential(nn.Flatten(), *layers).double()

    torch.manual_seed(3)
    return made(), made()


def batch() -> tuple[Tensor, Tensor]:
    i, k = torch.meshgrid(torch.arange(5), torch.arange(6), indexing="ij")
    x = (((37 * i + 11 * k + 5 * i * k) % 101).double() / 101).view(5, 1, 2, 3)
    return x, torch.tensor([0, 1, 2, 3, 0])


@pytest.mark.parametrize(("eps", "rate"), ROBUSTRA)
def test_robustra_is_the_released_one(eps: float, rate: float) -> None:
    (f, g), (x, y) = pair(), batch()
    objective = Robustra(f, g, x, parse("dual"), classes=4, pair=Settings(rate=rate))
    objective.set(eps=eps, kappa=0.0)
    step = objective(x, y)
    loss, lengths = ROBUSTRA[eps, rate]
    assert step.loss.item() == pytest.approx(loss, rel=1e-13)
    assert norms(step.loss, f) == pytest.approx(lengths, rel=1e-12)


def test_bounds_over_the_reference_space_are_the_released_ones() -> None:
    (f, g), (x, y) = pair(), batch()
    objective = Robustra(f, g, x, parse("dual"), classes=4, pair=Settings())
    objective.set(eps=0.4, kappa=0.0)
    found = objective.against(objective.first.graph, objective.second.graph, x, y).tolist()
    known = [(a, b) for own, theirs in zip(found, BOUNDS, strict=True) for a, b in zip(own, theirs, strict=True) if b]
    assert len(known) == 13
    assert [a for a, _ in known] == pytest.approx([b for _, b in known], rel=1e-13)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("eps", DUAL)
def test_wong_and_kolters_loss_is_the_released_one(eps: float) -> None:
    (f, _), (x, y) = pair(), batch()
    objective = Certified(f, x, parse("dual"), classes=4, clip=None)
    objective.set(eps=eps, kappa=0.0)
    assert objective(x, y).loss.item() == pytest.approx(DUAL[eps], rel=1e-13)
