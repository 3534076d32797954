"""Bounds and gradients by coefficients on patches are those of coefficients written out, on random networks."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from absdomain import L1, L2, Bounds, Graph, Interval, Linf, Region, parse
from absdomain.domains import Box, DeepPoly, Dual
from absdomain.graph import Node
from absdomain.kinds import Affine, Op, Shape
from absdomain.laws import check_region, drawing
from absdomain.laws.derivatives import weights, with_weights
from absdomain.laws.drawing import generator, normal
from absdomain.laws.problems import AnyDomain
from absdomain.linear import Rows
from absdomain.linear.roots import units
from absdomain.ops import Add, Concat, Conv, Dense, LeakyReLU, Max, ReLU, Reshape
from absdomain.region import Constraints, Draws
from absdomain.relations import backward
from absdomain.relations.slopes import parallel

D64 = torch.float64


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=D64)


REGIONS: dict[str, Callable[[Tensor], Region]] = {
    "linf": lambda x: Linf(x, 0.3, clip=(-0.4, 0.6)),
    "l2": lambda x: L2(x, 0.7),
    "l1": lambda x: L1(x, 0.4 + 0.3 * torch.linspace(0, 1, x.shape[-1], dtype=D64)),
    "interval": lambda x: Interval(x - 0.2, x + torch.linspace(0, 0.5, x.shape[-1], dtype=D64)),
}
DOMAINS = (DeepPoly(), DeepPoly(slopes=parallel), Dual(), Box() & DeepPoly(), DeepPoly().guided(by=Box()))
SPATIAL = (drawing.batch_norm, drawing.scale, drawing.avg_pool, drawing.pad, drawing.pool_windows, drawing.permute)


def conv(rng: Random, shape: Shape, *, same: bool = False) -> Conv:
    """Any convolution that suits the shape; with `same`, one whose value has the shape of its argument."""
    groups = rng.choice([g for g in (1, 1, 1, 2, 3) if shape[0] % g == 0])
    channels = shape[0] if same else groups * rng.randint(1, 3)
    reach = [rng.choice((0, 1, 2)) for _ in shape[1:]]
    kernel = tuple(2 * r + 1 if same else rng.randint(1, min(4, n)) for r, n in zip(reach, shape[1:], strict=True))
    padding = tuple(reach) if same else tuple(rng.randint(0, 2) for _ in kernel)
    stride = tuple(1 if same else rng.randint(1, 3) for _ in kernel)
    spare = [not same and 2 * (k - 1) < n for k, n in zip(kernel, shape[1:], strict=True)]
    dilation = tuple(rng.choice((1, 2)) if ok else 1 for ok in spare)
    fan = shape[0] // groups
    bias = normal(rng, channels) / 4
    return Conv(
        normal(rng, channels, fan, *kernel) / (fan * prod(kernel)) ** 0.5, bias, stride, padding, dilation, groups
    )


def stack(rng: Random, axes: int = 2, size: int = 8) -> Graph:
    """A random convolutional network: residual sums, concatenations, pooling, and often a dense head."""
    shape = (rng.randint(1, 3), *(rng.randint(5, 9) for _ in range(axes)))
    nodes = [Node("x", None, (), shape)]

    def add(op: Op, *args: int) -> None:
        made = op.shape(*(nodes[a].shape for a in args))
        if 0 < prod(made) <= 400:
            nodes.append(Node(f"{type(op).__name__.lower()}_{len(nodes)}", op, args, made))

    add(conv(rng, shape), 0)
    while len(nodes) < size:
        last, at = len(nodes) - 1, nodes[-1].shape
        alike = [p for p, node in enumerate(nodes[:-1]) if node.shape == at]
        beside = [p for p, node in enumerate(nodes) if node.shape[1:] == at[1:]]
        chance = rng.random()
        if len(at) != axes + 1:
            break
        if chance < 0.35:
            add(conv(rng, at, same=rng.random() < 0.5), last)
        elif chance < 0.65:
            add(rng.choice((ReLU(), LeakyReLU(0.1))), last)
        elif chance < 0.8 and alike:
            add(Add(), last, rng.choice(alike))
        elif chance < 0.85:
            add(Concat(1), rng.choice(beside), last)
        elif (op := rng.choice(SPATIAL)(rng, at)) is not None:
            add(op, last)
            if len(nodes[-1].shape) == axes + 2:
                add(Max(-3), len(nodes) - 1)
    if rng.random() < 0.5:
        add(Reshape((prod(nodes[-1].shape),)), len(nodes) - 1)
        add(Dense(normal(rng, 4, nodes[-1].shape[0]) / 4, normal(rng, 4)), len(nodes) - 1)
    add(ReLU(), len(nodes) - 1)
    return Graph.of(nodes)


def point(graph: Graph, rng: Random, batch: int = 2) -> Tensor:
    return torch.rand(batch, *graph.input.shape, dtype=D64, generator=generator(rng)) - 0.5


def written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on every coefficient is written out."""
    monkeypatch.setattr(backward, "windows", lambda shape, like, where, most: units(shape, like, where))


def count_framed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bundles on windows an op gives from here on, in the list's length."""
    seen: list[int] = []
    shipped = Rows.framed

    def framed(self: Rows, *args: Any) -> Rows:
        seen.append(1)
        return shipped(self, *args)

    monkeypatch.setattr(Rows, "framed", framed)
    return seen


def all_bounds(domain: AnyDomain, graph: Graph, region: Region) -> list[Tensor]:
    """Both ends at every node."""
    trace = domain.propagate(graph, region, keep=True)
    found = [trace.at(node.name) for node in graph.nodes]
    return [end for b in found for end in (b.lower, b.upper)]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("kind", REGIONS)
def test_bounds_are_those_of_coefficients_written_out(kind: str, axes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    framed = count_framed(monkeypatch)
    for seed in range(12):
        rng = Random(f"{kind}{axes}{seed}")
        graph = stack(rng, axes)
        domain, region = DOMAINS[seed % len(DOMAINS)], REGIONS[kind](point(graph, rng))
        patches = all_bounds(domain, graph, region)
        with monkeypatch.context() as dense:
            written_out(dense)
            whole = all_bounds(domain, graph, region)
        for mine, exact in zip(patches, whole, strict=True):
            torch.testing.assert_close(mine, exact, rtol=1e-10, atol=1e-10)
    assert len(framed) > 40


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", REGIONS)
def test_gradients_are_those_of_coefficients_written_out(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(6):
        rng = Random(f"gradient {kind}{seed}")
        graph = stack(rng, size=6)
        domain, x = DOMAINS[seed % 3], point(graph, rng)
        inputs = [x, *weights(graph)]

        def gradients(
            graph: Graph = graph, domain: AnyDomain = domain, inputs: list[Tensor] = inputs, seed: int = seed
        ) -> tuple[Tensor, ...]:
            held = [t.clone().requires_grad_() for t in inputs]
            ends = all_bounds(domain, with_weights(graph, held[1:]), REGIONS[kind](held[0]))
            chance = Random(seed)
            total = sum(((end * normal(chance, *end.shape)).sum() for end in ends), start=torch.zeros((), dtype=D64))
            return torch.autograd.grad(total, held, allow_unused=True, materialize_grads=True)

        patches = gradients()
        with monkeypatch.context() as dense:
            written_out(dense)
            whole = gradients()
        for mine, exact in zip(patches, whole, strict=True):
            torch.testing.assert_close(mine, exact, rtol=1e-10, atol=1e-10 * (1 + float(exact.abs().max())))


def undecided(graph: Graph, region: Region) -> list[backward.Relation]:
    """DeepPoly's relations at the nodes that are not exact already."""
    trace = DeepPoly().propagate(graph, region, keep=True)
    return [e for e in trace._elements if e is not None and e.exact is None]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("chance", [0.02, 0.3, 0.9, 0.0])
def test_bounds_of_some_neurons_are_those_of_all(chance: float) -> None:
    """Few are asked alone, many with their whole place; whatever else is answered holds too."""
    for seed in range(8):
        rng = Random(f"where {seed}")
        graph = stack(rng)
        for e in undecided(graph, REGIONS["linf"](point(graph, rng, batch=3))):
            every = backward.bounds(e)
            where = torch.rand(every.lower.shape, generator=generator(rng)) < chance
            some = backward.bounds(e, where)
            for got, exact, nothing in ((some.lower, every.lower, -torch.inf), (some.upper, every.upper, torch.inf)):
                answered = got != nothing
                assert bool(answered[where].all())
                torch.testing.assert_close(got[answered], exact[answered], rtol=1e-10, atol=1e-10)


def test_parts_of_any_size_give_the_same_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = Random(5)
    graph = stack(rng, size=6)
    region = REGIONS["l2"](point(graph, rng))
    whole = all_bounds(DeepPoly(), graph, region)
    for budget in (1, 3000):
        monkeypatch.setattr(backward, "_BUDGET", budget)
        for mine, exact in zip(all_bounds(DeepPoly(), graph, region), whole, strict=True):
            torch.testing.assert_close(mine, exact, rtol=1e-10, atol=1e-10)


def test_a_convolution_reads_zeros_outside_its_argument_and_not_what_would_be_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two padded convolutions in a row: their rows must be cleaned in between, or the bounds are unsound."""
    rng = Random(0)
    first = Conv(normal(rng, 2, 1, 3, 3), normal(rng, 2), padding=(1, 1))
    shape: Shape = (2, 6, 6)
    nodes = [Node("x", None, (), (1, 6, 6)), Node("a", first, (0,), shape), Node("relu", ReLU(), (1,), shape)]
    for name in ("b", "c"):
        nodes.append(
            Node(name, Conv(normal(rng, 2, 2, 3, 3), normal(rng, 2), padding=(1, 1)), (len(nodes) - 1,), shape)
        )
    graph = Graph.of(nodes)
    x = point(graph, rng)

    def outside() -> float:
        """How far the value at a point lies outside its bounds there."""
        bounds = DeepPoly().propagate(graph, Linf(x, 0.0), keep=True).at("c")
        return float(torch.maximum(bounds.lower - graph(x), graph(x) - bounds.upper).max())

    assert outside() < 1e-9
    monkeypatch.setattr(Rows, "cleaned", lambda self: self)
    assert outside() > 0.1


@dataclass(frozen=True, eq=False)
class Own(Region):
    """A region whose author reads coefficients: it is never given columns but those of its samples."""

    ball: Linf

    @property
    def centre(self) -> Tensor:
        return self.ball.centre

    def minimum(self, c: Rows) -> Tensor:
        box = self.ball.box()
        assert c.data.shape[1] in (1, len(self.centre))
        assert c.columns is None
        return (c.data.relu() * box.lower - (-c.data).relu() * box.upper).flatten(2).sum(-1)

    def box(self) -> Bounds:
        return self.ball.box()

    def argmin(self, c: Tensor) -> Tensor:
        return self.ball.argmin(c)

    def sample(self, n: int, generator: Draws = None) -> Tensor:
        return self.ball.sample(n, generator)

    def project(self, x: Tensor) -> Tensor:
        return self.ball.project(x)

    def constraints(self) -> Constraints:
        return self.ball.constraints()

    def image(self, op: Affine) -> Region | Bounds:
        return self.ball.image(op)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", ["deeppoly", "box & deeppoly", "box & dual", "box & deeppoly(slopes=parallel)"])
def test_a_region_that_does_not_ask_for_columns_is_given_none(text: str) -> None:
    """Later parts are asked for few neurons alone: as many as there are samples, at times, or one."""
    check_region(Own(Linf(torch.zeros(2, 3, dtype=D64), 0.3)))
    domain, few = parse(text), 0
    for seed in range(60):
        rng = Random(seed)
        graph = Graph.of([Node("x", None, (), (3,))])
        for n, m in ((3, 8), (8, 6)):
            graph = graph.then(Dense(normal(rng, m, n))).then(ReLU())
        graph = graph.then(Dense(normal(rng, 2, 6)))
        ball = Linf(normal(rng, 3, 3) * tensor([[1.0], [1.0], [3.0]]), 0.08)
        mine, exact = (all_bounds(domain, graph, region) for region in (Own(ball), ball))
        for got, wanted in zip(mine, exact, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)
        box = parse("box & deeppoly").propagate(graph, ball, keep=True).at(graph.nodes[3].name)
        few += int(0 < ((box.lower < 0) & (box.upper > 0)).sum() <= 3)
    assert few > 5


@pytest.mark.parametrize("shape", [(2, 5, 5), (6,)])
def test_a_region_that_does_not_ask_for_columns_is_given_none_where_it_is_asked(shape: Shape) -> None:
    """Bounds of one neuron, of as many as there are samples, and of those of one sample."""
    rng = Random(0)
    graph = Graph.of([Node("x", None, (), shape)])
    graph = graph.then(conv(rng, shape) if len(shape) > 1 else Dense(normal(rng, 9, 6))).then(ReLU())
    ball = Linf(point(graph, rng, batch=3), 0.2)
    mine, exact = (DeepPoly().propagate(graph, region).output for region in (Own(ball), ball))
    for count in (1, 3, 7):
        where = torch.zeros(3, prod(graph.output.shape), dtype=torch.bool)
        where[rng.randrange(3), :count] = True
        where = where.view(3, *graph.output.shape)
        got, wanted = backward.bounds(mine, where), backward.bounds(exact)
        torch.testing.assert_close(got.lower[where], wanted.lower[where])
        torch.testing.assert_close(got.upper[where], wanted.upper[where])


class Mirror(Affine):
    """x flipped along its last axis, whose author knows nothing of windows and columns."""

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].flip(-1)

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        return (Rows.of(rows.data.flip(-1)),)


def test_ops_that_know_nothing_of_windows_are_given_none(monkeypatch: pytest.MonkeyPatch) -> None:
    framed = count_framed(monkeypatch)
    for seed in range(4):
        rng = Random(seed)
        shape: Shape = (2, 5, 5)
        nodes = [Node("x", None, (), shape)]
        for op in (conv(rng, shape, same=True), ReLU(), Mirror(), conv(rng, shape, same=True), ReLU()):
            nodes.append(Node(str(len(nodes)), op, (len(nodes) - 1,), shape))
        graph = Graph.of(nodes)
        region = REGIONS["linf"](point(graph, rng, batch=5))  # as many columns as samples, in other places
        patches = all_bounds(DeepPoly(), graph, region)
        with monkeypatch.context() as dense:
            written_out(dense)
            whole = all_bounds(DeepPoly(), graph, region)
        for mine, exact in zip(patches, whole, strict=True):
            torch.testing.assert_close(mine, exact, rtol=1e-10, atol=1e-10)
    assert framed
