"""Networks of dense layers as programs written out by hand for scipy: what LP and Exact are held against."""

from itertools import pairwise, product
from random import Random

import numpy as np
from scipy.optimize import linprog

from absdomain import Graph, Interval, Node
from absdomain.laws.drawing import normal
from absdomain.linear import Bounds
from absdomain.ops import Dense, ReLU


def dense_net(rng: Random, *sizes: int) -> tuple[Graph, list[Dense]]:
    """Dense layers of these sizes with ReLUs between them, and the layers."""
    layers = [Dense(normal(rng, m, n) / n**0.5, 0.3 * normal(rng, m)) for n, m in pairwise(sizes)]
    graph = Graph.of([Node("x", None, (), sizes[:1])])
    for place, layer in enumerate(layers):
        graph = graph.then(layer, f"z{place + 1}")
        graph = graph if layer is layers[-1] else graph.then(ReLU())
    return graph, layers


class Written:
    """min <c, z_L> over variables (x, z_1, y_1, ..., z_L) of the first sample, y = relu(z) by rows that are added."""

    def __init__(self, layers: list[Dense], region: Interval) -> None:
        sizes = [len(region.lower[0]), *(size for layer in layers for size in [len(layer.weight)] * 2)][:-1]
        self.starts = np.cumsum([0, *sizes])
        self.ends = [(low, high) for low, high in zip(region.lower[0].tolist(), region.upper[0].tolist(), strict=True)]
        self.ends += [(None, None)] * (self.starts[-1] - len(self.ends))
        self.equal: list[tuple[np.ndarray, float]] = []
        self.at_most: list[tuple[np.ndarray, float]] = []
        for place, layer in enumerate(layers):
            for row, (weights, bias) in enumerate(zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)):
                y, z = 2 * place, 2 * place + 1
                self.equal.append((self.row((z, row, 1.0), *((y, i, -w) for i, w in enumerate(weights))), bias))

    def row(self, *terms: tuple[int, int, float]) -> np.ndarray:
        """The sum of coefficient * entry of a block."""
        row = np.zeros(self.starts[-1])
        for block, entry, coefficient in terms:
            row[self.starts[block] + entry] += coefficient
        return row

    def triangle(self, layer: int, i: int, low: float, high: float) -> None:
        """y >= 0, y >= z, y <= high (z - low) / (high - low); y is z or 0 for a stable neuron."""
        z, y = 2 * layer + 1, 2 * layer + 2
        if high <= 0 or low >= 0:
            self.equal.append((self.row((y, i, 1.0), (z, i, -float(low >= 0))), 0.0))
            return
        slope = high / (high - low)
        self.at_most += [
            (self.row((y, i, -1.0)), 0.0),
            (self.row((y, i, -1.0), (z, i, 1.0)), 0.0),
            (self.row((y, i, 1.0), (z, i, -slope)), -slope * low),
            (self.row((z, i, 1.0)), high),
            (self.row((z, i, -1.0)), -low),
        ]

    def active(self, layer: int, i: int, on: bool) -> None:
        """y = z >= 0, or y = 0 >= z."""
        z, y = 2 * layer + 1, 2 * layer + 2
        self.equal.append((self.row((y, i, 1.0), (z, i, -float(on))), 0.0))
        self.at_most.append((self.row((z, i, -1.0 if on else 1.0)), 0.0))

    def minimum(self, c: list[float]) -> float:
        """min <c, z_L>; infinity where there is no point."""
        last = len(self.starts) - 2
        ties = [list(zip(*rows, strict=True)) or [None, None] for rows in (self.at_most, self.equal)]
        objective = self.row(*((last, i, v) for i, v in enumerate(c)))
        solved = linprog(objective, ties[0][0], ties[0][1], ties[1][0], ties[1][1], self.ends, method="highs")
        assert solved.status in (0, 2), solved.message
        return float(solved.fun) if solved.status == 0 else np.inf


def triangle_minimum(layers: list[Dense], region: Interval, boxes: list[Bounds], c: list[float]) -> float:
    """The optimum of the triangle relaxation over the boxes of z_1 .. z_{L-1}."""
    program = Written(layers, region)
    for layer, box in enumerate(boxes):
        for i, (low, high) in enumerate(zip(box.lower[0].tolist(), box.upper[0].tolist(), strict=True)):
            program.triangle(layer, i, low, high)
    return program.minimum(c)


def enumerated_minimum(layers: list[Dense], region: Interval, c: list[float]) -> float:
    """The least over all patterns of active neurons of the optimum with that pattern."""
    neurons = [(layer, i) for layer, op in enumerate(layers[:-1]) for i in range(len(op.weight))]
    best = np.inf
    for pattern in product((False, True), repeat=len(neurons)):
        program = Written(layers, region)
        for (layer, i), on in zip(neurons, pattern, strict=True):
            program.active(layer, i, on)
        best = min(best, program.minimum(c))
    return best
