"""The looseness of a bound is shared out over the layers without a remainder, and each share is where it is lost."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from absdomain import L2, Explanation, Graph, UnsupportedOp, explain, halfspaces, to_graph
from absdomain.certification import Refused
from absdomain.runtime.writing import WriteError

SLOW = [pytest.param(domain, marks=pytest.mark.slow) for domain in ("zonotope", "alpha-crown", "lp")]
DOMAINS = ["box", "box & deeppoly(slopes=zero)", *SLOW]


class Residual(nn.Module):
    """Layers of several kinds, and an activation that is read twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second, self.last = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x).relu()
        return self.last(h + self.second(h).sigmoid() * h)


X = torch.rand(7, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return Residual()


@pytest.fixture(scope="module")
def graph(net: nn.Module) -> Graph:
    return to_graph(net, X)


def identity(found: Explanation) -> Tensor:
    return found.bound + found.lines + found.costs.sum(1)


@pytest.mark.parametrize("domain", DOMAINS)
def test_nothing_remains_and_no_layer_gains(net: nn.Module, graph: Graph, domain: str) -> None:
    y = net(X).argmax(1)
    found = explain(graph, X, y, eps=0.2, domain=domain, batch=3)
    torch.testing.assert_close(identity(found), found.value, rtol=0, atol=1e-11)
    assert bool((found.costs >= -1e-11).all())
    assert len(found.names) == found.costs.shape[1] == 3, "a relu, a sigmoid and a product"
    assert bool(((found.points - X).abs() <= 0.2 + 1e-12).all()) and bool(found.points.ge(0).all())
    logits = net.double()(found.points)
    net.float()
    margins = logits.gather(1, y.unsqueeze(1)) - logits
    assert bool((margins - found.value.unsqueeze(1)).abs().amin(1).lt(1e-9).all()), "the value is no margin there"


def test_a_hand_made_example() -> None:
    """1.5 - relu(x) - relu(-x) over [-1, 1]: lines give 0.5 - 0 x, and at 0 each relu loses a half. Boxes give -0.5."""
    net = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1))
    net[0].weight.data, net[2].weight.data = torch.tensor([[1.0], [-1.0]]), torch.tensor([[-1.0, -1.0]])
    net[2].bias.data = torch.tensor([1.5])
    spec, asked = halfspaces(torch.ones(1, 1), torch.zeros(1)), {"eps": 1.0, "clip": None}
    graph = to_graph(net, torch.zeros(1, 1))
    for domain, bound, lines in (("deeppoly", 0.5, 0.0), ("box", -0.5, 1.0)):
        found = explain(graph, torch.zeros(1, 1), spec=spec, domain=domain, **asked)  # type: ignore[arg-type]
        numbers = [t.item() for t in (found.bound, found.lines, found.costs, found.value)]
        assert numbers == pytest.approx([bound, lines, 1.0, 1.5], abs=1e-12)
        (layer,) = found.layers
        assert (layer.operation, layer.entries, layer.relaxed, layer.width) == ("ReLU", 2, 1.0, pytest.approx(2.0))
        assert (layer.loosest, found.worst) == (1, layer.layer)


def test_the_layer_that_is_made_loose_is_found() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)
    )
    graph = to_graph(net, X)
    for loose in (0, 2, 4):
        for place in (0, 2, 4):
            net[place].bias.data.fill_(0.0 if place == loose else 100.0)
            with torch.no_grad():
                net[loose].bias.data -= net[: loose + 1](X).mean(0)
        found = explain(graph, X, torch.zeros(7, dtype=torch.int64), eps=0.3, domain="deeppoly")
        assert found.worst == str(loose + 1)
        for layer in found.layers:
            assert (layer.looseness > 1e-9) == (layer.relaxed > 0) == (layer.layer == found.worst)


@pytest.mark.slow
def test_regions_and_modules_as_certify_takes_them(net: nn.Module, graph: Graph) -> None:
    y = net(X).argmax(1)
    by_region = explain(graph, X, y, region=lambda x: L2(x, 0.3))
    torch.testing.assert_close(identity(by_region), by_region.value, rtol=0, atol=1e-11)
    of_module, of_graph = explain(net, X, y, eps=0.1), explain(graph, X, y, eps=0.1)
    torch.testing.assert_close(of_graph.bound, of_module.bound)
    torch.testing.assert_close(of_graph.costs, of_module.costs)


def test_bounds_that_are_no_numbers_are_left_out(graph: Graph) -> None:
    found = explain(graph, X.double() * 1e308, torch.zeros(7, dtype=torch.int64), eps=1.0, clip=None, domain="box")
    assert not bool(found.finite.any())
    assert found.worst is None
    assert found.to_json()["bound"] is None


def test_what_it_says_for_people_and_programs(net: nn.Module, graph: Graph, tmp_path: Path) -> None:
    found = explain(graph, X, net(X).argmax(1), eps=0.2)
    told = found.to_json()
    assert told["images"] == told["finite"] == 7
    total = sum(layer["looseness"] for layer in told["layers"])
    assert told["bound"] + told["lines"] + total == pytest.approx(told["value"])
    assert sum(layer["loosest"] for layer in told["layers"]) == 7
    assert found.worst is not None
    assert found.worst in found._repr_html_() and found.worst in repr(found)
    assert found.worst in "".join(text.get_text() for text in found.draw().axes[0].texts)
    found.draw(tmp_path / "graph.svg")
    assert "#dbe9f6" in (tmp_path / "graph.svg").read_text()
    (tmp_path / "theirs.svg").write_text("<svg/>")
    with pytest.raises(WriteError):
        found.draw(tmp_path / "theirs.svg")
    pytest.importorskip("pandas", reason="pip install absdomain[pandas]")
    assert found.to_pandas()["looseness"].tolist() == [layer.looseness for layer in found.layers]


def test_what_is_refused(net: nn.Module, graph: Graph) -> None:
    y = net(X).argmax(1)
    with pytest.raises(Refused):
        explain(graph, X, y, eps=0.1, domain="symbolic_gap")
    with pytest.raises(TypeError, match="explain, model"):
        explain("net", X, y, eps=0.1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="explain, domain"):
        explain(graph, X, y, eps=0.1, domain=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a graph has its preprocessing"):
        explain(graph, X, y, eps=0.1, output="logits")


@pytest.mark.slow
def test_a_domain_without_a_rule_is_told(net: nn.Module, graph: Graph) -> None:
    with pytest.raises(UnsupportedOp):
        explain(graph, X, net(X).argmax(1), eps=0.1, domain="exact")  # a sigmoid is not piecewise linear
