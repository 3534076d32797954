"""`verify` on random networks of up to 40 kinks: against all sign patterns that occur, and against `Exact`."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest
import torch
from torch import Tensor

from absdomain import Graph, Linf, Node, parse, unsafe, variables, verify
from absdomain.branching import Verdict
from absdomain.laws.drawing import normal
from absdomain.ops import Dense, LeakyReLU, ReLU
from absdomain.spec import halfspaces

SLOPES = {0.0: ReLU(), 0.25: LeakyReLU(0.25)}
Layer = tuple[Tensor, Tensor]
Cell = tuple[Tensor, Tensor, Tensor]  # corners (V, 2) in order, and there A x + b is what the last layer gives


def drawn(rng: Random) -> tuple[list[Layer], float, Graph]:
    """Layers from two inputs to one output with up to 40 kinks between them, and their graph."""
    kinks, widths = rng.choice((4, 8, 12, 20, 40)), [2]
    parts = rng.choice((1, 2, 2, 4))
    widths += [kinks // parts] * parts + [1]
    slope = rng.choice(list(SLOPES))
    layers = [(normal(rng, n, m), 0.5 * normal(rng, n)) for m, n in pairwise(widths)]
    graph = Graph.of([Node("x", None, (), (2,))])
    for weight, bias in layers[:-1]:
        graph = graph.then(Dense(weight, bias)).then(SLOPES[slope])
    return layers, slope, graph.then(Dense(*layers[-1]))


def halved(corners: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """A convex polygon's parts where an affine function is at least 0, and at most 0, by its values at the corners."""
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for i in range(len(corners)):
        j = (i + 1) % len(corners)
        a, b = float(values[i]), float(values[j])
        for side, sign in enumerate((1, -1)):
            if sign * a >= 0:
                found[side].append(corners[i])
            if a * b < 0:
                found[side].append(corners[i] + a / (a - b) * (corners[j] - corners[i]))
    above, below = (torch.stack(part) if part else corners[:0] for part in found)
    return above, below


def least(layers: list[Layer], slope: float, corners: Tensor) -> float:
    """min of the network over a polygon: at a corner of a cell in which all signs are the same, cell by cell."""
    cells: list[Cell] = [(corners, torch.eye(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))]
    for weight, bias in layers[:-1]:
        cells = [(part, weight @ A, weight @ b + bias) for part, A, b in cells]
        for neuron in range(len(bias)):
            split: list[Cell] = []
            for part, A, b in cells:
                for side, half in enumerate(halved(part, part @ A[neuron] + b[neuron])):
                    if len(half) > 2:
                        A_, b_ = A.clone(), b.clone()
                        A_[neuron] *= slope if side else 1.0
                        b_[neuron] *= slope if side else 1.0
                        split.append((half, A_, b_))
            cells = split
    (weight, bias) = layers[-1]
    return min(float((part @ (weight @ A)[0] + weight @ b + bias).min()) for part, A, b in cells)


def agree(number: int, *, exactly: bool) -> None:
    """A little above the least value nothing is unsafe, and a little below it a point is, whoever is asked."""
    rng = Random(number)
    layers, slope, graph = drawn(rng)
    low = torch.tensor([rng.uniform(-1, 0), rng.uniform(-1, 0)], dtype=torch.float64)
    high = low + rng.uniform(0.2, 2)
    box = torch.stack([low, torch.stack([high[0], low[1]]), high, torch.stack([low[0], high[1]])])
    found = least(layers, slope, box)
    small = 1e-5 * (1 + abs(found))
    x, out = variables(graph)
    inside = (x[0] >= low[0]) & (x[0] <= high[0]) & (x[1] >= low[1]) & (x[1] <= high[1])
    for moved, verdict in ((-small, Verdict.UNSAT), (small, Verdict.SAT)):
        answer = verify(graph, unsafe(inside & (out[0] <= Fraction(found + moved)), graph), timeout=120)
        assert answer.verdict is verdict, (number, found, answer.reason, answer.bound)
    if exactly:
        spec = halfspaces(torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
        region = Linf((low + high).unsqueeze(0) / 2, (high - low) / 2)
        bound = float(parse("exact.guided(by=box & deeppoly)").propagate(graph, region, spec).lower)
        # below by what the domain subtracts for the solver's tolerances: of 500 networks, 1.2 times `small` at two
        assert found - 2 * small <= bound <= found + small, (number, found, bound)


@pytest.mark.parametrize("number", range(5))
def test_a_few(number: int) -> None:
    agree(number, exactly=number < 2)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_five_hundred(block: int) -> None:
    for number in range(50 * block, 50 * block + 50):
        agree(number, exactly=True)
