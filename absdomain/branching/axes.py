"""Parts of the input: boxes that are cut by the rows' linear bounds and halved, best first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, prod

import torch
from torch import Tensor

from absdomain.branching.open_parts import OpenParts, Queue
from absdomain.branching.outcome import Cause, Reason
from absdomain.branching.race import Search
from absdomain.branching.target import Target
from absdomain.domain import AnyDomain
from absdomain.region import Interval
from absdomain.spec import Spec

_ROOM = 2.0**12  # roundoffs of the sums and quotients in a cut
_FLOOR = 0.3  # of the largest coefficient: no axis is starved
_ROUNDS = 2  # of cuts
_WIDEST = 2**21  # entries of an activation of a batch
_HELD = 2**27  # numbers of open boxes
Points = Callable[[Tensor], Tensor | None]  # points (B, *shape) -> one that is a counterexample, or None


@dataclass(frozen=True, eq=False)
class Parts(OpenParts):
    """Open boxes, and a lower bound of the worst group of each."""

    lower: Tensor  # (N, n)
    upper: Tensor  # (N, n)
    bound: Tensor  # (N,)

    def select(self, index: Tensor) -> Parts:
        """The parts at these places, or where a mask holds."""
        return Parts(self.lower[index], self.upper[index], self.bound[index])

    def with_more(self, *others: Parts) -> Parts:
        """These and the others."""
        columns = zip(*((p.lower, p.upper, p.bound) for p in (self, *others)), strict=True)
        return Parts(*map(torch.cat, columns))


@dataclass(frozen=True, eq=False)
class Planes:
    """Linear lower bounds of all rows over each box: C f(x) + d >= A x + b; A (B, K, n), b (B, K)."""

    A: Tensor
    b: Tensor

    def least(self, box: Parts) -> Tensor:
        """Their minima over the boxes, (B, K)."""
        low, high = box.lower.unsqueeze(1), box.upper.unsqueeze(1)
        return self.b + torch.minimum(self.A * low, self.A * high).sum(2)


class AxisSearch(Search[Parts]):
    """Boxes of one sample's input, halved until the domain proves each, or one holds a counterexample.

    A box is first cut to where the linear bounds of every open group's rows are not positive: there alone an unsafe
    point may lie. An axis is chosen by |a_i| (u_i - l_i) of the row on which the box hangs. A group of several rows
    also has the means of them: a convex combination may be positive where no row is.
    """

    def __init__(self, target: Target, domain: AnyDomain, batch: int, found: Points) -> None:
        widest = max(prod(node.shape) for node in target.graph.nodes)
        self.target, self.batch, self.found = target, max(1, min(batch, _WIDEST // widest)), found
        self.spec, self.groups, self.slack = target.spec, target.groups, target.slack
        self.domain = target.cautious(domain)
        self.negated = Spec(-self.spec.C, -self.spec.d).of(target.graph)
        self.branches = 0
        box = target.region.box()
        self.open = Queue(Parts(box.lower.flatten(1), box.upper.flatten(1), box.lower.new_full((1,), -inf)))

    def step(self) -> Tensor | None:
        """The worst boxes are bounded, cut and halved; a counterexample, if one of their corners is one."""
        some = self.open.take(self.batch)
        left, planes = self.bounded(some)
        point = self._tried(left, planes)
        narrow = ~(torch.nextafter(left.lower, left.upper) < left.upper).any(1)
        if bool(narrow.any()):
            self.stuck = Reason(Cause.PRECISION, "a box of neighbouring floats is still open")
        if len(left):
            self.open.add(self.split(left, planes))
        if len(self.open) * self.target.size > _HELD:
            self.stuck = Reason(Cause.MEMORY, f"{len(self.open)} boxes are open; give a tighter domain")
        return point

    def bounded(self, some: Parts) -> tuple[Parts, Planes]:
        """The parts that stay open, cut, with the linear bounds of their rows."""
        self.branches += len(some)
        planes = self.planes(some)
        rows = planes.least(some)
        cut, alive = self.cut(some, planes, rows)
        bound = self._worst(rows, alive)
        open_ = alive.any(1)
        return replace(cut, bound=bound).select(open_), Planes(planes.A[open_], planes.b[open_])

    def planes(self, some: Parts) -> Planes:
        """What the domain knows of the rows over the boxes; level planes where it knows no others."""
        shape = self.target.graph.input.shape
        region = Interval(some.lower.view(-1, *shape), some.upper.view(-1, *shape))
        with torch.no_grad():
            trace = self.domain.propagate(self.negated, region)
            found = self.domain.planes(trace.output)
            if found is None:
                low = -trace.upper
                return Planes(low.new_zeros(*low.shape, prod(shape)), low)
            rows, constant = found
            A = -rows.data.flatten(2).expand(-1, len(some), -1).transpose(0, 1)
            return Planes(A, -constant.expand(-1, len(some)).t())

    def cut(self, some: Parts, planes: Planes, rows: Tensor) -> tuple[Parts, Tensor]:
        """The hull of where each open group may be unsafe, and which groups are open, (B, G)."""
        lowers, uppers, alive = [], [], []
        for group in range(self.target.count):
            places = (self.groups == group).nonzero().squeeze(1)
            proved = (rows[:, places] > self.slack[places]) & rows[:, places].isfinite()
            low, high = some.lower, some.upper
            for _ in range(_ROUNDS):
                for place in places.tolist():
                    low, high = _cut(low, high, planes.A[:, place], planes.b[:, place], self.slack[place])
            open_ = ~proved.any(1) & (low <= high).all(1)
            lowers.append(torch.where(open_.unsqueeze(1), low, inf))
            uppers.append(torch.where(open_.unsqueeze(1), high, -inf))
            alive.append(open_)
        lower, upper = torch.stack(lowers).amin(0), torch.stack(uppers).amax(0)
        return Parts(lower, upper, some.bound), torch.stack(alive, 1)

    def _worst(self, rows: Tensor, alive: Tensor) -> Tensor:
        """The least over the open groups of their greatest bound, (B,)."""
        return torch.where(alive, self.target.best(rows.nan_to_num(nan=-inf)), inf).amin(1)

    def _hanging(self, box: Parts, planes: Planes) -> Tensor:
        """The coefficients of the row on which each box hangs, (B, n)."""
        row = self.spec.weakest(planes.least(box))
        return planes.A[torch.arange(len(box)), row]

    def split(self, box: Parts, planes: Planes) -> Parts:
        """Each box in two, or in more while that fills the batch, along the axes that move the bound most."""
        slope = self._hanging(box, planes).abs()
        slope = torch.maximum(slope, _FLOOR * slope.amax(1, keepdim=True))
        axes = max(1, min((self.batch // len(box)).bit_length() - 1, self.target.size, 6))
        for _ in range(axes):
            score = slope * (box.upper - box.lower)
            score = torch.where(slope.amax(1, keepdim=True) > 0, score, box.upper - box.lower)
            axis = score.argmax(1, keepdim=True)
            middle = torch.lerp(box.lower, box.upper, 0.5).gather(1, axis)
            left = replace(box, upper=box.upper.scatter(1, axis, middle))
            box = left.with_more(replace(box, lower=box.lower.scatter(1, axis, middle)))
            slope = torch.cat([slope, slope])
        return box

    def _tried(self, box: Parts, planes: Planes) -> Tensor | None:
        """A counterexample among the points at which the linear bounds are least."""
        if not len(box):
            return None
        slope = self._hanging(box, planes)
        middle = torch.lerp(box.lower, box.upper, 0.5)
        x = torch.where(slope > 0, box.lower, torch.where(slope < 0, box.upper, middle))
        return self.found(x.view(-1, *self.target.graph.input.shape))


def _cut(low: Tensor, high: Tensor, a: Tensor, b: Tensor, slack: Tensor) -> tuple[Tensor, Tensor]:
    """[low, high] cut to where <a, x> + b <= slack may hold, every axis once; (B, n), b (B,).

    a_i x_i <= slack - b - sum_{j != i} min a_j x_j, rounded outwards.
    """
    least = torch.minimum(a * low, a * high)
    size = torch.maximum(a.abs() * low.abs(), a.abs() * high.abs()).sum(1) + b.abs()
    unit = _ROOM * torch.finfo(low.dtype).eps
    room = slack - b - least.sum(1) + unit * size
    end = (room.unsqueeze(1) + least) / a  # NaN or infinite where a is 0
    end = end + unit * end.abs() * a.sign()
    fine = end.isfinite()
    new_high = torch.where(fine & (a > 0), torch.minimum(high, end), high)
    new_low = torch.where(fine & (a < 0), torch.maximum(low, end), low)
    impossible = room < 0
    return torch.where(impossible.unsqueeze(1), torch.inf, new_low), new_high
