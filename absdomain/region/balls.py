"""Balls and ellipsoids of the norms 1 and 2."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from absdomain.kinds import Affine
from absdomain.linear import Bounds, Rows
from absdomain.region.base import Draws, Region, check_ball, drawn, inhabited, uniform
from absdomain.region.constraints import Constraints, Ellipsoid
from absdomain.values import assembled

_BLOCK = 2**21  # coefficients held at once while an op's matrix is written out


@dataclass(frozen=True, eq=False, repr=False)
class Ball(Region):
    """{ centre + radius d : |d|_p <= 1 }; radius a number, tensor or array that broadcasts to centre (an ellipsoid)."""

    centre: Tensor  # (B, *shape)
    radius: Tensor | float
    any_columns = True
    order: ClassVar[int]  # p

    def __post_init__(self) -> None:
        check_ball(self)
        inhabited(self)

    @staticmethod
    @abstractmethod
    def norm(d: Tensor) -> Tensor:
        """|d|_p over the last axis."""

    @staticmethod
    @abstractmethod
    def dual_norm(c: Tensor) -> Tensor:
        """|c|_q over the last axis, 1/p + 1/q = 1."""

    @property
    def reach(self) -> Tensor:
        """The radius along each axis, (B or 1, *shape): 1 where it is the same for every sample."""
        radius = torch.as_tensor(self.radius, dtype=self.centre.dtype, device=self.centre.device)
        batch = radius.shape[0] if radius.dim() == self.centre.dim() else 1
        return radius.expand(batch, *self.centre.shape[1:])

    def box(self) -> Bounds:
        return Bounds(self.centre - self.reach, self.centre + self.reach)

    def minimum(self, c: Rows) -> Tensor:
        return c.dot(self.centre) - self.dual_norm(c.times(self.reach).data.flatten(2))

    def argmin(self, c: Tensor) -> Tensor:
        d = c * self.reach
        return self.centre - self.reach * self.furthest(d.reshape(*d.shape[:2], -1)).view(d.shape)

    @classmethod
    @abstractmethod
    def furthest(cls, c: Tensor) -> Tensor:
        """A d with |d|_p <= 1 at which <c, d> is greatest, |c|_q, over the last axis; 0 for c = 0."""

    def constraints(self) -> Constraints:
        return Constraints(ellipsoids=(Ellipsoid(self.centre, self.reach, self.order),))

    def image(self, op: Affine) -> Region | Bounds:
        if op.diagonal:
            return assembled(type(self), centre=op(self.centre), radius=op.modulus(self.reach))
        return self._hull(op)

    def _hull(self, op: Affine) -> Bounds:
        """op(centre) -+ the dual norms of the rows of the op's matrix, written out a block at a time."""
        centre = op(self.centre)
        shape, inputs = tuple(centre.shape[1:]), tuple(self.centre.shape[1:])
        index = torch.arange(prod(shape), device=centre.device)
        radii = []
        for block in index.split(max(1, _BLOCK // (prod(inputs) * len(self.reach)))):
            (rows,) = op.adjoint(Rows.units(block, shape, centre), inputs)
            radii.append(self.dual_norm((rows.data * self.reach).flatten(2)).t())
        radius = torch.cat(radii, 1).view(-1, *shape)
        return Bounds(centre - radius, centre + radius)

    def project(self, x: Tensor) -> Tensor:
        reach = self.reach
        fixed = reach == 0
        d = ((x - self.centre) / torch.where(fixed, 1.0, reach)).masked_fill(fixed, 0.0)
        flat = d.flatten(1 - self.centre.dim())
        rounding = (flat.shape[-1] + 8) * torch.finfo(x.dtype).eps  # of a norm
        within = 1 - 3 * rounding  # so that what comes out is found to be inside, and is
        moved = reach * (within * self.into_unit_ball(flat)).view(d.shape)
        near = self.centre + moved
        near = torch.where((near - self.centre).abs() > moved.abs(), torch.nextafter(near, self.centre), near)
        outside = (self.norm(flat) > 1 - rounding).view(
            *d.shape[: 1 - self.centre.dim()], *[1] * (self.centre.dim() - 1)
        )
        return torch.where(outside | (fixed & (x != self.centre)), near, x)

    @classmethod
    @abstractmethod
    def into_unit_ball(cls, d: Tensor) -> Tensor:
        """The nearest point of { d : |d|_p <= 1 }, over the last axis."""

    def sample(self, n: int, generator: Draws = None) -> Tensor:
        d = self.directions(n, generator).flatten(2)
        length = uniform(n, self.centre, generator).flatten(2)[..., :1]
        length[: n // 2] = 1.0  # on the sphere
        d = d / self.norm(d).clamp(min=torch.finfo(d.dtype).tiny).unsqueeze(-1) * length
        return self.project(self.centre + self.reach * d.view(n, *self.centre.shape))

    def directions(self, n: int, generator: Draws) -> Tensor:
        """Random directions, (n, B, *shape)."""
        return drawn(torch.randn, n, self.centre, generator)


@dataclass(frozen=True, eq=False, repr=False)
class L2(Ball):
    """{ centre + radius d : |d|_2 <= 1 }, centre (B, *shape)."""

    order = 2

    @staticmethod
    def norm(d: Tensor) -> Tensor:
        return torch.linalg.vector_norm(d, dim=-1)

    @staticmethod
    def dual_norm(c: Tensor) -> Tensor:
        """|c|_2, and what the squares of n small numbers may lose: each is rounded by the smallest float at most."""
        info = torch.finfo(c.dtype)
        return L2.norm(c) + (c.shape[-1] * info.tiny * info.eps) ** 0.5

    @classmethod
    def furthest(cls, c: Tensor) -> Tensor:
        return c / cls.norm(c).clamp(min=torch.finfo(c.dtype).tiny).unsqueeze(-1)

    @classmethod
    def into_unit_ball(cls, d: Tensor) -> Tensor:
        return d / cls.norm(d).clamp(min=1.0).unsqueeze(-1)


@dataclass(frozen=True, eq=False, repr=False)
class L1(Ball):
    """{ centre + radius d : |d|_1 <= 1 }, centre (B, *shape)."""

    order = 1

    @staticmethod
    def norm(d: Tensor) -> Tensor:
        return d.abs().sum(-1)

    @staticmethod
    def dual_norm(c: Tensor) -> Tensor:
        return c.abs().amax(-1)

    @classmethod
    def furthest(cls, c: Tensor) -> Tensor:
        best = (c.abs() == cls.dual_norm(c).unsqueeze(-1)) * c.sign()  # the mean of the best vertices
        return best / cls.norm(best).clamp(min=1.0).unsqueeze(-1)

    @classmethod
    def into_unit_ball(cls, d: Tensor) -> Tensor:
        """Soft thresholding at the level that leaves |d|_1 = 1 (Duchi et al. 2008, figure 1)."""
        ordered = d.abs().sort(dim=-1, descending=True).values
        counts = torch.arange(1, d.shape[-1] + 1, dtype=d.dtype, device=d.device)
        levels = (ordered.cumsum(-1) - 1) / counts
        last = (ordered > levels).sum(-1, keepdim=True) - 1
        level = levels.gather(-1, last.clamp(min=0)).clamp(min=0)
        nearest = d.sign() * (d.abs() - level).clamp(min=0)
        return nearest / cls.norm(nearest).clamp(min=1.0).unsqueeze(-1)  # the level is rounded as the far point is

    def directions(self, n: int, generator: Draws) -> Tensor:
        """Gaussian directions and, in the first quarter, vertices: one axis each."""
        d = super().directions(n, generator)
        flat = d.flatten(2)[: n // 4]
        flat *= torch.zeros_like(flat).scatter_(-1, flat.abs().argmax(-1, keepdim=True), 1.0)
        return d
