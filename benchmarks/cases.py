"""What is timed: per network and batch size, the plain work and the certified work beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import absdomain
from absdomain import networks
from absdomain.domain import Domain, Mix
from absdomain.domains import Box, DeepPoly, Dual, SymbolicGap, Zonotope
from absdomain.registry import find
from absdomain.relations.search import Ascent
from absdomain.relations.slopes import parallel, zero
from absdomain.report.cost import stepping
from absdomain.runtime.timing import Work
from absdomain.trainers.certified import Certified
from absdomain.trainers.methods.crown_ibp import CrownIBP
from absdomain.trainers.methods.natural import Natural
from absdomain.trainers.objective import Objective

SHAPE, CLASSES, EPS = (1, 28, 28), 10, 0.1
NETWORKS = ("gowal-small", "gowal-medium", "cnn7")
BATCHES = (1, 8, 32, 128)
DEAR: tuple[tuple[str, Domain], ...] = (
    ("full CROWN bounds", DeepPoly()),
    ("Fast-Lin bounds", DeepPoly(slopes=parallel)),
    ("Wong-Kolter bounds", Dual()),
    ("Wong-Kolter bounds, 50 projections", Dual(projections=50)),
    ("alpha-CROWN bounds", DeepPoly(search=Ascent(steps=20))),
    ("zonotope bounds", Zonotope()),
)
QUICK = 40_000  # neurons times samples: what is dear takes seconds beyond it, and is timed once
AFFORDABLE = 3e11  # the same times parameters: beyond it a call takes minutes, and is left out by name


@dataclass(frozen=True)
class Case:
    """A piece of work, the plain work that it is measured against, and the ratio that is to be reached, if any."""

    name: str
    work: Work
    plain: Work
    target: float | None = None
    once: bool = False  # too slow to be repeated beside the others


TARGETS = {
    ("gowal-small", 1, "IBP bounds"): 4.0,
    ("gowal-small", 1, "full CROWN bounds"): 180.0,
    ("gowal-small", 8, "full CROWN bounds"): 700.0,
    ("gowal-small", 1, "Wong-Kolter bounds"): 200.0,
    ("gowal-small", 8, "Wong-Kolter bounds"): 800.0,
    ("gowal-small", 1, "alpha-CROWN bounds"): 600.0,
    ("gowal-small", 32, "SingleProp step"): 2.1,
    ("gowal-small", 32, "IBP bounds"): 2.5,
    ("gowal-small", 128, "IBP bounds"): 2.5,
    ("gowal-small", 32, "CROWN-IBP bounds"): 24.0,
    ("gowal-small", 32, "IBP step"): 3.1,
    ("gowal-small", 32, "CROWN-IBP step"): 13.0,
}


def cases(name: str, batch: int) -> tuple[list[Case], list[str]]:
    """The cases of one network and batch size, and the names of those left out because they are too dear."""
    torch.manual_seed(0)
    network: Any = find("networks", name)
    module: nn.Module = network(SHAPE, CLASSES).eval()
    x, y = torch.rand(batch, *SHAPE), torch.randint(CLASSES, (batch,))
    graph = absdomain.to_graph(module, x)
    guided = DeepPoly().guided(by=Box())
    forward = partial(_forward, module, x)
    step = _step(Natural(module), x, y)
    listed = [
        Case("IBP bounds", partial(_bounds, Box(), graph, x, y), forward),
        Case("CROWN-IBP bounds", partial(_bounds, guided, graph, x, y), forward),
        Case("IBP step", _step(Certified(module, x, Box()), x, y, kappa=0.5), step),
        Case("SingleProp step", _step(Certified(module, x, SymbolicGap(slopes=zero)), x, y), step),
        Case("CROWN-IBP step", _step(CrownIBP(module, x, Mix(guided, Box())), x, y, beta=0.5), step),
    ]
    left_out = []
    size = networks.size(module, SHAPE)
    for case, domain in DEAR:
        if size.relus * batch * size.parameters <= AFFORDABLE:
            work = partial(_bounds, domain, graph, x, y)
            listed.append(Case(case, work, forward, once=size.relus * batch > QUICK))
        else:
            left_out.append(case)
    return [replace(case, target=TARGETS.get((name, batch, case.name))) for case in listed], left_out


@torch.no_grad()
def _forward(module: nn.Module, x: Tensor) -> Tensor:
    result: Tensor = module(x)
    return result


@torch.no_grad()
def _bounds(domain: Domain, graph: absdomain.Graph, x: Tensor, y: Tensor) -> Tensor:
    """Lower bounds of the margins, the region and the specification included."""
    region = absdomain.Linf(x, EPS, clip=(0.0, 1.0))
    return domain.propagate(graph, region, absdomain.margins(y, CLASSES)).lower


def _step(objective: Objective, x: Tensor, y: Tensor, *, kappa: float = 0.0, beta: float = 0.0) -> Work:
    """One step of training with Adam, as in all MNIST recipes of the papers."""
    objective.set(eps=EPS, kappa=kappa, beta=beta)
    return stepping(objective, x, y)
