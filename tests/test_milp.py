"""Bounds against exact optima on small random networks: never above, and not far below."""

from dataclasses import dataclass
from functools import cache
from itertools import count
from math import prod
from random import Random

import pytest
import torch
from torch import Tensor

from absdomain.laws import Example, drawing, witnesses
from absdomain.laws.derivatives import weights
from absdomain.laws.examples import RegionMaker, clipped, example, interval, l1, linf
from absdomain.laws.problems import AnyDomain
from absdomain.spec import Spec, halfspaces
from tests.milp import TOLERANCE, encode, minima
from tests.subjects import DOMAINS

pytestmark = pytest.mark.figures

NETS = 60
ROWS = 2
BINARIES = 14
REGIONS: tuple[RegionMaker, ...] = (linf, clipped, interval, l1)
MAKERS = (
    drawing.dense, drawing.dense, drawing.conv1d, drawing.conv2d, drawing.avg_pool, drawing.batch_norm, drawing.permute,
    drawing.relu, drawing.relu, drawing.relu, drawing.leaky_relu, drawing.max_,
)  # fmt: skip
# The median slack that a domain may have, as a share of the exact range of the functional.
MEDIANS = {
    "box": 0.4,
    "deeppoly": 0.1,
    "deeppoly(slopes=zero)": 0.1,
    "deeppoly(slopes=one)": 1.0,
    "deeppoly(slopes=parallel)": 0.25,
    "deeppoly.guided(by=box)": 0.15,
    "box & deeppoly": 0.1,
    "mix(deeppoly.guided(by=box), box, weight=0.3)": 0.3,
}


@dataclass(frozen=True)
class Solved:
    """A network, some functionals of its output, and their exact ends over the region."""

    problem: Example
    spec: Spec
    lower: Tensor  # (ROWS,)
    upper: Tensor  # (ROWS,)


def solved(problem: Example, rng: Random) -> Solved | None:
    """The problem with its exact ends, or None where it is too large, too easy, or of numbers too far apart."""
    numbers = torch.cat([t.abs().flatten() for t in (*weights(problem.graph), problem.region.centre)])
    program, output = encode(problem.graph, problem.region)
    if not 2 <= program.binaries <= BINARIES or float(numbers.max()) > 30:
        return None
    n = prod(problem.graph.output.shape)
    rows = drawing.normal(rng, ROWS, n) / n**0.5
    ends = minima(program, output, torch.cat([rows, -rows]))
    return Solved(problem, halfspaces(rows, torch.zeros(ROWS).to(rows)), ends[:ROWS], -ends[ROWS:])


@cache
def networks() -> tuple[Solved, ...]:
    """NETS networks of one sample, over each kind of region in turn."""
    found: list[Solved] = []
    for seed in count():
        rng = Random(seed)
        region = REGIONS[len(found) % len(REGIONS)]
        network = solved(example(rng, makers=MAKERS, batch=1, size=rng.randint(4, 9), region=region), rng)
        found += [network] if network is not None else []
        if len(found) == NETS:
            return tuple(found)
    raise AssertionError("seeds do not end")


def test_the_oracle_is_attained_and_never_beaten_by_points() -> None:
    """Sampled and attacked points stay within the exact ends, and come close to most of them."""
    missed = []
    for network in networks():
        asked = Example(network.problem.graph, network.problem.region, network.spec)
        values = witnesses.values(asked, witnesses.points(asked, Random(0)))[:, 0]
        scale = 1 + float(values.abs().max())
        assert bool((values >= network.lower - TOLERANCE * scale).all())
        assert bool((values <= network.upper + TOLERANCE * scale).all())
        missed.append((values.amin(0) - network.lower) / (network.upper - network.lower).clamp(min=1e-9))
    assert float(torch.cat(missed).median()) < 0.05


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_bounds_are_never_above_the_optimum_and_not_far_below(domain: AnyDomain) -> None:
    slacks = []
    for network in networks():
        trace = domain.propagate(network.problem.graph, network.problem.region, network.spec)
        lower, upper = trace.lower[0], trace.upper[0]
        room = TOLERANCE * (1 + torch.maximum(network.lower.abs(), network.upper.abs()))
        assert bool(lower.isfinite().all())
        assert bool(upper.isfinite().all())
        assert bool((lower <= network.lower + room).all()), (lower, network.lower)
        assert bool((upper >= network.upper - room).all()), (upper, network.upper)
        width = (network.upper - network.lower).clamp(min=1e-9)
        slacks += [(network.lower - lower) / width, (upper - network.upper) / width]
    quantiles = torch.quantile(torch.cat(slacks), torch.tensor([0.0, 0.25, 0.5, 0.75, 0.9, 1.0]).to(width)).tolist()
    text = ", ".join(f"{q:.3f}" for q in quantiles)
    print(f"\n{domain}: slack as a share of the exact range, quantiles 0, 25, 50, 75, 90, 100 %: {text}")
    assert quantiles[2] <= MEDIANS[str(domain)]
