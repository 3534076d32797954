"""Orderings between domains that are theorems; what is false in general is not here.

False, each refuted on random networks: adaptive CROWN-IBP >= IBP; Fast-Lin >= IBP; full CROWN >= CROWN-IBP;
adaptive >= parallel; intermediate CROWN bounds tighter than IBP's; a reduced product >= a part that is not monotone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from absdomain.domain import ExpressionError, Guided, Meet, parse
from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.kinds import Nonlinear, PiecewiseLinear
from absdomain.laws.problems import AnyDomain
from absdomain.ops import Max, ReLU

Rule = Callable[[AnyDomain, AnyDomain, Graph], bool]  # (tighter, looser, graph): whether the theorem speaks of them


@cache
def _named(text: str) -> AnyDomain | None:
    try:
        return parse(text)
    except ExpressionError:  # a name that is not installed
        return None


def _is(domain: AnyDomain, text: str) -> bool:
    """Whether the domain is the one of this text."""
    return domain == _named(text)


def _only(graph: Graph, *kinds: type) -> bool:
    """Whether every nonlinear op is of these kinds."""
    return all(isinstance(step.op, kinds) for step in graph.schedule if isinstance(step.op, Nonlinear))


def _unguided(domain: AnyDomain) -> tuple[AnyDomain, AnyDomain | None]:
    """What bounds the output, and whose boxes it relaxes over (None: its own)."""
    return (domain.inner, domain.by) if isinstance(domain, Guided) else (domain, None)


def zero_slopes(tighter: AnyDomain, looser: AnyDomain, graph: Graph) -> bool:
    """CROWN with lower slopes of 0 is never looser than interval bounds, nor than itself over interval bounds."""
    zero = ("deeppoly(slopes=zero)", "deeppoly(slopes=zero).guided(by=box)")
    pairs = ((zero[0], "box"), (zero[1], "box"), zero)
    return _only(graph, ReLU) and any(_is(tighter, one) and _is(looser, other) for one, other in pairs)


def product_over_the_same_boxes(tighter: AnyDomain, looser: AnyDomain, graph: Graph) -> bool:
    """Over the boxes of one guide, a reduced product is never looser than a part of it."""
    (inner, by), (part, other) = _unguided(tighter), _unguided(looser)
    return by is not None and by == other and isinstance(inner, Meet) and part in inner.parts


def product_of_monotone(tighter: AnyDomain, looser: AnyDomain, graph: Graph) -> bool:
    """A reduced product relaxes over smaller boxes, so it is never looser than a part that is monotone."""
    parts = tighter.parts if isinstance(tighter, Meet) else ()
    return looser.traits.monotone and looser in parts and _only(graph, PiecewiseLinear, Max)


def linear_program(tighter: AnyDomain, looser: AnyDomain, graph: Graph) -> bool:
    """Over the same boxes, the optimum of the relaxation is never looser than any bound that is read off it."""
    (inner, by), (other, boxes) = _unguided(tighter), _unguided(looser)
    read_off = str(other).partition("(")[0] in ("box", "deeppoly", "dual", "zonotope")
    return _is(inner, "lp") and read_off and by is not None and by == boxes and _only(graph, PiecewiseLinear, Max)


def searched_slopes(tighter: AnyDomain, looser: AnyDomain, graph: Graph) -> bool:
    """Slopes found by ascent from the adaptive ones, over the same boxes, are never looser than those."""
    (inner, by), (other, boxes) = _unguided(tighter), _unguided(looser)
    ascent = str(inner).startswith("deeppoly(search=ascent") and "intermediate" not in str(inner)
    return by == boxes and _is(other, "deeppoly") and ascent


def optimum(tighter: AnyDomain, looser: AnyDomain, graph: Graph) -> bool:
    """The exact range is within all sound bounds."""
    return _is(tighter, "exact") and looser.guarantee == Guarantee.SOUND


RULES: tuple[Rule, ...] = (
    zero_slopes, product_over_the_same_boxes, product_of_monotone, linear_program, searched_slopes, optimum,
)  # fmt: skip


def theorem(tighter: AnyDomain, looser: AnyDomain, graph: Graph) -> str | None:
    """The name of a theorem by which the first is never looser than the second on this graph, or None."""
    return next((rule.__name__ for rule in RULES if rule(tighter, looser, graph)), None)
