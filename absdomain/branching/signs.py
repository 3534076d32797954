"""Parts of a network: entries that nonlinear ops read are decided one by one, best first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor

from absdomain.branching.climb import Branches, Climb, Climbed, Lines
from absdomain.branching.decisions import Layout
from absdomain.branching.leaf import solved
from absdomain.branching.open_parts import OpenParts, Queue
from absdomain.branching.outcome import Cause, Reason
from absdomain.branching.race import Search
from absdomain.branching.record import UNRECORDED, Record
from absdomain.branching.single import Single
from absdomain.branching.target import Target

_CANDIDATES = (3, 2)  # entries of the largest costs, and of the largest gaps, whose two sides are bounded
_STEPS, _ROOT_STEPS, _RATE = (8, 64), 40, 0.15  # of an ascent, the fewest and the most
_FINE = 1 / 8  # of the rate, where bounds stand still
_GAINED = 0.01  # of its parent's bound: a bound that has moved
_BETTER = 1 / 6  # the weight of a candidate's better side
_TENTH = 0.1
_WIDE = 512  # entries: with more of them the search is in float32
_HELD = 2**26  # entries of open branches, of which each has some numbers
Points = Callable[[Tensor], Tensor | None]


@dataclass(frozen=True, eq=False)
class Open(OpenParts):
    """Open branches: the group each asks of, its box's ends and decisions, its parent's lines and bound."""

    group: Tensor  # (M,)
    lower: Tensor  # (M, N)
    upper: Tensor
    held: Tensor
    below: Tensor
    above: Tensor
    beta: Tensor
    mu: Tensor  # (M, R)
    bound: Tensor  # (M,)

    def fields(self) -> list[Tensor]:
        """All tensors, in order."""
        return [self.group, self.lower, self.upper, self.held, self.below, self.above, self.beta, self.mu, self.bound]

    def select(self, index: Tensor) -> Open:
        """The branches at these places, or where a mask holds."""
        return Open(*(t[index] for t in self.fields()))

    def to(self, dtype: torch.dtype) -> Open:
        """The same branches, near to those of another precision: for choices, and no proof."""
        return Open(self.group, *(t.to(dtype) for t in self.fields()[1:]))

    def with_more(self, *others: Open) -> Open:
        """These and the others."""
        return Open(*(torch.cat(parts) for parts in zip(self.fields(), *(o.fields() for o in others), strict=True)))


class SignSearch(Search[Open]):
    """Branches in which the sign of some pre-activations is decided, until every one is proved.

    The boxes of the whole serve all branches, clipped by the decisions. Of the few entries whose
    relaxation costs the bound most, the one is decided whose sides gain most (Bunel et al. 2020, De Palma et al. 2021).
    Wide networks are searched in float32, and all that is proved is in float64.
    """

    def __init__(self, target: Target, batch: int, found: Points, record: Record = UNRECORDED) -> None:
        self.target, self.found, self.record = target, found, record
        self.layout = Layout.of(target.boxes)
        self.climb = Climb(target, self.layout)
        self.quick = Single(self.climb) if len(self.layout) >= _WIDE else self.climb
        total = len(self.layout) + target.size
        self.batch = max(1, min(batch, 2**21 // max(1, total)))
        self.branches, self.steps = 0, _ROOT_STEPS
        most = int(torch.bincount(target.groups).max())
        C, d, slack = target.spec.C[0], target.spec.d.expand(1, -1)[0], target.slack
        places = [(target.groups == g).nonzero().flatten() for g in range(target.count)]
        full = torch.stack([torch.cat([p, p[-1:].expand(most - len(p))]) for p in places])  # (G, R), the last repeated
        self.C, self.d, self.slack = C[full], d[full], slack[full]
        self.open = Queue(self.root())

    def root(self) -> Open:
        """The whole, once for each group that its bounds have not proved."""
        target = self.target
        lower, upper = self.layout.ends(target.boxes)
        proved = (target.bounds > target.slack) & target.bounds.isfinite()
        open_ = torch.tensor([not bool(proved[target.groups == g].any()) for g in range(len(self.C))])
        group = open_.nonzero().flatten()
        low, high = (t.expand(len(group), -1).clone() for t in (lower, upper))
        zero, none = torch.zeros_like(low), low.new_full((len(group),), -inf)
        whole = Open(group, low, high, zero, zero, zero, zero, torch.zeros_like(self.d[group]), none)
        lines = self.climb.start(self._branches(whole))
        return replace(whole, below=lines.below, above=lines.above)

    def _branches(self, some: Open) -> Branches:
        rows = (self.C[some.group], self.d[some.group], self.slack[some.group])
        return Branches(some.lower, some.upper, some.held, *rows)

    def step(self) -> Tensor | None:
        """The worst branches are bounded and parted; a counterexample, if their bounds show one."""
        some = self.open.take(self.batch)
        found = self.bounded(some, self.steps)
        self.branches += len(some)
        self._paced(some.bound, found.bound)
        point = self.found(found.points)
        left = ~_proved(found.bound)
        kept = self._kept(some, found)
        self.record.closed(self.target, kept.select(~left))
        some = kept.select(left)
        if point is not None or not len(some):
            return point
        costs, gaps = found.costs[left], found.gaps[left]
        matters = self._matters(some, gaps)
        tight = ~matters.any(1)
        proved, point = self.ended(some.select(tight))
        if point is not None:
            return point
        left = torch.ones_like(tight).masked_scatter(tight, ~proved)
        some, costs, gaps, matters = some.select(left), costs[left], gaps[left], matters[left]
        if len(some):
            for side in self.children(some, costs, gaps, matters):
                self.open.add(side)
        if len(self.open) * len(self.layout) > _HELD:
            self.stuck = Reason(Cause.MEMORY, f"{len(self.open)} branches are open; give a tighter domain")
        return point

    def _matters(self, some: Open, gaps: Tensor) -> Tensor:
        """Unsettled entries, but for those that cannot move the bound by a tenth of it, all together; (M, N)."""
        unsettled = self.layout.unsettled(some.lower, some.upper)
        size = some.bound.abs().unsqueeze(1)
        return unsettled & ~((gaps * len(self.layout) <= _TENTH * size) & size.isfinite())

    def ended(self, some: Open) -> tuple[Tensor, Tensor | None]:
        """Branches with nothing to decide that matters: which are proved, and a counterexample or None."""
        proved = torch.zeros(len(some), dtype=torch.bool)
        settled = ~self.layout.unsettled(some.lower, some.upper).any(1)
        for place in range(len(some)):
            one = some.select(torch.tensor([place]))
            branches = self._branches(one)
            with torch.no_grad():
                lines, point, inside = solved(self.climb, branches, Lines(one.below, one.above, one.beta, one.mu))
            bound = self.climb.glanced(branches, lines)
            proved[place] = _proved(bound)[0]
            if bool(proved[place]):
                self.record.closed(self.target, replace(one, **vars(lines)))
            else:
                found = self.found(point)
                if found is not None:
                    return proved, found
                if bool(settled[place]):
                    where = "" if inside else ", and HiGHS finds no point of it"
                    told = f"a branch in which all is decided has the lower bound {float(bound):.3g}{where}"
                    self.stuck = Reason(Cause.PRECISION, told)
        return proved, None

    def bounded(self, some: Open, steps: int) -> Climbed:
        """The bounds of branches, from their parents' lines; with many steps also with finer ones, from the best."""
        branches = self._branches(some)
        lines = Lines(some.below.clone(), some.above.clone(), some.beta.clone(), some.mu.clone())
        found = self.quick.ascended(branches, lines, steps, _RATE)
        return found if steps == _STEPS[0] else self.quick.ascended(branches, found.lines, steps, _RATE * _FINE)

    def _paced(self, before: Tensor, after: Tensor) -> None:
        """Doubles the steps where most bounds stand still: after a decision the other entries' lines have far to go."""
        moved = 2 * int((after > before + _GAINED * before.abs()).sum()) >= len(after)
        few, most = _STEPS
        if bool(before.isinf().any()):  # the whole has steps of its own
            self.steps = few
        else:
            self.steps = max(few, self.steps // 2) if moved else min(most, self.steps * 2)

    def _kept(self, some: Open, found: Climbed) -> Open:
        lines = found.lines
        bound = torch.maximum(found.bound, some.bound)
        return replace(some, below=lines.below, above=lines.above, beta=lines.beta, mu=lines.mu, bound=bound)

    def children(self, some: Open, costs: Tensor, gaps: Tensor, matters: Tensor) -> tuple[Open, Open]:
        """Both sides of the entry chosen for each branch: the best of a few, by weighted sums of both sides' bounds.

        Of the entries that matter, where there are any: one that only rounding leaves open has an empty side, whose
        bound would make the decision look good, and the other side's is that of the whole.
        """
        where = self.layout.thresholds(some.lower, some.upper)
        free = torch.where(matters.any(1, keepdim=True), matters, self.layout.unsettled(some.lower, some.upper))
        scores = [torch.where(free, score, -inf) for score in (costs, gaps)]
        tops = [s.topk(min(count, s.shape[1]), 1).indices for s, count in zip(scores, _CANDIDATES, strict=True)]
        candidates = torch.cat(tops, 1)
        score = self._weighed(some, candidates, where).masked_fill(~free.gather(1, candidates), -inf)
        chosen = candidates.gather(1, score.nan_to_num(nan=-inf).argmax(1, keepdim=True)).squeeze(1)
        return self.sides(some, chosen, where)

    def _weighed(self, some: Open, candidates: Tensor, where: Tensor) -> Tensor:
        """(1 - w) min + w max of the two sides' bounds of each candidate without an ascent, (M, k) of (M, k).

        The score of Linderoth and Savelsbergh 1999; a proof is worth no more than a bound of 0.
        """
        branch = torch.arange(len(some)).repeat_interleave(candidates.shape[1])
        near, where, found = some.to(self.quick.dtype), where.to(self.quick.dtype), []
        for index, entry in zip(branch.split(self.batch), candidates.flatten().split(self.batch), strict=True):
            sides = [self._glance(side).clamp(max=0) for side in self.sides(near.select(index), entry, where[index])]
            found.append(torch.lerp(torch.minimum(*sides), torch.maximum(*sides), _BETTER))
        return torch.cat(found).view_as(candidates).to(some.bound)

    def _glance(self, some: Open) -> Tensor:
        """Bounds without an ascent, (M,)."""
        return self.quick.glanced(self._branches(some), Lines(some.below, some.above, some.beta, some.mu))

    def sides(self, some: Open, entry: Tensor, where: Tensor) -> tuple[Open, Open]:
        """z <= t and z >= t, for one entry of each branch."""
        at = entry.unsqueeze(1)
        t = where.gather(1, at)
        ones = torch.ones_like(t)
        fresh = some.beta.scatter(1, at, 0.0)
        below = replace(some, upper=some.upper.scatter(1, at, t), held=some.held.scatter(1, at, -ones), beta=fresh)
        above = replace(some, lower=some.lower.scatter(1, at, t), held=some.held.scatter(1, at, ones), beta=fresh)
        return below, above


def _proved(bound: Tensor) -> Tensor:
    """Whether a bound, less its allowance, is a proof; NaN and inf are none."""
    return (bound > 0) & bound.isfinite()
