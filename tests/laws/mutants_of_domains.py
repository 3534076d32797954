"""What can go wrong in a region, a specification, a domain or a combinator."""

from __future__ import annotations

from typing import Any

import torch

from absdomain.domain import Guided, Meet, Mix
from absdomain.domain import domain as combinators
from absdomain.domains import Box, DeepPoly
from absdomain.kinds import Nonlinear
from absdomain.linear import Bounds, Ends, rows
from absdomain.linear.kernel import BoxMinimum
from absdomain.region import L2, Linf
from absdomain.region.balls import Ball
from absdomain.relations import backward
from absdomain.spec import Spec
from tests.laws.mutant import Mutant, domain, negated_first_gradient


def at_the_centre(shipped: Any) -> Any:
    def relax(self: Box, drawn: Nonlinear, args: Any, boxes: Any) -> Bounds:
        value = drawn(*(b.centre for b in self.boxes(drawn, args)))
        return Bounds(value, value)

    return relax


def without_d(shipped: Any) -> Any:
    return lambda self, graph: shipped(Spec(self.C, torch.zeros_like(self.d)), graph)


def the_other_entries(shipped: Any) -> Any:
    return lambda self, e, where=None, ends=Ends.BOTH: shipped(self, e, None if where is None else ~where, ends)


def a_little_smaller(shipped: Any) -> Any:
    def boxes(self: Guided, drawn: Nonlinear, args: Any, asked: Any = None) -> tuple[Bounds, ...]:
        found = shipped(self, drawn, args, asked)
        return tuple(Bounds(b.centre - 0.8 * b.radius, b.centre + 0.8 * b.radius) for b in found)

    return boxes


def the_weaker_end(shipped: Any) -> Any:
    def bounds(self: Meet, e: Any, where: Any = None, ends: Ends = Ends.BOTH) -> Bounds:
        found = [part.bounds(own, where, ends) for part, own in zip(self.parts, e, strict=True)]
        lower = torch.stack([f.lower for f in found]).amin(0)
        return Bounds(lower, shipped(self, e, where, ends).upper)

    return bounds


def the_guide_is_dropped(shipped: Any) -> Any:
    """A guided domain that a meet asks for a few entries answers with the inner domain's own boxes."""

    def boxes(self: Guided, drawn: Nonlinear, args: Any, asked: Any = None) -> tuple[Bounds, ...]:
        if asked is None:
            return shipped(self, drawn, args)  # type: ignore[no-any-return]
        return self.inner.boxes(drawn, tuple(e[0] for e in args), asked)

    return boxes


def all_that_is_known(shipped: Any) -> Any:
    """The entries that are not asked are met as well, and those that are asked are not."""
    return lambda known, found, asked: shipped(known, found, None if asked is None else ~asked)


def extrapolated(shipped: Any) -> Any:
    return lambda self, ends: torch.lerp(ends[1], ends[0], 1 + self.weight)


def no_clip(shipped: Any) -> Any:
    return lambda self: Bounds(self.centre - self.radius, self.centre + self.radius)


def hull_of_the_box(shipped: Any) -> Any:
    return lambda self, drawn: drawn.image(self.box())


def union(shipped: Any) -> Any:
    return lambda self, other: Bounds(torch.minimum(self.lower, other.lower), torch.maximum(self.upper, other.upper))


def widest_radius(shipped: Any) -> Any:
    return property(lambda self: torch.full_like(shipped.fget(self), float(shipped.fget(self).max())))


MUTANTS = [
    Mutant(
        "fan-out: the last branch wins",
        rows.Rows,
        "__add__",
        lambda f: lambda self, o: o,
        domain("deeppoly", "contains"),
    ),
    Mutant(
        "the constant is doubled without its sign",
        backward,
        "_joined",
        lambda f: lambda low, high, rows: f(low, low, rows),
        domain("deeppoly", "contains"),
    ),
    Mutant("box: relu at the centre", Box, "relax", at_the_centre, domain("box", "contains")),
    Mutant("a specification without d", Spec, "of", without_d, domain("box", "contains")),
    Mutant(
        "bounds(where) of the other entries",
        DeepPoly,
        "bounds",
        the_other_entries,
        domain("deeppoly", "reads_one_element"),
    ),
    Mutant(
        "guided: boxes a little too small",
        Guided,
        "boxes",
        a_little_smaller,
        domain("deeppoly.guided(by=box)", "contains"),
    ),
    Mutant(
        "mix: a weight outside [0, 1]",
        Mix,
        "_mixed",
        extrapolated,
        domain("mix(deeppoly, box, weight=0.5)", "contains"),
    ),
    Mutant(
        "guided: dropped inside a meet",
        Guided,
        "boxes",
        the_guide_is_dropped,
        domain("deeppoly.guided(by=box)", "meets_in_any_order"),
    ),
    Mutant(
        "meet: refined where nobody asks",
        combinators,
        "_refined",
        all_that_is_known,
        domain("deeppoly", "meets_in_any_order"),
    ),
    Mutant(
        "dual: boxes of the other entries",
        backward,
        "boxes",
        lambda f: lambda e, where=None: f(e, None if where is None else ~where),
        domain("dual", "boxes_where_asked"),
    ),
    Mutant("meet: the union", Bounds, "meet", union, domain("box & deeppoly", "reads_one_element")),
    Mutant(
        "meet: the weaker lower bound",
        Meet,
        "bounds",
        the_weaker_end,
        domain("box & deeppoly", "exact_where_affine"),
    ),
    Mutant("the clip is ignored", Linf, "box", no_clip, domain("deeppoly", "exact_where_affine")),
    Mutant(
        "l2: the dual norm is that of linf",
        L2,
        "dual_norm",
        lambda f: lambda c: c.abs().sum(-1),
        domain("box", "exact_where_affine"),
    ),
    Mutant(
        "l2: the dual norm is that of l1",
        L2,
        "dual_norm",
        lambda f: lambda c: c.abs().amax(-1),
        domain("deeppoly", "contains"),
    ),
    Mutant("a ball is replaced by its hull", Ball, "_hull", hull_of_the_box, domain("box", "exact_where_affine")),
    Mutant("a radius for all axes", Ball, "reach", widest_radius, domain("deeppoly", "exact_where_affine")),
    Mutant(
        "the box minimum's gradient is negated",
        BoxMinimum,
        "backward",
        negated_first_gradient,
        domain("deeppoly", "differentiable"),
    ),
    Mutant(
        "not a number becomes 0",
        Box,
        "bounds",
        lambda f: lambda self, e, *_, **__: Bounds(e.box().lower.nan_to_num(nan=0.1), e.box().upper),
        domain("box", "nan_proves_nothing"),
    ),
]
