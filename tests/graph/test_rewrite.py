"""graph.fuse computes the same function in fewer ops, and touches nothing that somebody else reads."""

import pytest
import torch
from torch import Tensor, nn

import absdomain
from absdomain.domains import Box
from absdomain.graph import fuse

CHAINS = {
    "dense after dense": (nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)), (4,), 1),
    "batch norm after conv": (nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)), (2, 5, 5), 1),
    "batch norm after dense": (nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU()), (4,), 2),
    "norm between denses": (nn.Sequential(nn.Linear(4, 5, bias=False), nn.BatchNorm1d(5), nn.Linear(5, 2)), (4,), 1),
    "conv without bias, 1d": (nn.Sequential(nn.Conv1d(2, 4, 3, bias=False), nn.BatchNorm1d(4)), (2, 6), 1),
    "nothing to merge": (nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, padding=1)), (2, 5, 5), 2),
}


class Shared(nn.Module):
    """The convolution's value is read by the norm and by the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        return h + self.norm(h)


def alive(module: nn.Module) -> nn.Module:
    """The module in double precision with running statistics that are not the initial ones."""
    module = module.double()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            part.weight.data.normal_()
            part.bias.data.normal_()
    return module.eval()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", CHAINS)
def test_the_same_function_in_fewer_ops(name: str) -> None:
    module, shape, ops = CHAINS[name]
    x = torch.randn(3, *shape, dtype=torch.float64)
    graph = absdomain.to_graph(alive(module), x)
    merged = fuse(graph)
    assert len(merged.schedule) == ops
    torch.testing.assert_close(merged(x), graph(x), rtol=1e-12, atol=1e-12)
    assert merged.output.name == graph.output.name
    region = absdomain.Linf(x, 0.1)
    ours, theirs = Box().propagate(merged, region), Box().propagate(graph, region)
    assert bool((ours.lower >= theirs.lower - 1e-12).all())
    assert bool((ours.upper <= theirs.upper + 1e-12).all())


@pytest.mark.parametrize("factor", [2.0, torch.tensor([[[2.0], [3.0], [4.0]]], dtype=torch.float64)])
def test_a_scaling_is_merged_only_where_it_is_one_factor_a_channel(factor: float | Tensor) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) * factor + 1

    x = torch.randn(2, 2, 5, 5, dtype=torch.float64)
    graph = absdomain.to_graph(Scaled().double(), x)
    merged = fuse(graph)
    assert len(merged.schedule) == (1 if isinstance(factor, float) else 2)
    torch.testing.assert_close(merged(x), graph(x), rtol=1e-12, atol=1e-12)


def test_what_others_read_is_left_alone() -> None:
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64)
    graph = absdomain.to_graph(alive(Shared()), x)
    merged = fuse(graph)
    assert len(merged.schedule) == len(graph.schedule)
    torch.testing.assert_close(merged(x), graph(x), rtol=1e-12, atol=1e-12)
