"""What can go wrong in domains that keep relations: zonotopes, duals, searched slopes, programs, reference spaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from random import Random
from typing import Any

import torch
from torch import Tensor

from absdomain import Linf, parse
from absdomain.domains import dual, symbolic_gap, zonotope
from absdomain.domains.deeppoly import DeepPoly
from absdomain.domains.program import relaxation, search
from absdomain.domains.symbolic_gap import SymbolicGap
from absdomain.domains.zonotope import Affinity
from absdomain.kinds import Affine, Line
from absdomain.laws import check_region, compare, drawing
from absdomain.laws.derivatives import jittered
from absdomain.laws.examples import example
from absdomain.linear import Bounds, Rows
from absdomain.reference import ReferenceSpace
from absdomain.relations import ascent, backward
from tests.laws.mutant import Mutant, domain, normal


def by_position(shipped: Any) -> Any:
    """Symbols of two branches are one if they stand at one place."""

    def matched(args: Sequence[Affinity]) -> Iterator[tuple[object, Tensor, list[Tensor]]]:
        for blocks in zip_longest(*(e.noise for e in args)):
            longest = max((b for b in blocks if b is not None), key=lambda b: len(b.entries))
            rays = []
            for e, block in zip(args, blocks, strict=True):
                own = e.constant.new_zeros(*longest.entries.shape, *e.constant.shape[1:])
                if block is not None:
                    own[: len(block.rays)] = block.rays
                rays.append(own)
            yield longest.source, longest.entries, rays

    return matched


def dropped(shipped: Any) -> Any:
    return lambda e, symbols: replace(shipped(e, symbols), slack=e.slack)


def negated_band(shipped: Any) -> Any:
    return lambda op, args, slopes, band, marks: shipped(op, args, slopes, Bounds(-band.upper, -band.lower), marks)


def other_slope(shipped: Any) -> Any:
    return lambda op, args, slopes, band, marks: shipped(op, args, tuple(0.9 * s for s in slopes), band, marks)


def plane_below(shipped: Any) -> Any:
    def planes(self: DeepPoly, e: Any) -> tuple[Rows, Tensor]:
        rows, constants = shipped(self, e)
        return rows, constants - 0.5 * backward.bounds(e).width.flatten(1).t()

    return planes


def without_upper_intercept(shipped: Any) -> Any:
    return lambda node, below, above: shipped(node, below, Line(above.slopes, None))


def the_worse(shipped: Any) -> Any:
    def better(highest: Tensor | None, bound: Tensor, best: Any, tried: Any) -> Any:
        kept, found = shipped(None if highest is None else -highest, -bound, best, tried)
        return -kept, found

    return better


def narrower(shipped: Any) -> Any:
    def band(self: Any, slopes: Any) -> Any:
        low, high = shipped(self, slopes)
        return low + 0.2 * (high - low), high - 0.2 * (high - low)

    return band


def half_the_room(shipped: Any) -> Any:
    return lambda self, rows, chosen, otherwise, D, d: shipped(self, rows, chosen, (chosen + otherwise) / 2, D, d)


def incumbent(shipped: Any) -> Any:
    return lambda self, entry, sign: self._searched(entry, sign, gap=10.0, target=torch.inf).value


def negated_centre(shipped: Any) -> Any:
    return lambda op, below, above, spans: shipped(op, below, above, [(-z, v) for z, v in spans])


def signed_modulus(shipped: Any) -> Any:
    return lambda self, *rs: self.linear(self.weight, *rs)


def halved(shipped: Any) -> Any:
    return lambda self, op, *args: replace(shipped(self, op, *args), v=shipped(self, op, *args).v / 2)


def q_added(shipped: Any) -> Any:
    def minimum(self: ReferenceSpace, c: Rows) -> Tensor:
        eta = self.multipliers(c)
        rest = c.data + eta.view(*eta.shape, *(1,) * (self.q.dim() - 1)) * self.q
        return self.ball.minimum(Rows.of(rest)) + eta * self._need

    return minimum


def k_forgotten(shipped: Any) -> Any:
    return property(lambda self: shipped.fget(replace(self, k=torch.zeros_like(self.k))))


def half_space() -> object:
    """A reference space that cuts its ball."""
    ball = Linf(normal(2, 3), 1.0)
    q = normal(2, 3) + 0.5
    level = (q * ball.centre).sum(-1)
    return check_region(ReferenceSpace(ball, q, normal(2), level + normal(2) + 0.3 * q.abs().sum(-1)))


def ascent_is_never_looser() -> None:
    """Searched slopes beside those they start from."""
    makers = (drawing.dense, drawing.dense, *[drawing.relu] * 3)
    for seed in range(8):
        problem = example(Random(seed), makers=makers, size=7)
        domains = [parse("deeppoly(search=ascent(steps=3))"), parse("deeppoly")]
        compare(domains, jittered(problem.graph, Random(seed)), problem.region)


MUTANTS = [
    Mutant("zonotope: symbols by position", zonotope, "_matched", by_position,
           domain("zonotope", "contains_where_branches_meet")),
    Mutant("zonotope: reduction drops", zonotope, "_reduced", dropped, domain("zonotope(symbols=2)", "contains")),
    Mutant("zonotope: half a fresh symbol", zonotope, "_with_fresh",
           lambda f: lambda e, radius, rounding, symbols: f(e, radius / 2, rounding, symbols),
           domain("zonotope", "contains")),
    Mutant("zonotope: the plane without its spread", Affinity, "spread",
           lambda f: property(lambda self: torch.zeros_like(self.constant)), domain("zonotope", "planes_lie_above")),
    Mutant("dual: the sign of the terms l_j", dual, "_relaxed", negated_band, domain("dual", "contains")),
    Mutant("dual: the band of another slope", dual, "_relaxed", other_slope, domain("dual", "contains")),
    Mutant("deeppoly: a plane through the middle", DeepPoly, "planes", plane_below,
           domain("deeppoly", "planes_lie_above")),
    Mutant("ascent: no upper intercept", ascent, "_pull", without_upper_intercept,
           domain("deeppoly(search=ascent(steps=2))", "contains")),
    Mutant("ascent: the worse slopes", ascent, "_better", the_worse, ascent_is_never_looser),
    Mutant("lp: bands too narrow", relaxation.OpConstraints, "band", narrower,
           domain("lp.guided(by=box)", "never_beyond_the_optimum", examples=12)),
    Mutant("exact: big-M too small", relaxation.Tied, "_when", half_the_room,
           domain("exact.guided(by=box)", "never_beyond_the_optimum", examples=12)),
    Mutant("exact: the best value found", search.Search, "_minimum", incumbent,
           domain("exact.guided(by=box)", "never_beyond_the_optimum", examples=30), slow=True),
    Mutant("symbolic gap: the centre's sign", symbolic_gap, "_half_range", negated_centre,
           domain("symbolic_gap(slopes=adaptive)", "contains", "exact_at_a_point", "reads_one_element", examples=400),
           slow=True),
    Mutant("symbolic gap: the weights keep their signs", Affine, "modulus", signed_modulus,
           domain("symbolic_gap", "contains", "exact_where_affine")),
    Mutant("symbolic gap: half the range", SymbolicGap, "affine", halved, domain("symbolic_gap", "exact_where_affine")),
    Mutant("reference space: q is added", ReferenceSpace, "minimum", q_added, half_space),
    Mutant("reference space: k is forgotten", ReferenceSpace, "_need", k_forgotten, half_space),
]  # fmt: skip
