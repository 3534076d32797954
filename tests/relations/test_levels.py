"""Relaxations whose numbers are infinite or too large: nothing but what depends on them is lost, and nothing is NaN."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from absdomain import Graph, Linf, Node, freeze, parse
from absdomain.linear import Rows
from absdomain.lowering import to_graph
from absdomain.ops import GELU, Conv, Dense, Exp, Product, Reciprocal, ReLU, Scale, Sigmoid, Square, Tanh

D64 = torch.float64
AROUND_THE_POLE = Linf(torch.tensor([[0.0, 2.0]], dtype=D64), 1.0)  # of 1 / x in its first entry
RELATIONAL = ("deeppoly", "deeppoly(slopes=parallel)", "deeppoly(search=ascent(steps=3))", "dual", "zonotope",
              "zonotope(symbols=2)")  # fmt: skip
FEW = ("deeppoly", "zonotope", "dual", "box", "box & deeppoly")
SOUND = (*RELATIONAL, *FEW[3:], "box & zonotope", "deeppoly.guided(by=box)", "mix(deeppoly, zonotope)")


class Block(nn.Module):
    """Attention with one head and a GELU, each after a layer norm and beside a residual branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, tokens, width) -> the same."""
        y = self.norms[0](x)
        scores = (self.q(y).unsqueeze(2) * self.k(y).unsqueeze(1)).sum(-1)
        x = x + self.o((scores.softmax(-1).unsqueeze(-1) * self.v(y).unsqueeze(1)).sum(2))
        return x + self.mlp(self.norms[1](x))


class Transformer(nn.Module):
    """Patches of an image as tokens, blocks, and the mean of what they say."""

    def __init__(self, blocks: int, width: int = 4) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, 4, stride=4)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 8, 8) -> (B, 3)."""
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        return self.head(self.blocks(tokens)).mean(1)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", [pytest.param(t, marks=[] if t in FEW else pytest.mark.slow) for t in SOUND])
def test_a_deep_smooth_network_has_bounds(text: str) -> None:
    """The scores of the second block are so loose that exp overflows, and with it its chord and its tangents."""
    torch.manual_seed(0)
    model = Transformer(2).double().eval()
    x = torch.rand(8, 1, 8, 8, dtype=D64)
    graph, region = freeze(to_graph(model, x[:1])), Linf(x, 0.08)
    with torch.no_grad():
        values = torch.stack([graph(p) for p in region.sample(200)])
        trace = parse(text).propagate(graph, region)
        assert bool((trace.lower <= values.amin(0)).all())
        assert bool((trace.upper >= values.amax(0)).all())
        assert bool(trace.lower.isfinite().all() & trace.upper.isfinite().all())


def beside(op: object, *rest: object) -> Graph:
    """x -> an op of (x_0, relu(x_1)) at 0 and 1, and the sum and the second alone of what the rest makes of it."""
    chain = [Dense(torch.eye(2, dtype=D64)), op, *rest, Dense(torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=D64))]
    return Graph.of([Node("x", None, (), (2,)), *(Node(f"n{i}", o, (i,), (2,)) for i, o in enumerate(chain))])  # type: ignore[arg-type]


@pytest.mark.parametrize("text", RELATIONAL)
def test_what_does_not_read_an_infinite_entry_keeps_its_bounds(text: str) -> None:
    """1 / x over [-1, 1] may be any number, and over [1, 3] it is no more than 1."""
    trace = parse(text).propagate(beside(Reciprocal()), AROUND_THE_POLE)
    assert (trace.lower[0, 0].item(), trace.upper[0, 0].item()) == (-torch.inf, torch.inf)
    assert trace.lower[0, 1].item() <= 1 / 3
    assert trace.upper[0, 1].item() == pytest.approx(1.0)
    assert trace.lower[0, 1].item() > -0.1


@pytest.mark.parametrize(("op", "least"), [(Square(), 0.0), (GELU(), -0.17), (ReLU(), 0.0)], ids=repr)
@pytest.mark.parametrize("text", [*RELATIONAL[:4], "box"])
def test_an_infinite_box_has_an_image(text: str, op: object, least: float) -> None:
    """A zonotope has no place for one end."""
    trace = parse(text).propagate(Graph.of(beside(Reciprocal(), op).nodes[:-1]), AROUND_THE_POLE)
    assert trace.lower[0, 0].item() == pytest.approx(least, abs=1e-2)
    assert trace.upper[0, 0].item() == torch.inf
    assert bool(trace.lower[0, 1].isfinite() & trace.upper[0, 1].isfinite())


@pytest.mark.parametrize("text", [*RELATIONAL, "box"])
def test_an_op_with_levels_ends_what_has_no_end(text: str) -> None:
    trace = parse(text).propagate(Graph.of(beside(Reciprocal(), Sigmoid()).nodes[:-1]), AROUND_THE_POLE)
    assert trace.lower[0, 0].item() == pytest.approx(0.0, abs=1e-9)
    assert trace.upper[0, 0].item() == pytest.approx(1.0)


@pytest.mark.parametrize("text", [*RELATIONAL, "box"])
def test_a_product_with_an_infinite_factor_is_any_number_and_no_other_is(text: str) -> None:
    nodes = beside(Reciprocal()).nodes[:-1]
    graph = Graph.of([*nodes, Node("p", Product(), (2, 1), (2,))])
    trace = parse(text).propagate(graph, AROUND_THE_POLE)
    assert (trace.lower[0, 0].item(), trace.upper[0, 0].item()) == (-torch.inf, torch.inf)
    assert bool(trace.lower[0, 1].isfinite() & trace.upper[0, 1].isfinite())


LAYERS = {
    "dense": Dense(torch.tensor([[1.0, 1.0], [0.0, 1.0], [-1.0, 1.0]], dtype=D64)),
    "convolution": Conv(
        torch.tensor([[[1.0], [1.0]], [[0.0], [1.0]], [[-1.0], [1.0]]], dtype=D64), None, (1,), (0,), (1,)
    ),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("text", [*SOUND, "box & deeppoly & zonotope", "zonotope.guided(by=box)"])
def test_a_layer_reads_an_infinite_end_by_the_signs_of_its_weights(text: str, layer: str) -> None:
    """exp(1000 x) overflows in its first entry and stays within [1/e, e] in the second."""
    shape = (2,) if layer == "dense" else (2, 1)
    scale, after = Scale(torch.tensor(1000.0, dtype=D64)), LAYERS[layer]
    chain = [scale, Exp(), after, ReLU(), Tanh()]
    nodes = [Node("x", None, (), shape)]
    for place, op in enumerate(chain):
        nodes.append(Node(f"n{place}", op, (place,), op.shape(nodes[-1].shape)))
    region = Linf(torch.zeros(1, *shape, dtype=D64), torch.tensor([1.0, 1e-3], dtype=D64).view(1, *shape))
    trace = parse(text).propagate(Graph.of(nodes), region, keep=True)
    box, whole = trace.at("n2"), torch.inf
    upper = [whole, math.e, whole if "zonotope" in text and "&" not in text else math.e]
    assert box.upper.flatten().tolist() == pytest.approx(upper)
    assert box.lower.flatten()[2].item() == -whole
    assert box.lower.flatten()[1].item() <= 1 / math.e + 1e-9
    assert bool(trace.lower.isfinite().all() & trace.upper.isfinite().all())
    at = torch.tanh(torch.tensor([1 + math.e, math.e, math.e - 1], dtype=D64).relu())
    assert bool(((trace.lower.flatten() <= at + 1e-9) & (at - 1e-9 <= trace.upper.flatten())).all())


@pytest.mark.parametrize("text", ["deeppoly", "dual", "zonotope"])
def test_planes_above_what_is_not_known_are_infinite(text: str) -> None:
    domain = parse(text)
    trace = domain.propagate(beside(Reciprocal()), AROUND_THE_POLE)
    rows, constants = domain.planes(trace.output)
    assert isinstance(rows, Rows)
    assert constants[0].item() == torch.inf
    assert bool(constants[1].isfinite())
