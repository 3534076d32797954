"""Bounds in training use the statistics of the batch that the nominal pass saw; evaluation uses the running ones."""

import pytest
import torch
from torch import Tensor, nn

from absdomain import Linf, margins, parse, to_graph
from absdomain.trainers.batchnorm import BatchNorms
from absdomain.trainers.certified import Certified

DOMAINS = ["box", "deeppoly.guided(by=box)", "deeppoly"]


class Shared(nn.Module):
    """One batch norm called twice, and one within a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (
            nn.Conv2d(1, 3, 3, padding=1),
            nn.Conv2d(3, 3, 3, padding=1),
            nn.Linear(12, 4),
        )
        self.twice, self.once = nn.BatchNorm2d(3), nn.BatchNorm1d(12, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.twice(self.first(x)).relu()
        h = (self.twice(self.second(h)) + h).relu()
        return self.last(self.once(h[:, :, ::2, ::2].flatten(1)))  # type: ignore[no-any-return]


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(48, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Linear(8, 4),
    )


@pytest.fixture(params=[plain, Shared], ids=["chain", "shared"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    made: nn.Module = request.param().double()
    for part in made.modules():  # nothing at its starting value
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):
            assert part.running_mean is not None
            part.running_mean.uniform_(-1, 1)
            assert part.running_var is not None
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                nn.init.uniform_(part.weight, -1, 1)
                nn.init.uniform_(part.bias, -1, 1)
    return made


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(6, 1, 4, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.mark.sampled(5)
@pytest.mark.parametrize("domain", DOMAINS)
def test_at_radius_0_the_bounds_are_the_training_logits(
    network: nn.Module, batch: tuple[Tensor, Tensor], domain: str
) -> None:
    x, _ = batch
    logits, graph = BatchNorms.of(network, to_graph(network, x))(x)
    trace = parse(domain).propagate(graph, Linf(x, 0.0))
    torch.testing.assert_close(trace.lower, logits)
    torch.testing.assert_close(trace.upper, logits)
    torch.testing.assert_close(graph(x), logits)
    assert not torch.allclose(to_graph(network, x)(x), logits)  # the running statistics are others


def test_running_statistics_are_updated_once_per_step(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    objective = Certified(network, x, parse("box"), classes=4)
    objective.set(eps=0.1, kappa=0.0)
    objective.train()
    objective(x, y)
    counts = {name: int(value) for name, value in network.state_dict().items() if "tracked" in name}
    assert counts == {name: 2 if "twice" in name else 1 for name in counts}


def test_gradients_flow_through_the_statistics(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    objective = Certified(network, x, parse("box"), classes=4)
    objective.set(eps=0.05, kappa=0.0)
    loss = objective(x, y).loss
    parameter = next(network.parameters())  # of a convolution before a batch norm
    (gradient,) = torch.autograd.grad(loss, parameter)
    direction, step = torch.randn_like(parameter), 1e-6
    with torch.no_grad():
        parameter += step * direction
        above = objective(x, y).loss.item()
        parameter -= 2 * step * direction
        below = objective(x, y).loss.item()
    assert (gradient * direction).sum().item() == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-7)


def test_bounds_hold_for_the_batch_normalised_network(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    """With the batch's statistics fixed, the bounds enclose what perturbed images give."""
    x, y = batch
    _, graph = BatchNorms.of(network, to_graph(network, x))(x)
    region = Linf(x, 0.05)
    lower = parse("deeppoly").propagate(graph, region, margins(y, 4)).lower
    for points in region.sample(50):
        values = torch.einsum("bkn,bn->bk", margins(y, 4).C.double(), graph(points))
        assert (values >= lower - 1e-9).all()


def test_evaluation_uses_the_running_statistics(network: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    x, y = batch
    objective = Certified(network, x, parse("box"), classes=4).eval()
    objective.set(eps=0.0, kappa=0.0)
    logits = network(x)
    values = torch.einsum("bkn,bn->bk", margins(y, 4).C.double(), logits)
    torch.testing.assert_close(objective.lower(x, y), values)
    torch.testing.assert_close(objective.bound(objective.region(x), y), values)
    _, graph = objective.batchnorms(x)
    torch.testing.assert_close(graph(x), logits)


def test_a_norm_that_is_kept_in_evaluation_mode_keeps_its_statistics(batch: tuple[Tensor, Tensor]) -> None:
    x, _ = batch
    network = plain().double()
    network[1].eval()  # type: ignore[index]
    logits, graph = BatchNorms.of(network, to_graph(network, x))(x)
    torch.testing.assert_close(graph(x), logits)
    norm = network[1]  # type: ignore[index]
    assert torch.equal(graph.nodes[2].op.mean, norm.running_mean)  # type: ignore[union-attr]
