"""The band of log softmax, which costs a sum: log-sum-exp lies above its tangents and below its levels."""

from __future__ import annotations

import numpy as np
import sympy
import torch
from torch import Tensor

from absdomain.graph import Graph, Node
from absdomain.graph.rewrite import unshifted
from absdomain.kinds import Diagonal, Joint, Slopes
from absdomain.linear import Bounds
from absdomain.ops import LogSoftmax
from absdomain.ops.softmax import Others, by_level, by_tangent, most, others
from absdomain.proofs.kernel.exact import Exact, assume, aten, exact, handles, numbers, prove, prove_zero, real, reals
from absdomain.proofs.kernel.formulas import Formulas
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import FORMULAS, SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.windows import numbers as dyadic


@handles(aten.logcumsumexp)
def _logcumsumexp(world: World, func: object, x: Tensor, axis: int) -> Exact:
    """log of the sums of exponentials up to each place."""
    powers = np.frompyfunc(lambda p: world.apply("exp", p), 1, 1)(exact(world, x))
    sums = np.frompyfunc(lambda p, q: p + q, 2, 1).accumulate(powers, axis=axis)
    return Exact(world, np.frompyfunc(lambda p: world.apply("log", p), 1, 1)(sums))


def taken(world: World) -> tuple[Slopes, tuple[Bounds, ...], tuple[Tensor, ...]]:
    """Any slopes of two classes, any boxes, and any point of each."""
    slopes = reals(world, "s", 1, 2), reals(world, "r", 1, 2)
    points, boxes = [], []
    for name in "ax":
        x, lower, upper = (reals(world, name + end, 1, 2) for end in ("", "l", "u"))
        assume(world, x - lower, upper - x)
        points.append(x)
        boxes.append(Bounds(lower, upper))
    return slopes, tuple(boxes), tuple(points)


def tangent(i: int, sign: int = 1) -> Check:
    """A number above every <p, y> + H is above no value of f_i - <s, (a, x)>_i by more than `by_tangent` says."""

    def check(world: World) -> None:
        slopes, boxes, (a, x) = taken(world)
        p, entropy, total = reals(world, "p", 1, 2), reals(world, "h", 1, 1), reals(world, "g", 1, 2)
        assume(world, total - p * a - others(p * x) - entropy)
        world.split(numbers(slopes[0] + p - 1)[i], numbers(slopes[1] + p)[1 - i])
        gap = a - total - LogSoftmax().linearised(slopes)(a, x)
        prove(world, (by_tangent(slopes, boxes, p, sign * entropy) - gap)[:, i], "above")

    return check


def convex(world: World) -> None:
    """A convex e has e(x) + s x <= `most` at every x of the box."""
    lower, width, share, slope = (real(world, name) for name in ("l", "w", "k", "s"))
    low, high, value = (real(world, name) for name in ("el", "eu", "e"))
    assume(world, width, share, 1 - share, low + share * (high - low) - value)
    x, box = lower + share * width, Bounds(lower, lower + width)
    prove(world, most(slope, box, Bounds(low, high)) - value - slope * x, "at an end")


def level(sign: int = 1) -> Check:
    """A number below t - 1 + sum e(y_j) is below f - <s, (a, x)> by no more than `by_level` says."""

    def check(world: World) -> None:
        slopes, boxes, (a, x) = taken(world)
        t, total = reals(world, "t", 1, 1), reals(world, "g", 1, 2)
        ends, values = [], []
        for name, slope, box, y in zip("ax", (slopes[0] - 1, slopes[1]), boxes, (a, x), strict=True):
            value, low, high = (reals(world, f"e{name}{end}", 1, 2) for end in ("", "l", "u"))
            assume(world, most(slope, box, Bounds(low, high)) - value - slope * y)  # as e is convex
            ends.append(Bounds(low, high))
            values.append(value)
        assume(world, t - 1 + values[0] + others(values[1]) - total)
        gap = a - total - LogSoftmax().linearised(slopes)(a, x)
        prove(world, gap - by_level(slopes, boxes, sign * t, *ends), "below")

    return check


def adjoint(world: World) -> None:
    """<c, A (a, x)> = <A^T c, (a, x)>, for the map A of any slopes."""
    line = LogSoftmax().linearised((reals(world, "s", 1, 3), reals(world, "r", 1, 3)))
    a, x, c = (reals(world, name, 1, 3) for name in "axc")
    back = line.transpose(None, c, (3,), (3,))
    prove_zero(world, (c * line(a, x)).sum() - (back[0] * a + back[1] * x).sum(), "adjoint")


def one_logarithm(world: World) -> None:
    """log u <= u - 1, from which both follow: with u = exp(y_j) / (p_j Z), averaged by p, and with u = Z exp(-t)."""
    u = sympy.Symbol("u", positive=True)
    gap = u - 1 - sympy.log(u)
    world.check(sympy.solve(sympy.diff(gap, u), u) == [1] and gap.subs(u, 1) == 0, "u - 1 - log u is 0 and level at 1")
    world.check(sympy.diff(gap, u, 2).is_positive is True, "and convex")
    y, q, t = sympy.symbols("y0:3", real=True), sympy.symbols("q0:2", positive=True), sympy.Symbol("t", real=True)
    p = (*q, 1 - q[0] - q[1])
    z = sympy.Symbol("Z", positive=True)  # sum exp(y_j)
    means = sum(p_j * (y_j - sympy.log(p_j) - sympy.log(z)) for p_j, y_j in zip(p, y, strict=True))
    entropy = -sum(p_j * sympy.log(p_j) for p_j in p)
    product = sum(p_j * y_j for p_j, y_j in zip(p, y, strict=True))
    world.check(sympy.expand(means - (product + entropy - sympy.log(z))) == 0, "sum p_j log u_j = <p, y> + H - log Z")
    average = sum(p_j * sympy.exp(y_j) / (p_j * z) for p_j, y_j in zip(p, y, strict=True))
    ones = sympy.simplify(average.subs(z, sum(map(sympy.exp, y))))
    world.check(ones == 1, "sum p_j u_j = 1")
    world.check(sympy.expand_log(sympy.log(z * sympy.exp(-t))) - (sympy.log(z) - t) == 0, "log u = log Z - t")


def the_value(world: World) -> None:
    """f(a, x)_i = a_i - log(exp(a_i) + sum over j != i of exp(x_j)), as it is computed."""
    a, x = (sympy.symbols(f"{name}0:3", real=True) for name in "ax")
    inside = Formulas()
    found = LogSoftmax()(*(Exact(inside, np.array([v], dtype=object)) for v in (a, x)))
    assert isinstance(found, Exact)
    for i, value in enumerate(found.entries.reshape(-1)):
        total = sympy.exp(a[i]) + sum(sympy.exp(x[j]) for j in range(3) if j != i)
        ratio = sympy.simplify(sympy.exp(sympy.expand_log(value, force=True)) * total / sympy.exp(a[i]))
        world.check(ratio == 1, f"entry {i}")


def differences(world: World) -> None:
    """C f(x, x) = C x where C 1 = 0: with f = x - g 1; and the rewritten graph is x."""
    x, g, c = reals(world, "x", 1, 3), reals(world, "g", 1, 1), reals(world, "c", 1, 2)
    C = torch.cat([c, -c.sum(-1, keepdim=True)], -1)
    prove_zero(world, (C * (x - g)).sum() - (C * x).sum(), "differences")
    graph = Graph.of([Node("x", None, (), (3,)), Node("y", LogSoftmax(), (0, 0), (3,))])
    level, other = [1.0, -1.0, 0.0], [1.0, -1.0, 0.5]
    for rows, left in (([level], 1), ([[level, level]], 1), ([other], 2), ([level, other], 2), ([[level, other]], 2)):
        world.check(len(unshifted(graph, torch.tensor(rows)).nodes) == left, f"{left} nodes are left under {rows}")


def touching(world: World) -> None:
    """Over a point both bounds are the value, for the distribution and the level of that point; sums skip one entry."""
    v = dyadic(2, 3, 4)
    skipped = torch.stack([v[..., [j for j in range(4) if j != i]].sum(-1) for i in range(4)], -1)
    world.check(torch.equal(others(v), skipped), f"the sums of all others are {others(v).tolist()}")
    x, slopes = dyadic(2, 4, start=2), (dyadic(2, 4, start=5), dyadic(2, 4, start=9))
    boxes, p, t = (Bounds(x, x), Bounds(x, x)), x.softmax(-1), x.logsumexp(-1, keepdim=True)
    value = LogSoftmax()(x, x) - LogSoftmax().linearised(slopes)(x, x)
    powers = Bounds((x - t).exp(), (x - t).exp())
    above = by_tangent(slopes, boxes, p, torch.special.entr(p).sum(-1, keepdim=True))
    for bound in (above, by_level(slopes, boxes, t, powers, powers)):
        world.check(bool(((bound - value).abs() < 1e-12).all()), f"a bound at a point: {bound}, not {value}")


ENDS = [f"{name}{end}0{i}" for name in "ax" for end in ("", "l", "u") for i in "01"]
POINT = dict.fromkeys([*ENDS, *(f"{name}0{i}" for name in "sr" for i in "01")], 0)
TANGENT = {**POINT, "p00": 0, "p01": 0, "h": -1, "g00": -1, "g01": -1}
LEVEL = {**POINT, **dict.fromkeys((f"e{end}" for end in ENDS), 1), "t": 1, "g00": 2, "g01": 2}

LEMMAS = (
    Lemma(
        "log_softmax",
        "f(a, x)_i = a_i - log(exp(a_i) + sum over j != i of exp(x_j)) is enclosed for all slopes and boxes, every "
        "distribution and every level; C f(x, x) = C x where C 1 = 0",
        (
            LogSoftmax.__call__,
            LogSoftmax.linearised,
            Joint.linear,
            Joint.transpose,
            Diagonal.transpose,
            Others.linear,
            Others.transpose,
            by_tangent,
            by_level,
            most,
            others,
            unshifted,
        ),
        (tangent(0), tangent(1), level(), convex, adjoint, one_logarithm, the_value, differences, touching),
        (
            Twin("the entropy with the other sign", tangent(0, -1), TANGENT),
            Twin("the level with the other sign", level(-1), LEVEL),
        ),
        f"{SYMBOLS}; {FORMULAS}",
        "real arithmetic; two and three classes stand for all (the others add up); of the band, the best of several "
        "bounds is one; the image by monotony",
        leaves="that the best of several bounds is taken; `chord` and `tight_slopes`, hints; more classes than three",
    ),
)
