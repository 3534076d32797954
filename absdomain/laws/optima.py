"""min of <c, f(x)> over a box or an L1 ball, exactly: a mixed-integer program of a small piecewise-linear graph.

An oracle apart from the domains: affine ops are written out column by column, the big-M constants come from this file's
own interval arithmetic. HiGHS proves optimality to a gap of 0 within feasibility tolerances of 1e-9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from absdomain.graph import Graph
from absdomain.kinds import Affine
from absdomain.laws import drawing, matrices
from absdomain.laws.broken import at_most
from absdomain.laws.choices import coefficients
from absdomain.laws.derivatives import weights
from absdomain.laws.examples import Example, RegionMaker, clipped, example, interval, l1, linf
from absdomain.laws.script import posed
from absdomain.ops import LeakyReLU, Max, ReLU
from absdomain.region import L1, Interval, Linf, Region
from absdomain.spec import halfspaces

REGIONS: tuple[RegionMaker, ...] = (linf, clipped, interval, l1)
MAKERS = (
    drawing.relu, drawing.relu, drawing.relu, drawing.dense, drawing.dense, drawing.conv1d, drawing.conv2d,
    drawing.avg_pool, drawing.batch_norm, drawing.permute, drawing.leaky_relu, drawing.max_,
)  # fmt: skip
ROWS = 2  # functionals of each network
BINARIES = 14
LARGEST = 30  # of a network's numbers: the solver's tolerances are absolute
TOLERANCE = 1e-6  # of the solver's answers, relative to the numbers in the program
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass
class Activation:
    """An activation of one sample: a cvxpy expression (n,), and its interval."""

    expression: Any
    lower: Array
    upper: Array


@dataclass
class Program:
    """The constraints that tie the activations of a graph together."""

    constraints: list[Any] = field(default_factory=list)
    binaries: int = 0

    def input(self, region: Region) -> Activation:
        """The first sample's inputs."""
        return _INPUTS[type(region)](self, region)

    def affine(self, op: Affine, shapes: list[tuple[int, ...]], args: list[Activation]) -> Activation:
        """A x + b."""
        import cvxpy as cp

        matrix, offset = matrices.of(op, tuple(shapes))
        A, b = matrix[0].numpy(), offset.flatten().numpy()
        x = cp.hstack([a.expression for a in args])
        lower, upper = np.hstack([a.lower for a in args]), np.hstack([a.upper for a in args])
        plus, minus = np.maximum(A, 0), np.minimum(A, 0)
        return Activation(A @ x + b, plus @ lower + minus @ upper + b, plus @ upper + minus @ lower + b)

    def hinge(self, x: Activation, slope: float) -> Activation:
        """p - slope q, where x = p - q and only one of p, q >= 0 is not 0."""
        import cvxpy as cp

        n = len(x.lower)
        p, q, on = cp.Variable(n, nonneg=True), cp.Variable(n, nonneg=True), cp.Variable(n, boolean=True)
        top, bottom = np.maximum(x.upper, 0), np.maximum(-x.lower, 0)
        self.constraints += [x.expression == p - q, p <= cp.multiply(top, on), q <= cp.multiply(bottom, 1 - on)]
        self.binaries += int(((x.lower < 0) & (x.upper > 0)).sum())
        ends = np.stack([_hinge(x.lower, slope), _hinge(x.upper, slope)])
        spans = (x.lower < 0) & (x.upper > 0)
        ends = np.concatenate([ends, np.where(spans, 0.0, ends[0])[None]])
        return Activation(p - slope * q, ends.min(0), ends.max(0))

    def maximum(self, x: Activation, groups: Tensor) -> Activation:
        """y >= x_i for all i of the group, and y = x_i for one; groups (outputs, size) of positions."""
        import cvxpy as cp

        count, size = groups.shape
        y, picked = cp.Variable(count), cp.Variable((count, size), boolean=True)
        index = groups.numpy()
        highest, lowest = x.upper[index].max(1), x.lower[index].max(1)
        self.constraints += [cp.sum(picked, axis=1) == 1]
        self.binaries += count * (size - 1)
        for i in range(size):
            gap = highest - x.lower[index[:, i]]
            self.constraints += [y >= x.expression[index[:, i]]]
            self.constraints += [y <= x.expression[index[:, i]] + cp.multiply(gap, 1 - picked[:, i])]
        return Activation(y, lowest, highest)


def _hinge(x: Array, slope: float) -> Array:
    return np.where(x > 0, x, slope * x)


def _in_box(program: Program, region: Any) -> Activation:
    import cvxpy as cp

    box = region.box()
    lower, upper = box.lower[0].flatten().numpy(), box.upper[0].flatten().numpy()
    x = cp.Variable(len(lower))
    program.constraints += [x >= lower, x <= upper]
    return Activation(x, lower, upper)


def _in_cross_polytope(program: Program, region: Any) -> Activation:
    import cvxpy as cp

    centre = region.centre[0].flatten().numpy()
    reach = (torch.zeros_like(region.centre) + region.radius)[0].flatten().numpy()
    d = cp.Variable(len(centre))
    program.constraints += [cp.norm1(d) <= 1]
    return Activation(centre + cp.multiply(reach, d), centre - reach, centre + reach)


_INPUTS: dict[type[Region], Callable[[Program, Any], Activation]] = {
    Linf: _in_box, Interval: _in_box, L1: _in_cross_polytope,
}  # fmt: skip


def encode(graph: Graph, region: Region) -> tuple[Program, Activation]:
    """The program of the first sample, and the output's activation."""
    program = Program()
    values = [program.input(region)]
    for node in graph.nodes[1:]:
        args, shapes = [values[a] for a in node.args], [graph.nodes[a].shape for a in node.args]
        match node.op:
            case Affine() as op:
                value = program.affine(op, shapes, args)
            case ReLU():
                value = program.hinge(args[0], 0.0)
            case LeakyReLU(slope=slope):
                value = program.hinge(args[0], slope)
            case Max(axis=axis):
                places = torch.arange(len(args[0].lower)).view(shapes[0]).movedim(axis, -1)
                value = program.maximum(args[0], places.flatten(0, -2))
            case other:
                raise NotImplementedError(f"{other} has no encoding")
        values.append(value)
    return program, values[-1]


class Unsolved(RuntimeError):
    """The solver has no answer: nothing is known of the problem."""


def minima(program: Program, output: Activation, rows: Tensor) -> Tensor:
    """min of <c_k, output>, (K,); rows (K, n)."""
    import cvxpy as cp

    c = cp.Parameter(rows.shape[1])
    problem = cp.Problem(cp.Minimize(c @ output.expression), program.constraints)
    found = []
    for row in rows.numpy():
        c.value = row
        try:
            problem.solve(
                solver=cp.HIGHS, warm_start=False, mip_rel_gap=0.0, mip_abs_gap=0.0, primal_feasibility_tolerance=1e-9,
                mip_feasibility_tolerance=1e-9,
            )  # fmt: skip
        except cp.SolverError as error:  # its numbers are too far apart for HiGHS
            raise Unsolved(str(error)) from error
        if problem.status != cp.OPTIMAL:
            raise Unsolved(f"HiGHS ended with {problem.status}")
        found.append(float(problem.value))
    return torch.tensor(found, dtype=torch.float64)


def hold(lower: Tensor, upper: Tensor, problem: Example) -> None:
    """The bounds of a problem's functionals are not beyond their exact ends; raises LawBroken."""
    least, greatest = ends(problem)
    room = TOLERANCE * (1 + torch.maximum(least.abs(), greatest.abs()))
    at_most(lower, least, room, "lower <= the exact minimum")
    at_most(greatest, upper, room, "the exact maximum <= upper")


@lru_cache(maxsize=512)
def numbered(number: int, seed: int = 0) -> Example:
    """The network number so of a seed."""
    return network(Random(f"optimum {seed} {number}"))


def network(rng: Random) -> Example:
    """A network of one sample that the oracle can solve, and ROWS functionals of its output.

    Branching, over a box or a cross-polytope, of 1 to BINARIES undecided neurons and numbers up to LARGEST.
    """
    while True:
        problem = example(rng, makers=MAKERS, batch=1, size=rng.choice((1, *range(4, 10))), region=rng.choice(REGIONS))
        numbers = torch.cat([t.abs().flatten() for t in (*weights(problem.graph), problem.region.centre)])
        small = float(numbers.max()) <= LARGEST
        if small and 1 <= encode(problem.graph, problem.region)[0].binaries <= BINARIES:
            n = prod(problem.graph.output.shape)
            rows = coefficients(rng, ROWS, n) / 2
            asked = Example(problem.graph, problem.region, halfspaces(rows, torch.zeros(ROWS).to(rows)))
            try:
                ends(asked)
            except Unsolved:  # radii below the solver's tolerance, for example
                continue
            return asked


def ends(problem: Example) -> tuple[Tensor, Tensor]:
    """The exact minimum and maximum of each functional of a problem of one sample, (1, K) each."""
    return _ends(_Posed(posed(problem), problem))


@dataclass(frozen=True)
class _Posed:
    """A problem and all its numbers: one that is drawn again is solved once."""

    text: str
    problem: Example = field(compare=False)


@lru_cache(maxsize=4096)
def _ends(asked: _Posed) -> tuple[Tensor, Tensor]:
    problem = asked.problem
    program, output = encode(problem.graph, problem.region)
    count = prod(problem.graph.output.shape)
    C, d = torch.eye(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    if problem.spec is not None:
        C, d = problem.spec.C[0].to(C), problem.spec.d[0].to(C)
    found = minima(program, output, torch.cat([C, -C]))
    shape = (1, -1) if problem.spec is not None else (1, *problem.graph.output.shape)
    return (found[: len(C)] + d).view(shape), (d - found[len(C) :]).view(shape)
