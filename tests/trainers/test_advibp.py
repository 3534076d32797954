"""AdvIBP's step is its formula in each case, its weights are of the past, its phases are the paper's."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from absdomain import Linf, margins, parse
from absdomain.attack import fosc
from absdomain.lowering.evaluated import Evaluated
from absdomain.region import L1, L2, Interval, Region
from absdomain.trainers import Moment, RecipeError, read
from absdomain.trainers.attacks import Fgsm
from absdomain.trainers.losses import robust_cross_entropy
from absdomain.trainers.methods.advibp import AdvIBP, Growing, Settings, Watched, Weighing
from absdomain.trainers.moments import Moments


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4)).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(8, 1, 2, 3, dtype=torch.float64), torch.arange(8) % 4


def made(network: nn.Module, domain: str = "box", **given: object) -> AdvIBP:
    settings = replace(Settings(), **{"ramp": Growing.JOINT} | given)  # type: ignore[arg-type]
    example = torch.rand(1, 1, 2, 3, dtype=torch.float64)
    return AdvIBP(network, example, parse(domain), classes=4, settings=settings, eps_end=0.1, warmup=50.0, ramp=50.0)


def gradients(loss: Tensor, network: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters())))


# m_1, m_2, whether the second comes first -> k_1, k_2, the step; by hand, lengths being those of the moments
EXAMPLES = [
    ((3, 4), (4, 3), False, (0.5, 0.5), (3.5, 3.5), False),
    ((2, 0), (0.6, 0.8), True, (0.375, 0.75), (1.2, 0.6), False),
    ((2, 0), (-0.6, 0.8), False, (1.0, 1.2), (1.28, 0.96), True),
    ((2, 0), (-0.6, 0.8), True, (0.3, 1.0), (0.0, 0.8), True),
]


@pytest.mark.parametrize(("first", "second", "second_first", "expected", "step", "opposes"), EXAMPLES)
def test_weights_of_known_moments(
    first: tuple[float, ...],
    second: tuple[float, ...],
    second_first: bool,
    expected: tuple[float, ...],
    step: tuple[float, ...],
    opposes: bool,
) -> None:
    m1, m2 = (torch.tensor(m, dtype=torch.float64) for m in (first, second))
    moments = Moments(2, m1)
    for _ in range(3):  # the same gradient again: after correction, the moments are it
        moments.see(m1, m2)
    k1, k2, opposed = moments.weights(second_first=second_first)
    assert (k1.item(), k2.item()) == pytest.approx(expected)
    torch.testing.assert_close(k1 * m1 + k2 * m2, torch.tensor(step, dtype=torch.float64))
    assert opposed == opposes


def test_moments_are_the_corrected_averages() -> None:
    moments, seen = (
        Moments(3, torch.zeros((), dtype=torch.float64), beta1=0.8, beta2=0.6),
        torch.randn(5, 2, 3, dtype=torch.float64),
    )
    for g1, g2 in seen:
        moments.see(g1, g2)
    at = 4 - torch.arange(5, dtype=torch.float64)
    mean = (0.2 * 0.8**at).view(-1, 1, 1).mul(seen).sum(0)
    norm = (0.4 * 0.6**at).view(-1, 1).mul(seen.norm(dim=2)).sum(0)
    torch.testing.assert_close(moments.mean, mean)
    torch.testing.assert_close(moments.norm, norm)
    assert moments.count == 5


def floats(moments: Moments, second_first: bool) -> tuple[float, float, bool]:
    k1, k2, opposed = moments.weights(second_first=second_first)
    return k1.item(), k2.item(), opposed


def test_weights_at_the_edges() -> None:
    zero, one = torch.zeros(2), torch.tensor([3.0, 4.0])
    empty = Moments(2, zero)
    assert floats(empty, True) == (0.5, 0.5, False)
    for g1, g2, expected in ((zero, zero, (0.5, 0.5)), (one, zero, (1.0, 0.0)), (zero, one, (0.0, 1.0))):
        moments = Moments(2, zero)
        moments.see(g1, g2)
        for second_first in (False, True):
            assert floats(moments, second_first) == (*expected, False)
    same = Moments(2, zero)
    same.see(one, one)
    k1, k2, opposed = same.weights(second_first=False)
    torch.testing.assert_close(k1 * one.double() + k2 * one.double(), one.double())  # g_1 = g_2: the step is g
    assert not opposed
    square = Moments(2, zero)
    square.see(one, torch.tensor([4.0, -3.0]))
    assert [floats(square, first) for first in (True, False)] == [(0.0, 1.0, True), (1.0, 0.0, True)]
    turned = Moments(2, zero)
    turned.see(one, -one)
    k1, k2, opposed = floats(turned, False)
    assert (k1, k2) == pytest.approx((1.0, 1.0))  # no step at all
    assert opposed
    broken = Moments(2, zero)
    broken.see(one, one * torch.inf)
    assert not all(k.isfinite() for k in broken.weights(second_first=True)[:2])


def test_fosc_of_a_known_gradient() -> None:
    """Exact values: at the worst point, at the centre, and at the opposite corner."""
    x, g = torch.full((3, 2), 0.5, dtype=torch.float64), torch.tensor([[2.0, -1.0]] * 3, dtype=torch.float64)
    moved = torch.tensor([[0.1, -0.1], [0.0, 0.0], [-0.1, 0.1]], dtype=torch.float64)
    found = fosc(Linf(x, 0.1), x + moved, g)
    for value, expected in zip(found.tolist(), (Fraction(0), Fraction(3, 10), Fraction(6, 10)), strict=True):
        assert value == pytest.approx(float(expected), abs=1e-15)


@pytest.mark.parametrize("kind", ["clipped", "interval", "l2", "l1"])
def test_fosc_is_the_best_linear_gain(kind: str) -> None:
    torch.manual_seed(2)
    x, g = torch.rand(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    regions: dict[str, Region] = {
        "clipped": Linf(x, 0.3, clip=(0.0, 1.0)),
        "interval": Interval(x - 0.1, x + 0.4),
        "l2": L2(x, 0.3),
        "l1": L1(x, 0.3),
    }
    region = regions[kind]
    points = region.sample(40)
    found = torch.stack([fosc(region, p, g) for p in points])
    gains = torch.stack([((points - p) * g).sum(-1).amax(0) for p in points])
    assert (found >= 0).all()
    assert (found >= gains - 1e-12).all()
    best = region.project(x + 1e6 * g)
    torch.testing.assert_close(fosc(region, best, g), torch.zeros(6, dtype=torch.float64), atol=1e-6, rtol=0)
    if kind == "clipped":
        box = region.box()
        torch.testing.assert_close(
            found[0], torch.maximum(g * (box.upper - points[0]), g * (box.lower - points[0])).sum(1)
        )


class Case:
    """The two losses of one batch, with their gradients, computed apart."""

    def __init__(self, objective: AdvIBP, x: Tensor, y: Tensor, eps: float, domain: str = "box") -> None:
        network = objective.network
        points = Fgsm()(network, Linf(x, eps, clip=(0, 1)), y).requires_grad_()
        losses = functional.cross_entropy(network(points), y, reduction="none")
        (slope,) = torch.autograd.grad(losses.sum(), points, retain_graph=True)
        self.distance = fosc(Linf(x, eps, clip=(0, 1)), points.detach(), slope).mean().item()
        lower = parse(domain).propagate(objective.graph, Linf(x, eps, clip=(0, 1)), margins(y, 4)).lower
        self.first, self.second = losses.mean(), robust_cross_entropy(lower)
        self.g1, self.g2 = gradients(self.first, network), gradients(self.second, network)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("direction", "part"),
    [
        ("agreeing", Watched.ALL),
        ("attack first", Watched.ALL),
        ("bound first", Watched.ALL),
        ("bound first", Watched.FIRST),
    ],
)
def test_the_step_is_its_formula(
    network: nn.Module, batch: tuple[Tensor, Tensor], direction: str, part: Watched
) -> None:
    (x, y), sign = batch, 1 if direction == "agreeing" else -1
    objective = made(network, fosc=0.0 if direction == "bound first" else 100.0, moments=part)
    objective.set(eps=0.1, kappa=0.5)
    torch.manual_seed(3)
    case = Case(objective, x, y, 0.1)
    size = objective.moments.mean.shape[1]
    assert size == (sum(p.numel() for p in network.parameters()) if part is Watched.ALL else 72)
    g1 = torch.cat([g.flatten() for g in case.g1])[:size]
    g2 = sign * (g1 + 0.3 * torch.randn_like(g1))
    objective.moments.see(g1, g2)
    v1, v2, dot = g1.norm(), g2.norm(), (g1 * g2).sum()
    bisector = g1 / v1 + g2 / v2
    length = ((g1 + g2) / 2 @ bisector) / (bisector @ bisector)
    k1, k2, k3 = {
        "agreeing": (length / v1, length / v2, 0.0),
        "attack first": (1.0, -dot / v2**2, 0.0),
        "bound first": (-dot / v1**2, 1.0, 0.5),
    }[direction]
    torch.manual_seed(3)
    step = objective(x, y)
    assert step.loss.item() == pytest.approx((k1 * case.first + k2 * case.second + k3 * case.second**2).item())
    for ours, a, b in zip(gradients(step.loss, network), case.g1, case.g2, strict=True):
        torch.testing.assert_close(ours, k1 * a + (k2 + 2 * k3 * case.second.detach()) * b)
    assert step.metrics["fosc"].item() == pytest.approx(case.distance)
    assert step.metrics["verified_error"] >= step.metrics["train_attack_error"]


def test_the_square_of_the_released_code(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    objective = made(network, fosc=100.0, always_square=True)
    objective.set(eps=0.1, kappa=0.0)
    size = objective.moments.mean.shape[1]
    objective.moments.see(*torch.tensor([[1.0], [-1.0]], dtype=torch.float64).expand(2, size))
    step = objective(*batch)
    first, second = step.metrics["loss_attacked"], step.metrics["loss_bound"]
    assert step.loss.item() == pytest.approx((first + second + second**2 / 2).item())


def test_the_first_moments_of_the_released_code(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    """The first step's own gradients weigh it, and count once more as those before the second step."""
    objective = made(network, present_first=True)
    objective.set(eps=0.1, kappa=0.0)
    seen = objective(*batch).metrics
    assert objective.moments.count == 2
    assert seen["weight_attacked"] != 0.5
    k1, k2, _ = objective.moments.weights(second_first=False)  # of one gradient, seen twice
    assert (seen["weight_attacked"], seen["weight_bound"]) == pytest.approx((k1.item(), k2.item()))
    objective(*batch)
    assert objective.moments.count == 3


@pytest.mark.sampled(3)
@pytest.mark.parametrize("eps", [0.05, 0.1])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_factor_of_the_released_code(
    network: nn.Module, batch: tuple[Tensor, Tensor], eps: float, sign: int
) -> None:
    """v_1 on both weights: after the ramp (the radius is 0.1 then), where the gradients agree."""
    found = []
    for times_length in (True, False):
        objective = made(network, fosc=100.0, times_length=times_length)
        objective.set(eps=eps, kappa=0.0)
        past = 3 * torch.ones(objective.moments.mean.shape[1], dtype=torch.float64)
        objective.moments.see(past, sign * past)
        seen = objective(*batch).metrics
        found.append(torch.stack([seen["weight_attacked"], seen["weight_bound"]]))
    length = torch.linalg.vector_norm(past) if eps == objective.eps_end and sign == 1 else 1.0
    torch.testing.assert_close(found[0], length * found[1])


def test_weights_know_nothing_of_their_batch(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    """Two batches after the same past: the same weights, in each case; afterwards they may differ."""
    x, y = batch
    objective = made(network)
    objective.set(eps=0.1, kappa=0.0)
    fresh = {name: value.clone() for name, value in objective.state_dict().items()}
    for limit, sign in ((0.0, 1), (0.0, -1), (100.0, -1)):
        seen = []
        for images in (x, 1 - x):
            objective.load_state_dict(fresh)
            objective.threshold.fill_(limit)
            past = torch.linspace(1, 2, objective.moments.mean.shape[1], dtype=torch.float64)
            objective.moments.see(past, sign * past.flip(0))
            now = objective(images, y).metrics
            later = objective(x, y).metrics
            seen.append([m[f"weight_{name}"].item() for m in (now, later) for name in ("attacked", "bound")])
        assert seen[0][:2] == seen[1][:2]
        assert seen[0][2:] != seen[1][2:]


def test_fixed_weights_are_the_sum(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    objective = made(network, weights=Weighing.FIXED)
    objective.set(eps=0.1, kappa=0.0)
    for _ in range(2):
        torch.manual_seed(4)
        case = Case(objective, x, y, 0.1)
        torch.manual_seed(4)
        for ours, a, b in zip(gradients(objective(x, y).loss, network), case.g1, case.g2, strict=True):
            torch.testing.assert_close(ours, a + b)


def test_a_mixture_gives_way_as_eps_grows(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    objective = made(network, "mix(deeppoly.guided(by=box), box)", weights=Weighing.FIXED)
    bounds = {name: Case(objective, x, y, 0.1, name).second.item() for name in ("box", "crown-ibp")}
    for beta, expected in ((1.0, bounds["crown-ibp"]), (0.0, bounds["box"])):
        objective.set(eps=0.1, kappa=0.0, beta=beta)
        assert objective(x, y).metrics["loss_bound"].item() == pytest.approx(expected)
    assert objective.domain.weight == 0.0  # type: ignore[attr-defined]
    method = read("advibp")
    recipe = replace(method.recipe(data="digits", domain="mix(deeppoly.guided(by=box), box)"), beta_end=None)
    with pytest.raises(RecipeError, match="beta_end: None cannot be used; the mixture's weight goes to it"):
        method.build(network, x[:1], 4, recipe)


def test_the_phases(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    """Natural, adversarial on a radius that grows, joint; c_t stays until the hold is over, and falls to 0."""
    objective, (x, y) = made(network, natural=10.0, hold=10.0, decay=50.0, fosc=0.5), batch
    clean = functional.cross_entropy(network(x), y).item()
    seen = {}
    for epoch, eps in ((0, 0.0), (10, 0.0), (30, 0.0), (49, 0.0), (60, 0.01), (110, 0.1), (135, 0.1), (160, 0.1)):
        objective.set(eps=eps, kappa=1.0 if eps == 0 else 0.0, at=Moment(2 * epoch, 2))
        metrics = objective(x, y).metrics
        seen[epoch] = (objective.reach.item(), objective.threshold.item(), sorted(metrics)[0] if metrics else "")
    assert [round(reach, 9) for reach, _, _ in seen.values()] == [0, 0, 0.05, 0.0975, 0.01, 0.1, 0.1, 0.1]
    assert [round(limit, 9) for _, limit, _ in seen.values()] == [0.5] * 6 + [0.25, 0.0]
    assert [name for _, _, name in seen.values()] == ["clean_error"] * 2 + ["train_attack_error"] * 2 + ["fosc"] * 4
    objective.set(eps=0.0, kappa=1.0, at=Moment())
    assert objective(x, y).loss.item() == pytest.approx(clean)
    objective.set(eps=0.0, kappa=1.0, at=Moment(20, 1))
    assert objective(x, y).loss.item() > clean


def test_what_is_trained_while_eps_grows(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    """The bound alone; or both losses, the threshold in proportion to eps as FOSC is, or constant as in the paper."""
    limits = {}
    for way in Growing:
        objective = made(network, ramp=way, fosc=0.5)
        objective.set(eps=0.025, kappa=0.0, at=Moment(70, 1))
        limits[way] = objective.threshold.item()
        assert objective.joint == (way is not Growing.ALONE)
        objective.set(eps=0.1, kappa=0.0, at=Moment(100, 1))
        assert objective.joint
        assert objective.threshold.item() == 0.5
    assert limits == {Growing.ALONE: 0.5, Growing.SCALED: pytest.approx(0.125), Growing.JOINT: 0.5}


def test_the_step_of_the_released_code_where_gradients_agree() -> None:
    """v_k in the place of |m_k|^2 / v_k: (v_1 + v_2 + <m_1, m_2> (1 / v_1 + 1 / v_2)) / (2 |b|^2), its formula."""
    seen = torch.tensor([[[3.0, 4.0], [4.0, 3.0]], [[3.0, -4.0], [4.0, -2.0]]], dtype=torch.float64)
    found = []
    for long_step in (False, True):
        moments = Moments(2, seen[0, 0], long_step=long_step)
        for g1, g2 in seen:
            moments.see(g1, g2)
        k1, k2, opposed = moments.weights(second_first=False)
        assert not opposed
        found.append((k1.item(), k2.item()))
    m1, m2 = moments.mean / (1 - 0.9**2)
    v1, v2 = moments.lengths
    assert m1.norm() < 0.9 * v1  # gradients that turn
    bisector = m1 / v1 + m2 / v2
    length = (v1 + v2 + (m1 @ m2) * (1 / v1 + 1 / v2)) / (2 * bisector @ bisector)
    assert found[1] == pytest.approx(((length / v1).item(), (length / v2).item()))
    assert found[1][0] / found[0][0] == pytest.approx(found[1][1] / found[0][1])
    assert found[1][0] > 1.4 * found[0][0]


def test_the_phases_of_the_released_code(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    objective, (x, y) = made(network, ramp=Growing.ALONE, strength=0.0), batch
    objective.set(eps=0.0, kappa=1.0, at=Moment(20, 1))
    assert objective(x, y).loss.item() == pytest.approx(functional.cross_entropy(network(x), y).item())
    objective.set(eps=0.05, kappa=0.0, at=Moment(60, 1))
    torch.manual_seed(5)
    assert objective(x, y).loss.item() == pytest.approx(Case(objective, x, y, 0.05).second.item())
    assert objective.moments.count == 0
    objective.set(eps=0.1, kappa=0.0, at=Moment(100, 1))
    objective(x, y)
    assert objective.moments.count == 1


def test_bounds_and_attacked_logits_share_the_batchs_statistics(batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 4)).double()
    objective = made(network.train(), attack=Fgsm(rate=1e-9))
    objective.set(eps=1e-9, kappa=0.0)  # the bounds are the logits, if they share the statistics
    metrics = objective(x, y).metrics
    assert metrics["loss_bound"].item() == pytest.approx(metrics["loss_attacked"].item(), rel=1e-6)
    objective(x, y).loss.backward()
    assert network[2].num_batches_tracked == 2
    assert all(p.grad is not None for p in network.parameters())


def test_settings_are_checked() -> None:
    for text in ("advibp(beta1=1.0)", "advibp(beta2=-0.1)", "advibp(hold=-1)", "advibp(fosc=-1)"):
        with pytest.raises(RecipeError, match=r"\w+: \S+ cannot be used; give a"):
            read(text)
    assert str(read("advibp(moments=first, weights=fixed)")) == "advibp(weights=fixed, moments=first)"


def test_the_papers_recipes() -> None:
    mnist, cifar = (read("advibp").recipe(data=data) for data in ("mnist", "cifar10"))
    assert (mnist.epochs, mnist.warmup, mnist.ramp, mnist.milestones, mnist.decay) == (250, 50, 50, (150, 200), 0.25)
    assert (cifar.epochs, cifar.warmup, cifar.ramp, cifar.milestones) == (3200, 810, 1000, (2200, 2700))
    assert cifar.eps == pytest.approx(1.1 * cifar.certified_eps)
    half = read("advibp").recipe(data="cifar10", epochs=1600)
    assert half.trainer == "advibp(natural=200.0, decay=140.0)"  # hold is 10, as it is unless said


def deep() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)
    return nn.Sequential(*layers).double()


def test_latent_stages_freeze_one_layer_after_the_other(batch: tuple[Tensor, Tensor]) -> None:
    """Frozen parameters get no gradient, so that not even Adam's momentum moves them; and they come back before."""
    x, y = batch
    network = deep()
    objective = made(network, freeze=(120.0, 140.0))
    for epoch, still in ((119, 0), (120, 1), (139, 1), (140, 2), (110, 0)):
        objective.set(eps=0.1, kappa=0.0, at=Moment(epoch, 1))
        network.zero_grad(set_to_none=True)
        objective(x, y).loss.backward()
        moved = [layer.weight.grad is not None for layer in network if isinstance(layer, nn.Linear)]
        assert moved == [place >= still for place in range(3)]


def test_a_latent_stage_bounds_the_rest_over_the_boxes_of_the_first_layers(batch: tuple[Tensor, Tensor]) -> None:
    """By intervals nothing is lost at the cut; zonotopes forget there what they knew of the first layer."""
    x, y = batch
    network = deep()
    for domain in ("box", "zonotope"):
        plain, frozen = made(network, domain), made(network, domain, freeze=(120.0,))
        losses = []
        for objective in (plain, frozen):
            objective.set(eps=0.1, kappa=0.0, at=Moment(130, 1))
            losses.append(objective(x, y).metrics["loss_bound"].item())
        assert losses[1] == pytest.approx(losses[0]) if domain == "box" else losses[1] > 1.01 * losses[0]


def test_latent_attacks_stay_in_the_box_of_the_values(batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    objective = made(deep(), freeze=(120.0,))
    objective.set(eps=0.1, kappa=0.0, at=Moment(130, 1))
    graph, region = objective._asked(x)
    points = objective._points(Evaluated(graph), region, y)
    box = region.box()
    assert tuple(points.shape) == (8, 12) == tuple(box.lower.shape)
    assert bool(((box.lower <= points) & (points <= box.upper)).all())
    assert bool((points != region.centre).any())


def test_what_cannot_be_frozen_is_told(network: nn.Module) -> None:
    for given, match in (
        ({"freeze": (3.0, 2.0)}, "give rising times"),
        ({"freeze": (3.0,), "moments": Watched.FIRST}, "moments of all"),
        ({"freeze": (120.0, 130.0)}, "give 1 times at most"),
    ):
        with pytest.raises(RecipeError, match=match):
            made(network, **given)
    normed = nn.Sequential(nn.Flatten(), nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 4)).double()
    with pytest.raises(RecipeError, match="batch norms"):
        made(normed, freeze=(120.0,))
    recipe = read("advibp").recipe(data="digits", trainer="advibp(natural=3.0, freeze=(20,))")
    with pytest.raises(RecipeError, match="eps grows until"):
        read(recipe.trainer).build(network, torch.rand(1, 1, 2, 3), 4, recipe)
