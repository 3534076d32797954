"""What can go wrong in what certification reads: decisions, specifications, allowances, regions' points, dtypes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import torch
from torch import Tensor

from absdomain.certification.question import Question
from absdomain.domain import Decision, Domain, Meet
from absdomain.domains import Box
from absdomain.kinds import Bracketed, Curvature, Nonlinear, Smooth
from absdomain.laws import check_region
from absdomain.laws.examples import REGIONS
from absdomain.linear import Bounds
from absdomain.ops import GELU, Pow, Sigmoid, SiLU, Softplus
from absdomain.region import L2, BoxRegion, Interval, Linf
from absdomain.rounding import errors as rounding
from absdomain.spec import Spec
from tests.laws.mutant import Mutant, domain, op
from tests.laws.mutants_of_parts import ends_alone


def optimist(shipped: Any) -> Any:
    """Lower bounds a twentieth of the range too high."""
    return lambda self, e, groups=None: Decision(self.bounds(e).lower + 0.05 * self.bounds(e).width)


def pessimist(shipped: Any) -> Any:
    return lambda self, e, groups=None: Decision(self.bounds(e).lower - 1e3)


def points_outside(shipped: Any) -> Any:
    return lambda self, e, groups=None: Decision(self.bounds(e).lower, e.region.box().upper + 1e-9)


def always_late(shipped: Any) -> Any:
    return lambda self, e, groups=None: Decision(self.bounds(e).lower, expired=torch.ones(()))


def worst_part(shipped: Any) -> Any:
    def decide(self: Meet, e: Any, groups: Tensor | None = None) -> Decision:
        return Decision(
            torch.stack([p.decide(own, groups).lower for p, own in zip(self.parts, e, strict=True)]).amin(0)
        )

    return decide


def one_row_is_enough(shipped: Any) -> Any:
    return lambda self, lower, margin=0.0: ((lower > margin) & lower.isfinite()).any(-1)


def groups_are_rows(shipped: Any) -> Any:
    return lambda self, lower, margin=0.0: ((lower > margin) & lower.isfinite()).all(-1)


def without_margin(shipped: Any) -> Any:
    return lambda self, lower, margin=0.0: shipped(self, lower)


def nothing(shipped: Any) -> Any:
    return lambda *_: 0.0


def not_evaluated(shipped: Any) -> Any:
    return lambda self, boxes=None: torch.zeros_like(shipped(self, boxes))


def as_exact(shipped: Any) -> Any:
    return lambda self, boxes: torch.zeros_like(shipped(self, boxes))


def half_range(shipped: Any) -> Any:
    def slope_range(self: Smooth, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...]:
        (found,) = shipped(self, boxes)
        return (Bounds(found.lower / 2, found.upper / 2),)

    return slope_range


def in_float64(shipped: Any) -> Any:
    def bounds(self: Box, *args: Any, **named: Any) -> Bounds:
        found = shipped(self, *args, **named)
        return Bounds(found.lower.double(), found.upper)

    return bounds


def marks_alone(shipped: Any) -> Any:
    def bound(self: Bracketed, slope: Tensor, box: Bounds, side: int) -> Tensor:
        return torch.stack([side * (self(p) - slope * p) for p in self._marks(box)]).amin(0)

    return bound


def into_the_box(shipped: Any) -> Any:
    return lambda self, x: torch.clamp(x, self.box().lower, self.box().upper)


def next_to_it(shipped: Any) -> Any:
    return lambda self, x: torch.nextafter(shipped(self, x), x + 1)


def first_samples(shipped: Any) -> Any:
    return lambda self, index: shipped(self, index.clamp(max=0))


def regions() -> Callable[[], object]:
    """Regions of every kind."""

    def check() -> None:
        for seed in range(8):
            for make in REGIONS:
                check_region(make(Random(seed), 2, (3,)), seed=seed)

    return check


EXTREME = domain("box", "holds_where_rounding_is_large")
MUTANTS = [
    Mutant("decide: a twentieth too high", Domain, "decide", optimist, domain("deeppoly", "decides")),
    Mutant("decide: the proof is lost", Domain, "decide", pessimist, domain("box", "decides")),
    Mutant("decide: points outside", Domain, "decide", points_outside, domain("deeppoly", "decides")),
    Mutant("decide: late, for all at once", Domain, "decide", always_late, domain("box", "decides")),
    Mutant("decide: the worst part", Meet, "decide", worst_part, domain("box & deeppoly", "decides", examples=300),
           slow=True),
    Mutant("holds: one row is enough", Spec, "holds", one_row_is_enough, domain("box", "proves")),
    Mutant("holds: groups are ignored", Spec, "holds", groups_are_rows, domain("box", "proves")),
    Mutant("holds: the margin is ignored", Spec, "holds", without_margin, domain("box", "proves")),
    Mutant("rounding: sums are exact", rounding, "_gamma", nothing, EXTREME),
    Mutant("rounding: an evaluation is exact", Question, "evaluation_error", not_evaluated, EXTREME),
    Mutant("rounding: functions are exact", Nonlinear, "forward_error", as_exact, op(GELU(), (3,)), slow=True),
    Mutant("gelu: its left tail is charged as another's", GELU, "forward_error",
           lambda f: lambda self, boxes: f(self, boxes) - 8 * (-boxes[0].lower).relu(), op(GELU(), (3,))),
    Mutant("slopes: half the range", Smooth, "slope_range", half_range, op(SiLU(), (3,))),
    Mutant("float32: a bound in float64", Box, "bounds", in_float64, domain("box", "keeps_its_dtype")),
    Mutant("sigmoid: no stationary point, by a domain", Sigmoid, "critical", ends_alone,
           domain("deeppoly", "holds_a_curve", examples=300)),
    Mutant("softplus: no stationary point, by a domain", Softplus, "critical", ends_alone,
           domain("zonotope", "holds_a_curve", examples=300)),
    Mutant("power: no stationary point, by a domain", Pow, "critical", ends_alone,
           domain("box", "holds_a_curve", examples=300)),
    Mutant("gates: marks alone, by a domain", Bracketed, "_bound", marks_alone,
           domain("deeppoly", "holds_a_curve", examples=300)),
    Mutant("gelu: inflection points in the wrong place, by a domain", GELU, "curvature",
           lambda f: Curvature((-0.5, 0.5), f.bends), domain("deeppoly", "holds_a_curve", examples=300)),
    Mutant("smooth: the image of two ends, by a domain", Smooth, "_bound",
           lambda f: lambda self, s, box, side: torch.minimum(*(side * (self(p) - s * p) for p in
                                                               (box.lower, box.upper))),
           domain("box", "holds_a_curve", examples=300)),
    Mutant("project: into the computed box", Linf, "project", into_the_box, regions()),
    Mutant("project: one float further", BoxRegion, "project", next_to_it, regions()),
    Mutant("project: beyond the sphere", L2, "into_unit_ball",
           lambda f: classmethod(lambda cls, d: d / cls.norm(d).clamp(min=1.0).unsqueeze(-1) * (1 + 1e-9)), regions()),
    Mutant("select: always the first", Interval, "select", first_samples, regions()),
]  # fmt: skip
