"""Weights that keep boxes from growing, and penalties that see boxes grow or ReLUs die, fading as eps grows."""

import math

import pytest
import torch
from torch import Tensor, nn

from absdomain import Linf, parse, to_graph
from absdomain.data.normalise import Normalise
from absdomain.linear import Bounds
from absdomain.registry import find
from absdomain.trainers import Certified, Recipe, RecipeError, read
from absdomain.trainers.certified import Settings
from absdomain.trainers.run.folder import build_network
from absdomain.trainers.stabilise import balance, ibp, regulariser, tightness


def deep() -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs in (64, *[200] * 5):
        layers += [nn.Linear(inputs, 200), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(200, 4)).double()


def growth(network: nn.Module, x: Tensor) -> list[float]:
    graph = to_graph(network, x)
    trace = parse("box").propagate(graph, Linf(x, 0.01), keep=True)
    boxes = [trace.at(node.name) for node in graph.nodes]
    return [(box.radius.mean() / 0.01).item() for box in boxes if box.shape in ((200,), (4,))]


def test_the_initialisation_keeps_the_radius_of_boxes() -> None:
    network, x = deep(), torch.rand(4, 1, 8, 8, dtype=torch.float64)
    plain = growth(network, x)
    before = [p.clone() for p in network.parameters()]
    ibp(network)
    kept = growth(network, x)
    assert plain[-2] > 1000  # behind the last ReLU
    assert all(1.8 < ratio < 3 for ratio in kept[:-1:2])  # a layer doubles the radius,
    assert all(0.9 < ratio < 1.5 for ratio in kept[1::2])  # a ReLU halves it
    untouched = [torch.equal(p, q) for p, q in zip(before, network.parameters(), strict=True)]
    assert untouched == [False, True] * 6 + [True, True]  # biases, and the last layer
    spread = network[3].weight.std().item() * 200
    assert spread == pytest.approx(math.sqrt(2 * math.pi), rel=0.03)


def box(lower: list[float], upper: list[float]) -> Bounds:
    return Bounds(torch.tensor([lower]), torch.tensor([upper]))


def test_tightness_of_known_boxes() -> None:
    first = box([0.0, 0.0], [0.2, 0.2])  # radius 0.1
    assert tightness(first, [box([0.0, 0.0], [0.3, 0.5])]).item() == pytest.approx(0.0)  # 0.2: the ratio is tau
    assert tightness(first, [box([0.0, 0.0], [0.8, 0.8]), first]).item() == pytest.approx(0.25)  # (0.5 - 0.25) / 0.5, 0


def test_balance_of_known_boxes() -> None:
    both = box([1.0, 1.0, -2.0, -1.0], [3.0, 3.0, -1.0, 1.0])  # centres 2, 2, -1.5 and, unstable, 0; mean 0.625
    alpha, beta = 1.5 / 4, 2 * 1.375**2 / 2.125**2
    assert balance([both]).item() == pytest.approx((0.5 - alpha) / 0.5 + max(0.5 - min(beta, 1 / beta), 0) / 0.5)
    assert balance([box([1.0, -3.0], [2.0, -1.0]), both]).item() == pytest.approx(balance([both]).item() / 2)
    for one_sided in (box([1.0, 2.0], [2.0, 3.0]), box([-2.0, -1.0], [-1.0, -0.5]), box([-1.0, -1.0], [1.0, 1.0])):
        assert balance([one_sided]).item() == 0.0


def test_the_regulariser_reads_the_boxes_of_relus() -> None:
    torch.manual_seed(3)
    x = torch.rand(5, 1, 2, 3, dtype=torch.float64)
    network = nn.Sequential(
        Normalise((0.5,), (0.25,)),
        nn.Flatten(),
        nn.Linear(6, 8),
        nn.ReLU(),
        nn.Linear(8, 4),
        nn.ReLU(),
        nn.Linear(4, 2),
    ).double()
    graph, region = to_graph(network, x), Linf(x, 0.1, clip=(0, 1))
    trace = parse("box").propagate(graph, region, keep=True)
    linear = [trace.at(node.name) for node in graph.nodes if node.shape in ((8,), (4,))][::2]
    scaled = Bounds((region.box().lower - 0.5) * 4, (region.box().upper - 0.5) * 4)
    expected = tightness(scaled, linear) + balance(linear)
    found = regulariser(graph, region)
    assert found.item() == pytest.approx(expected.item())
    assert found > 0
    found.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network[2].parameters())
    plain = nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).double()
    assert regulariser(to_graph(plain, x), region).item() == 0.0


def test_the_regulariser_fades_as_eps_grows() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 50), nn.ReLU(), nn.Linear(50, 4)).double()
    with torch.no_grad():
        network[1].weight *= 10  # so that boxes grow
    x, y = torch.rand(5, 1, 2, 3, dtype=torch.float64), torch.arange(5) % 4
    objective = Certified(network, x[:1], parse("box"), classes=4, settings=Settings(regularise=0.5), eps_end=0.2)
    without = Certified(network, x[:1], parse("box"), classes=4)
    for eps, intensity in ((0.0, 0.5), (0.05, 0.375), (0.2, 0.0), (0.3, 0.0)):
        for each in (objective, without):
            each.set(eps=eps, kappa=0.0 if eps else 1.0)
        expected = intensity * regulariser(objective.graph, Linf(x, max(eps, 1e-6), clip=(0, 1)))
        step = objective(x, y)
        assert (step.loss - without(x, y).loss).item() == pytest.approx(expected.item(), abs=1e-12)
        assert ("regulariser" in step.metrics) == (intensity > 0)
        assert (expected > 0) == (intensity > 0)


def test_what_cannot_be_used_is_said() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 2))
    with pytest.raises(RecipeError, match=r"eps_end: 0\.0 cannot be used; the regulariser fades"):
        Certified(network, torch.rand(1, 6), parse("box"), settings=Settings(regularise=0.5))
    with pytest.raises(RecipeError, match=r"regularise: -1\.0 cannot be used"):
        Settings(regularise=-1.0)
    text = "certified(initialisation=ibp, regularise=0.5)"
    assert str(read(text)) == text


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("preset", "starts"), [
    ("cifar10-2-255-robustra-small", True),
    ("cifar10-8-255-robustra-resnet", True),
    ("cifar10-8-255-wong-kolter-small", True),
    ("cifar10-2-255-wong-kolter-large", False),
    ("mnist-0.1-robustra-small", False),
])  # fmt: skip
def test_networks_for_cifar10_start_as_in_the_public_code(preset: str, starts: bool) -> None:
    """Kernels from N(0, 2 / (k k out)), zero biases, in both networks of a pair; the others start as PyTorch draws."""
    recipe: Recipe = find("presets", preset)  # type: ignore[assignment]
    shape = (3, 32, 32) if recipe.data == "cifar10" else (1, 28, 28)
    torch.manual_seed(0)
    network = build_network(recipe, shape, 10)
    objective = read(recipe.trainer).build(network, torch.rand(1, *shape), 10, recipe)
    for model in objective.models.values():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                deviation = (2 / (layer.kernel_size[0] ** 2 * layer.out_channels)) ** 0.5
                as_said = abs(layer.weight.std().item() / deviation - 1) < 0.15
                assert (as_said and not layer.bias.any()) == starts  # type: ignore[union-attr]
            if isinstance(layer, nn.Linear):
                assert layer.bias.any()
