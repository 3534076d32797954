"""The part of a ball in which a reference network leaves room for an error: Robustra (Li et al. 2019, section 3)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from absdomain.linear import Bounds, Rows
from absdomain.linear.axes import flat, spread
from absdomain.region import Constraints, Draws, Region
from absdomain.region.base import EACH, drawn
from absdomain.region.halfspace import inner, optimum
from absdomain.region.halfspace import multipliers as best_multipliers

if TYPE_CHECKING:
    from absdomain.domain import Domain
    from absdomain.graph import Graph
    from absdomain.kinds import Affine
    from absdomain.spec import Spec

_FLAT = 1e-7  # of the largest |q_i|: smaller coefficients have no breakpoint in Robustra's rule


class State(IntEnum):
    """What the half-space does to the minimum of a row over the ball."""

    LOOSE = 0  # nothing: eta = 0
    TIGHT = 1  # it raises the minimum: eta > 0
    INFEASIBLE = 2  # it misses the ball: the minimum is +inf


@dataclass(frozen=True, eq=False)
class _Part(Region):
    """The part of a ball that lies in a half-space of normal q. Its box and images are the ball's.

    So is `centre`, which may lie outside. Law: minimum(c) <= <c, x> for every x of the part.
    """

    ball: Region
    q: Tensor  # (B, *shape)
    k: Tensor = field(metadata=EACH)  # (B,)

    def __post_init__(self) -> None:
        if self.ball.whole is not self.ball:
            raise ValueError(
                f"{type(self).__name__}: the ball is a {type(self.ball).__name__}, itself a part of a larger region, "
                "and a space has one half-space; give the whole of it, ball.whole"
            )
        if self.q.shape != self.ball.centre.shape or self.k.shape != self.q.shape[:1]:
            raise ValueError(
                f"{type(self).__name__}: q is {tuple(self.q.shape)} and k {tuple(self.k.shape)}, but the ball's centre "
                f"is {tuple(self.ball.centre.shape)}; give q of that shape and one k a sample"
            )

    @property
    def centre(self) -> Tensor:
        """The ball's centre."""
        return self.ball.centre

    @property
    def whole(self) -> Region:
        return self.ball

    def box(self) -> Bounds:
        return self.ball.box()

    def image(self, op: Affine) -> Region | Bounds:
        return self.ball.image(op)

    def reference(self, x: Tensor) -> Tensor:
        """<q, x> + k, (..., B); x (..., B, *shape)."""
        return inner(self.q, x) + self.k

    @abstractmethod
    def states(self, c: Rows) -> Tensor:
        """The State of every row and sample, (K, B)."""


@dataclass(frozen=True, eq=False)
class ReferenceSpace(_Part):
    """{ x in ball : <q, x> + k >= t }: the points at which a relaxation of a reference network still reaches t.

    q (B, *shape), k (B,), t a number or (B,), in the units of the reference's output. With the plane above a network,
    c . g(x) <= <q, x> + k, the set holds every x of the ball at which c . g(x) >= t (Li et al. 2019, section 3, who
    write "for all" relaxed outputs in eq. 5; what their eq. 8 bounds, and what holds the true set, is "for some").

        minimum(c) = max over eta >= 0 of  eta (t - k) + min over the ball of <c - eta q, x>

    Any eta gives a bound; the best is taken: at a breakpoint c_i / q_i for a box, in closed form for an L2 ball, by
    bisection otherwise. A bound over this region is one for training and never a certificate for the ball. A sample
    whose half-space misses the ball has the minimum +inf, which no loss should count. Differentiable in c, q, k, t and
    the ball.
    """

    t: Tensor | float = field(metadata=EACH)

    def __post_init__(self) -> None:
        super().__post_init__()
        shape = self.t.shape if isinstance(self.t, Tensor) else ()
        if tuple(shape) not in ((), tuple(self.k.shape)):
            raise ValueError(
                f"ReferenceSpace: t is {tuple(shape)}, but k is {tuple(self.k.shape)}; give a number, or one a sample"
            )

    @classmethod
    def of(cls, ball: Region, graph: Graph, spec: Spec, *, t: Tensor | float, by: Domain[Any]) -> ReferenceSpace:
        """The half-space of the row C graph(x) + d >= t, by a relational domain's plane above it on the ball."""
        return cls(ball, *_plane_above(ball, graph, spec, by), t)

    @property
    def _need(self) -> Tensor:
        """What <q, x> is to reach, (B,): t - k, less what rounding may make of either, so that no point is lost."""
        box, need = self.ball.box(), (self.t - self.k).expand(len(self.q))
        with torch.no_grad():
            size = inner(self.q.abs(), torch.maximum(box.lower.abs(), box.upper.abs())) + self.k.abs() + need.abs()
            room = 4 * (self.q[0].numel() + 8) * torch.finfo(self.q.dtype).eps * size
        return need - room

    @property
    def infeasible(self) -> Tensor:
        """Which samples' half-spaces miss the ball, (B,)."""
        return self._need > -self.ball.minimum(Rows.of(-self.q.unsqueeze(0)))[0]

    def multipliers(self, c: Rows) -> Tensor:
        """The best eta, (K, B)."""
        with torch.no_grad():
            return best_multipliers(self.ball, c.data, self.q, self._need)

    def minimum(self, c: Rows) -> Tensor:
        eta = self.multipliers(c)
        rest = c.data - spread(eta, self.q.dim() - 1) * self.q
        held = rest.detach()
        least = self.ball.minimum(Rows.of(held)) + eta * self._need
        if rest.requires_grad:  # at a breakpoint the ball's minimum has many gradients: that of the optimum is x
            with torch.no_grad():
                x = optimum(self.ball, c.data, self.q, self._need, eta)
            least = least + inner(rest - held, x, axes=self.q.dim() - 1)
        return torch.where(self.infeasible, torch.inf, least)

    def argmin(self, c: Tensor) -> Tensor:
        return optimum(self.ball, c, self.q, self._need, self.multipliers(Rows.of(c)))

    def states(self, c: Rows) -> Tensor:
        bound = torch.where(self.multipliers(c) > 0, int(State.TIGHT), int(State.LOOSE))
        return torch.where(self.infeasible, int(State.INFEASIBLE), bound)

    def sample(self, n: int, generator: Draws = None) -> Tensor:
        """n points per sample: the ball's, where they lie in the half-space; the others drawn in, half of them just.

        ValueError: the half-space of some sample misses the ball.
        """
        x = self.ball.sample(n, generator)
        further = drawn(torch.rand, n, x[0].flatten(1)[:, 0], generator)
        further[: n // 2] = 0.0
        return self._drawn_in(x, further)

    def project(self, x: Tensor) -> Tensor:
        """The ball's projection of x, drawn to the half-space on the way to its highest point; not the nearest point.

        ValueError: the half-space of some sample misses the ball.
        """
        return self._drawn_in(self.ball.project(x), torch.zeros((), dtype=x.dtype, device=x.device))

    def _drawn_in(self, x: Tensor, further: Tensor) -> Tensor:
        """x (..., B, *shape) moved towards the ball's highest point of <q, .>: to t, and on by the share `further`."""
        empty = self.infeasible
        if bool(empty.any()):
            raise ValueError(f"the reference space is empty for the samples {empty.nonzero().flatten().tolist()}")
        top = self.ball.argmin(-self.q.unsqueeze(0))[0]
        lack, rise = self.t - self.reference(x), self.reference(top) - self.reference(x)
        step = (lack / rise.clamp(min=torch.finfo(x.dtype).tiny)).clamp(max=1.0)
        step = torch.where(lack > 0, step + (1 - step) * further, torch.zeros_like(step))
        return x + spread(step, self.q.dim() - 1) * (top - x)

    def constraints(self) -> Constraints:
        return replace(self.ball.constraints(), A=-flat(self.q, 1).unsqueeze(1), b=-self._need.unsqueeze(1))


@dataclass(frozen=True, eq=False)
class MatchedSpace(_Part):
    """{ x in ball : <q, x> + k >= t(c) }: a reference space whose t suits the row c that is asked, by Robustra's rule.

    eta is the breakpoint c_i / q_i > 0 of rank floor(rate (m + 1)) of m (0: eta = 0, the ball itself), the median by
    default; t(c) is the value of <q, x> + k at the x of the ball where <c - eta q, x> is least, entries at the
    breakpoint at their middle. Then eta is optimal, and the minimum is <c, x> (Li et al. 2019, section 4). It is
    differentiable in c alone, with eta and the signs in x as constants: the reference only chooses signs.
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.rate <= 1:
            raise ValueError(f"MatchedSpace: the rate is {self.rate}; give a share of the breakpoints, in [0, 1]")

    @classmethod
    def of(cls, ball: Region, graph: Graph, spec: Spec, *, by: Domain[Any], rate: float = 0.5) -> MatchedSpace:
        """The half-spaces of the row C graph(x) + d, by a relational domain's plane above it on the ball."""
        return cls(ball, *_plane_above(ball, graph, spec, by), rate)

    def multipliers(self, c: Rows) -> Tensor:
        """eta, (K, B)."""
        with torch.no_grad():
            points = c.data / self.q
            steep = flat(self.q, 1).abs() > _FLAT * flat(self.q, 1).abs().amax(1, keepdim=True)
            found = (points > 0) & points.isfinite() & steep.view_as(self.q)
            ordered = flat(torch.where(found, points, torch.inf), 2).sort(-1).values
            count = flat(found, 2).sum(-1)
            rank = torch.minimum((self.rate * (count + 1)).floor().long(), count).unsqueeze(-1)
            eta = ordered.gather(-1, (rank - 1).clamp(min=0))
            return torch.where(rank > 0, eta, 0.0).squeeze(-1)

    def argmin(self, c: Tensor) -> Tensor:
        """The x at which <c - eta q, x> is least, (K, B, *shape)."""
        with torch.no_grad():
            there = spread(self.multipliers(Rows.of(c)), self.q.dim() - 1) * self.q
            rest = c - there
            at_breakpoint = rest.abs() <= 8 * torch.finfo(rest.dtype).eps * there.abs()
            return self.ball.argmin(torch.where(at_breakpoint, 0.0, rest))

    def minimum(self, c: Rows) -> Tensor:
        return inner(c.data, self.argmin(c.data), axes=self.q.dim() - 1)

    def thresholds(self, c: Rows) -> Tensor:
        """t(c), (K, B)."""
        return self.reference(self.argmin(c.data))

    def at(self, t: Tensor | float) -> ReferenceSpace:
        """The space of one t."""
        return ReferenceSpace(self.ball, self.q, self.k, t)

    def states(self, c: Rows) -> Tensor:
        return torch.where(self.multipliers(c) > 0, int(State.TIGHT), int(State.LOOSE))

    def sample(self, n: int, generator: Draws = None) -> NoReturn:
        """TypeError: it is one set for each row."""
        raise TypeError("a MatchedSpace is a set for each row that is asked; take points of space.at(t)")

    def project(self, x: Tensor) -> NoReturn:
        """TypeError: it is one set for each row."""
        raise TypeError("a MatchedSpace is a set for each row that is asked; project with space.at(t)")

    def constraints(self) -> NoReturn:
        """TypeError: it is one set for each row."""
        raise TypeError("a MatchedSpace is a set for each row that is asked; take constraints of space.at(t)")


def planes_above(by: Domain[Any], graph: Graph, region: Region, spec: Spec) -> tuple[Rows, Tensor]:
    """C graph(x) + d <= <c, x> + k on the region, as `Domain.planes`; TypeError: the domain gives none."""
    planes = by.planes(by.propagate(graph, region, spec).output)
    if planes is None:
        raise TypeError(f"{by} gives no planes above its elements; a domain that does is deeppoly, dual or zonotope")
    return planes


def _plane_above(ball: Region, graph: Graph, spec: Spec, by: Domain[Any]) -> tuple[Tensor, Tensor]:
    """q (B, *shape) and k (B,) with C graph(x) + d <= <q, x> + k on the ball; the plane below would lose true points.

    No gradient reaches the reference.
    """
    if spec.C.shape[1] != 1:
        raise ValueError(
            f"a reference space has one half-space a sample, but the specification has {spec.C.shape[1]} rows; "
            "fold them into the batch, a copy of the sample for each row"
        )
    with torch.no_grad():
        rows, constants = planes_above(by, graph, ball, spec)
    like = ball.centre
    return rows.data[0].expand_as(like), constants[0].expand(len(like))
