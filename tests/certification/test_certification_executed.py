"""Verdicts of the module as machines evaluate it, in the module's own dtype."""

import pytest
import torch
from torch import nn

from absdomain.branching import Verdict as Decided
from absdomain.branching import decide
from absdomain.certification import Status, certify
from absdomain.domain import parse
from absdomain.lowering import to_graph
from absdomain.region import Linf
from absdomain.spec import margins


def absorbing(offset: float) -> nn.Module:
    """x -> (x + offset - x - offset + 1/4, 0), first in single precision: there the sum forgets x."""
    net = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[0].bias.copy_(torch.tensor([0.0, offset]))
        net[1].weight.copy_(torch.tensor([[-1.0, 1.0], [0.0, 0.0]]))
        net[1].bias.copy_(torch.tensor([0.25 - offset, 0.0]))
    return net


@pytest.mark.parametrize(("offset", "executed"), [(2.0**22, Status.FALSIFIED), (1.0, Status.VERIFIED)])
def test_a_network_whose_verdict_in_single_precision_is_another(offset: float, executed: Status) -> None:
    net, x, y = absorbing(offset), torch.tensor([[0.3]]), torch.tensor([0])
    domains = [parse("box & deeppoly")]
    (real,) = certify(net, x, y, eps=0.1, domains=domains)
    (single,) = certify(net, x, y, eps=0.1, domains=domains, executed=torch.float32)
    assert (real.status, single.status) == (Status.VERIFIED, executed)


def test_what_rounding_could_change_is_unknown_where_no_evaluation_shows_it() -> None:
    net, x, y = absorbing(2.0**20), torch.tensor([[0.3]]), torch.tensor([0])
    (single,) = certify(net, x, y, eps=0.1, domains=[parse("box & deeppoly")], attack=None, executed=torch.float32)
    assert single.status is Status.UNKNOWN


def test_a_search_proves_of_all_evaluations_what_it_proves_of_the_reals() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.rand(4, 3)
    y = net(x).argmax(1)
    graph, region, spec = to_graph(net, x), Linf(x, 0.02), margins(y, 3)
    real = decide(graph, region, spec)
    single = decide(graph, region, spec, executed=torch.float32)
    assert [one.verdict for one in real] == [one.verdict for one in single]
    assert Decided.UNSAT in {one.verdict for one in single}
    assert all(one.bound <= other.bound + 1e-9 for one, other in zip(single, real, strict=True))


@pytest.mark.parametrize(
    ("dtype", "executed", "told"),
    [(torch.float64, torch.bfloat16, "convert it"), (torch.float32, torch.float32, "leave dtype out")],
    ids=str,
)
def test_another_dtype_than_the_modules_is_refused(dtype: torch.dtype, executed: torch.dtype, told: str) -> None:
    net, x, y = absorbing(1.0), torch.tensor([[0.3]]), torch.tensor([0])
    with pytest.raises(ValueError, match=told):
        certify(net, x, y, eps=0.1, dtype=dtype, executed=executed)
