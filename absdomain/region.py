"""The sets of inputs over which a network is bounded: balls of a norm and boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor

from absdomain.bounds import Bounds, hull, numbers
from absdomain.guarantee import Guarantee
from absdomain.kinds import Affine
from absdomain.rows import Rows

_BLOCK = 2**21  # coefficients held at once while an op's matrix is written out


class Region(ABC):
    """A set of inputs per sample, known by its support function `minimum`, from which every domain takes its bounds.

    Law: for every x in the region, box().lower <= x <= box().upper and minimum(c) <= <c, x>; both are attained.
    """

    guarantee: ClassVar[Guarantee] = Guarantee.SOUND
    columns: ClassVar[bool] = False  # `minimum` reads rows by their methods alone, so that they may have any columns
    centre: Tensor  # a point inside, (B, *shape)

    @property
    def whole(self) -> Region:
        """The region over which intermediate bounds are taken: itself, unless it is a part of a larger one."""
        return self

    @abstractmethod
    def box(self) -> Bounds:
        """The interval hull, (B, *shape)."""

    @abstractmethod
    def minimum(self, c: Rows) -> Tensor:
        """min of <c_k, x> over the region, (K, B)."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n points of the region per sample, half of them extreme, (n, B, *shape)."""

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """A point of the region near x, (..., B, *shape): the nearest where the radius is the same along all axes."""

    @abstractmethod
    def constraints(self, x: Any, sample: int) -> list[Any]:
        """x is in one sample's region, as constraints on a flat cvxpy expression: what LP and Exact are given."""

    @abstractmethod
    def hull(self, op: Affine) -> Bounds:
        """The interval hull of op over the region, exactly, (B, *output shape)."""

    @abstractmethod
    def moved(self, op: Affine) -> Region:
        """The image under a diagonal op, which is a region of the same kind."""

    def through(self, op: Affine) -> Region | Bounds:
        """The image under op where a region of this kind can say it, otherwise its interval hull."""
        return self.moved(op) if op.diagonal else self.hull(op)


class _Box(Region):
    """A region that is its own interval hull."""

    columns = True

    def minimum(self, c: Rows) -> Tensor:
        return c.minimum(self.box())

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        box = self.box()
        u = _uniform(n, box.lower, generator)
        u[: n // 2] = u[: n // 2].round()  # corners
        return self.project(torch.lerp(box.lower, box.upper, u))

    def project(self, x: Tensor) -> Tensor:
        box = self.box()
        return torch.clamp(x, box.lower, box.upper)

    def constraints(self, x: Any, sample: int) -> list[Any]:
        box = self.box()
        return [x >= numbers(box.lower[sample]), x <= numbers(box.upper[sample])]

    def hull(self, op: Affine) -> Bounds:
        return hull(op, self.box())

    def moved(self, op: Affine) -> Region:
        image = self.hull(op)
        return _image(Interval, lower=image.lower, upper=image.upper)


@dataclass(frozen=True, eq=False)
class Interval(_Box):
    """{ x : lower <= x <= upper }, both (B, *shape). An empty interval or a NaN is an error, never a proof."""

    lower: Tensor
    upper: Tensor

    def __post_init__(self) -> None:
        if self.lower.shape != self.upper.shape:
            raise ValueError(f"Interval: lower has shape {tuple(self.lower.shape)}, upper {tuple(self.upper.shape)}")
        _inhabited(self)

    @property
    def centre(self) -> Tensor:  # type: ignore[override]  # derived here, a field elsewhere
        """(lower + upper) / 2."""
        return self.box().centre

    def box(self) -> Bounds:
        return Bounds(self.lower, self.upper)


@dataclass(frozen=True, eq=False)
class Linf(_Box):
    """{ x : |x - centre| <= radius, clip[0] <= x <= clip[1] }; radius a number or a tensor that broadcasts to centre.

    Clip in pixel space and normalise inside the network. A ball that the clip leaves empty is an error.
    """

    centre: Tensor  # (B, *shape)
    radius: Tensor | float
    clip: tuple[float, float] | None = None
    _box: Bounds = field(init=False, repr=False)

    def __post_init__(self) -> None:
        lower, upper = self.centre - self.radius, self.centre + self.radius
        if self.clip is not None:
            lower, upper = lower.clamp(min=self.clip[0]), upper.clamp(max=self.clip[1])
        object.__setattr__(self, "_box", Bounds(lower, upper))  # asked for by the check here and by every bound
        _inhabited(self)

    def box(self) -> Bounds:
        return self._box


@dataclass(frozen=True, eq=False)
class _Ball(Region):
    """{ centre + radius d : |d|_p <= 1 }; radius a number or a tensor that broadcasts to centre (an ellipsoid)."""

    centre: Tensor  # (B, *shape)
    radius: Tensor | float
    columns = True
    order: ClassVar[int]  # p

    def __post_init__(self) -> None:
        _inhabited(self)

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

    def constraints(self, x: Any, sample: int) -> list[Any]:
        import cvxpy

        d = cvxpy.Variable(x.size)
        moved = cvxpy.multiply(numbers(self.reach[sample % len(self.reach)]), d)
        return [x == numbers(self.centre[sample]) + moved, cvxpy.norm(d, self.order) <= 1]

    def hull(self, op: Affine) -> Bounds:
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

    def moved(self, op: Affine) -> Region:
        return _image(type(self), centre=op(self.centre), radius=op.modulus(self.reach))

    def project(self, x: Tensor) -> Tensor:
        reach = self.reach
        fixed = reach == 0
        d = ((x - self.centre) / torch.where(fixed, 1.0, reach)).masked_fill(fixed, 0.0)
        return self.centre + reach * self.into_unit_ball(d.flatten(1 - self.centre.dim())).view(d.shape)

    @classmethod
    @abstractmethod
    def into_unit_ball(cls, d: Tensor) -> Tensor:
        """The nearest point of { d : |d|_p <= 1 }, over the last axis."""

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        d = self.directions(n, generator).flatten(2)
        length = _uniform(n, self.centre, generator).flatten(2)[..., :1]
        length[: n // 2] = 1.0  # on the sphere
        d = d / self.norm(d).clamp(min=torch.finfo(d.dtype).tiny).unsqueeze(-1) * length
        return self.project(self.centre + self.reach * d.view(n, *self.centre.shape))

    def directions(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Random directions, (n, B, *shape)."""
        like = self.centre
        return torch.randn(n, *like.shape, dtype=like.dtype, device=like.device, generator=generator)


@dataclass(frozen=True, eq=False)
class L2(_Ball):
    """{ centre + radius d : |d|_2 <= 1 }, centre (B, *shape)."""

    order = 2

    @staticmethod
    def norm(d: Tensor) -> Tensor:
        return torch.linalg.vector_norm(d, dim=-1)

    @staticmethod
    def dual_norm(c: Tensor) -> Tensor:
        return L2.norm(c)

    @classmethod
    def into_unit_ball(cls, d: Tensor) -> Tensor:
        return d / cls.norm(d).clamp(min=1.0).unsqueeze(-1)


@dataclass(frozen=True, eq=False)
class L1(_Ball):
    """{ centre + radius d : |d|_1 <= 1 }, centre (B, *shape)."""

    order = 1

    @staticmethod
    def norm(d: Tensor) -> Tensor:
        return d.abs().sum(-1)

    @staticmethod
    def dual_norm(c: Tensor) -> Tensor:
        return c.abs().amax(-1)

    @classmethod
    def into_unit_ball(cls, d: Tensor) -> Tensor:
        """Soft thresholding at the level that leaves |d|_1 = 1 (Duchi et al. 2008, figure 1)."""
        ordered = d.abs().sort(dim=-1, descending=True).values
        counts = torch.arange(1, d.shape[-1] + 1, dtype=d.dtype, device=d.device)
        levels = (ordered.cumsum(-1) - 1) / counts
        last = (ordered > levels).sum(-1, keepdim=True) - 1
        level = levels.gather(-1, last.clamp(min=0)).clamp(min=0)
        return d.sign() * (d.abs() - level).clamp(min=0)

    def directions(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Gaussian directions and, in the first quarter, vertices: one axis each."""
        d = super().directions(n, generator)
        flat = d.flatten(2)[: n // 4]
        flat *= torch.zeros_like(flat).scatter_(-1, flat.abs().argmax(-1, keepdim=True), 1.0)
        return d


def _image(kind: type[Region], **fields: Tensor) -> Region:
    """A region that was computed, not given: NaN and overflow in it reach the bounds, which say so at a named node."""
    region = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(region, name, value)
    return region


def _uniform(n: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(n, *like.shape, dtype=like.dtype, device=like.device, generator=generator)


def _inhabited(region: Region) -> None:
    """An empty region would prove anything: refuse it, and NaN with it."""
    if torch.compiler.is_compiling():  # a check of values would break the compiled graph
        return
    box = region.box()
    if box.lower.shape != region.centre.shape:
        raise ValueError(
            f"{type(region).__name__}: the radius makes it {tuple(box.lower.shape)}, but the centre is "
            f"{tuple(region.centre.shape)}; give a number or a tensor that broadcasts to the centre"
        )
    if not bool((box.lower <= box.upper).all()):
        where = (~(box.lower <= box.upper)).nonzero()[0].tolist()
        low, high = box.lower[tuple(where)].item(), box.upper[tuple(where)].item()
        raise ValueError(
            f"{type(region).__name__} is empty or undefined at index {where}: [{low:g}, {high:g}]; "
            "give lower <= upper, a radius >= 0 and a centre that the clip does not exclude"
        )
