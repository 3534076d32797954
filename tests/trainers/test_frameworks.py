"""Objectives are plain modules: torch.compile and DistributedDataParallel take them as they are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from absdomain import Mix, parse
from absdomain.trainers import Certified, CrownIBP, Natural, Objective, softplus
from absdomain.trainers.adversarial import Adversarial
from absdomain.trainers.attacks import Fgsm
from absdomain.trainers.certified import Settings
from absdomain.trainers.kappa import Adaptive
from absdomain.trainers.methods.trades import Trades

SETTINGS = Settings(softplus, elision=False, weight=Adaptive())


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(5, 1, 6, 6), torch.tensor([0, 1, 2, 3, 0])


@pytest.fixture(params=["natural", "certified", "crown-ibp", "settings"])
def objective(request: pytest.FixtureRequest, batch: tuple[Tensor, Tensor]) -> Objective:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(18, 4))
    mixture = parse("mix(deeppoly.guided(by=box), box)")
    assert isinstance(mixture, Mix)
    made: dict[str, Objective] = {
        "natural": Natural(network),
        "certified": Certified(network, batch[0], parse("box"), classes=4),
        "crown-ibp": CrownIBP(network, batch[0], mixture, classes=4),
        "settings": Certified(network, batch[0], parse("box"), classes=4, settings=SETTINGS),
    }
    return made[request.param]


def learn(objective: Objective) -> None:
    """Let a weight that learns be one that has learnt."""
    if isinstance(objective, Certified) and objective.settings.weight.learns:
        objective.learnt.fill_(0.4)


@pytest.mark.sampled(3)
def test_an_objective_compiles_whole_and_once(objective: Objective, batch: tuple[Tensor, Tensor]) -> None:
    torch.compiler.reset()
    compilations = []

    def backend(module: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        compilations.append(inputs)
        return module

    compiled = torch.compile(objective, fullgraph=True, backend=backend)
    for eps, beta in ((0.1, 0.7), (0.2, 0.4), (0.25, 0.3)):
        learn(objective)
        objective.set(eps=eps, kappa=0.5, beta=beta)
        assert compiled(*batch).loss.item() == pytest.approx(objective(*batch).loss.item(), rel=1e-6)
    assert len(compilations) == 1


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.sampled(3)
@pytest.mark.usefixtures("process_group")
def test_an_objective_trains_distributed(objective: Objective, batch: tuple[Tensor, Tensor]) -> None:
    learn(objective)
    objective.set(eps=0.1, kappa=0.5, beta=0.5)
    expected = torch.autograd.grad(objective(*batch).loss, list(objective.parameters()))
    DistributedDataParallel(objective)(*batch).loss.backward()
    for parameter, gradient in zip(objective.parameters(), expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("kind", [Adversarial, Trades])
def test_an_adversarial_objective_trains_distributed(kind: type[Adversarial], batch: tuple[Tensor, Tensor]) -> None:
    objective = kind(nn.Sequential(nn.Flatten(), nn.Linear(36, 4)), Fgsm())
    objective.set(eps=0.1, kappa=0.5)
    torch.manual_seed(1)
    expected = torch.autograd.grad(objective(*batch).loss, list(objective.parameters()))
    torch.manual_seed(1)
    DistributedDataParallel(objective)(*batch).loss.backward()
    for parameter, gradient in zip(objective.parameters(), expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient)
