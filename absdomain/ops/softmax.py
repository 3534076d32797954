"""The logarithm of softmax, all entries at the price of one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds import Diagonal, Joint, Line, Linearised, Nonlinear, Shape, Slopes
from absdomain.kinds.op import common
from absdomain.linear import Bounds

_LEVELS = (0.25, 0.5, 0.75, 1.0)  # places in the box whose log-sum-exp is tried as a level: every level gives a bound
_STEEP = 50.0  # the exponential is still a float
_NARROW = 1e-6  # a box for whose chord the derivative is as good: slopes are hints


@dataclass(frozen=True, eq=False)
class Others(Linearised):
    """x -> sum over j != i of w_j x_j along the last axis, for each entry i."""

    weight: Tensor

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        assert w is not None
        return others(w * xs[0])

    def shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        assert w is not None
        return (others(y) * w,)


@dataclass(frozen=True, eq=False)
class LogSoftmax(Nonlinear):
    """f(a, x)_i = a_i - log(exp(a_i) + sum over j != i of exp(x_j)) along the last axis; f(x, x) is log softmax of x.

    The entry's own logit is an argument for itself, so that interval bounds of it count once: the image is exact. All
    entries share the slopes r of x: <s, (a, x)>_i = s_i a_i + sum over j != i of r_j x_j. Both bounds of
    y -> log sum exp(y_j) are sums over the entries, for any distribution p and any level t (Boyd and Vandenberghe 2004,
    section 3.3.1; its conjugate is the negative entropy):

        <p, y> + H(p) <= log sum exp(y_j) <= t - 1 + sum exp(y_j - t).
    """

    lemma = "log_softmax"
    shifts = True

    def __call__(self, *xs: Tensor) -> Tensor:
        a, x = xs
        gap = _others_log(x) - a
        return -torch.logaddexp(torch.zeros_like(gap), gap)

    def shape(self, *shapes: Shape) -> Shape:
        return common(self, shapes)

    def linearised(self, slopes: Slopes) -> Joint:
        return Joint((Diagonal(slopes[0]), Others(slopes[1])))

    def image(self, boxes: tuple[Bounds, ...]) -> Bounds:
        """f grows in a and falls in x."""
        a, x = boxes
        return Bounds(self(a.lower, x.upper), self(a.upper, x.lower))

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        inside, beyond = _split_off(slopes)
        best = self.image(boxes).upper - lowest(inside, boxes)
        for p in _distributions(inside[1], boxes[1]):
            bound = by_tangent(inside, boxes, p, torch.special.entr(p).sum(-1, keepdim=True))
            best = torch.minimum(best, bound.nan_to_num(nan=torch.inf))
        return best - lowest(beyond, boxes)

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        inside, beyond = _split_off(slopes)
        a, x = boxes
        best = self.image(boxes).lower + lowest(_negated(inside), boxes)
        for place in _LEVELS:
            t = torch.lerp(x.lower, x.upper, place).logsumexp(-1, keepdim=True)
            powers = (Bounds((b.lower - t).exp(), (b.upper - t).exp()) for b in (a, x))
            bound = by_level(inside, boxes, t, *powers)
            best = torch.maximum(best, bound.nan_to_num(nan=-torch.inf))
        return best + lowest(_negated(beyond), boxes)

    def lines(self, below: Slopes, above: Slopes, boxes: tuple[Bounds, ...]) -> tuple[Line, Line]:
        """With slopes between the ends that the derivatives have anywhere, for which the band is made."""
        low, high = _anywhere(below), _anywhere(above)
        return Line(low, self.inf(low, boxes)), Line(high, self.sup(high, boxes))

    def slope_range(self, boxes: tuple[Bounds, ...]) -> tuple[Bounds, ...] | None:
        """1 - q_i and -q_j, for the softmax q of numbers of which each may lie in either box."""
        a, x = boxes
        either = Bounds(torch.minimum(a.lower, x.lower), torch.maximum(a.upper, x.upper))
        q = self.image((either, either))
        low, high = q.lower.exp(), q.upper.exp()
        return Bounds(1 - high, 1 - low), Bounds(-high, -low)

    def forward_error(self, boxes: tuple[Bounds, ...]) -> Tensor:
        """And one for each term of the sum, of which a logarithm is taken."""
        return super().forward_error(boxes) + 4 * boxes[0].lower.shape[-1]

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        """Of the chords of exp(. - t), at the level t of the centre."""
        a, x = boxes
        t = x.centre.logsumexp(-1, keepdim=True)
        return 1 - _chord(a, t), -_chord(x, t)

    def tight_slopes(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        """f is concave: the chords below, and the tangent at the centre above."""
        p = boxes[1].centre.softmax(-1)
        return self.chord(boxes), (1 - p, -p)


def _anywhere(slopes: Slopes) -> Slopes:
    """s in [0, 1] and r in [-1, 0], as the derivatives are anywhere."""
    return F.hardtanh(slopes[0], 0.0, 1.0), F.hardtanh(slopes[1], -1.0, 0.0)


def _split_off(slopes: Slopes) -> tuple[Slopes, Slopes]:
    """Slopes as `_anywhere` gives them, and the rest, of which a bound is added: such lines are never tighter."""
    inside = _anywhere(slopes)
    return inside, tuple(given - kept for given, kept in zip(slopes, inside, strict=True))


def by_tangent(slopes: Slopes, boxes: tuple[Bounds, ...], p: Tensor, entropy: Tensor) -> Tensor:
    """f - <s, (a, x)> <= max (1 - s_i - p_i) a_i - sum over j != i of min (r_j + p_j) x_j - H(p)."""
    s, r = slopes
    return -lowest((s + p - 1, r + p), boxes) - entropy


def by_level(slopes: Slopes, boxes: tuple[Bounds, ...], t: Tensor, own: Bounds, each: Bounds) -> Tensor:
    """f - <s, (a, x)> >= 1 - t - max (e(a_i) + (s_i - 1) a_i) - sum over j != i of max (e(x_j) + r_j x_j).

    With e(x) = exp(x - t), whose values at the ends of the boxes are given: it is convex.
    """
    (s, r), (a, x) = slopes, boxes
    return 1 - t - most(s - 1, a, own) - others(most(r, x, each))


def most(slope: Tensor, box: Bounds, values: Bounds) -> Tensor:
    """max e(x) + slope x over the box, for a convex e with these values at its ends."""
    return torch.maximum(values.lower + slope * box.lower, values.upper + slope * box.upper)


def lowest(slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
    """min <s, (a, x)>_i over the boxes."""
    own, each = (torch.minimum(s * b.lower, s * b.upper) for s, b in zip(slopes, boxes, strict=True))
    return own + others(each)


def others(v: Tensor) -> Tensor:
    """sum over j != i of v_j: from the left and from the right, as a difference would cancel."""
    none = torch.zeros_like(v[..., :1])
    left = torch.cat([none, v[..., :-1].cumsum(-1)], -1)
    right = torch.cat([v[..., 1:].flip(-1).cumsum(-1).flip(-1), none], -1)
    return left + right


def _others_log(x: Tensor) -> Tensor:
    """log sum over j != i of exp(x_j), likewise."""
    left, right = x[..., :-1].logcumsumexp(-1), x[..., 1:].flip(-1).logcumsumexp(-1).flip(-1)
    return torch.cat([right[..., :1], torch.logaddexp(left[..., :-1], right[..., 1:]), left[..., -1:]], -1)


def _negated(slopes: Slopes) -> Slopes:
    return tuple(-s for s in slopes)


def _chord(box: Bounds, level: Tensor) -> Tensor:
    """The slope of exp(min(x - level, 50)) between the ends: beyond, it is clamped to 1 anyway."""
    low, high = ((end - level).clamp(max=_STEEP).exp() for end in (box.lower, box.upper))
    narrow = box.width <= _NARROW
    run = torch.where(narrow, 1.0, box.width)
    return torch.where(narrow, low, (high - low) / run)


def _distributions(slope: Tensor, box: Bounds) -> tuple[Tensor, Tensor]:
    """The softmax of the centre, and the one whose tangent has these slopes, if it is one."""
    centre, falling = box.centre.softmax(-1), (-slope).relu()
    total = falling.sum(-1, keepdim=True)
    known = (total > 0) & total.isfinite()
    return centre, torch.where(known, falling / torch.where(known, total, 1.0), centre)
