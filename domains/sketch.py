"""Random projections of a linear network: the radii of a layer from a few vectors carried forward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, singledispatch
from math import prod

import torch
from torch import Tensor

from absdomain.kinds import Affine, Nonlinear, Slopes
from absdomain.linear import Bounds
from absdomain.linear.axes import flat
from absdomain.region import L1, L2, Region


@dataclass(frozen=True, eq=False)
class Source:
    """What moves a neuron: its rows M, one per direction, and the norm that makes its radius of them.

    A source is known by identity; the rows of two arguments of one op meet by it.
    """

    radius: Callable[[Tensor], Tensor]  # (E, B, *shape) -> (B, *shape)


@dataclass(frozen=True, eq=False)
class Chance:
    """The random numbers of one propagation, `projections` rows for each source that has more directions than that.

    Drawn in the order in which the network is propagated: the generator is the only state, and dies with its trace.
    """

    projections: int
    generator: torch.Generator

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal variables, (projections, 1, *shape); like (B, *shape)."""
        shape = (self.projections, 1, *like.shape[1:])
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(like)

    def cauchy(self, like: Tensor) -> Tensor:
        """Standard Cauchy variables, (projections, 1, *shape); like (B, *shape)."""
        shape = (self.projections, 1, *like.shape[1:])
        return torch.empty(shape, dtype=torch.float64).cauchy_(generator=self.generator).to(like)


@dataclass(frozen=True, eq=False)
class Sketch:
    """{ y : |y - centre| <= sum over the sources of radius(rows) }, an estimate where a source's rows are projections.

    The image of the region under the network with every relaxation replaced by its chord and the middle of its band;
    the input and each band's half-width are the sources. Wong et al. 2018, section 3.2, with one change: a sum of
    independent Cauchy variables is Cauchy and its scale the sum of theirs, so that all sources share the same rows,
    and a layer costs `projections` forward passes in all instead of as many for each layer before it.
    """

    centre: Tensor  # (B, *shape)
    rows: dict[Source, Tensor]  # (E, B, *shape) each
    shared: Source  # whose rows are the Cauchy projections
    chance: Chance

    def box(self) -> Bounds:
        """centre -+ the radius, (B, *shape)."""
        radius = torch.zeros_like(self.centre)
        for source, rows in self.rows.items():
            radius = radius + source.radius(rows)
        return Bounds(self.centre - radius, self.centre + radius)

    def with_box(self, radius: Tensor) -> Sketch:
        """This one plus an independent error of at most `radius` (B, *shape) in each entry.

        Samples with at most `projections` errors have a row for each; the others draw. The draws depend on the shape
        alone, so that no sample's estimate depends on its neighbours.
        """
        many = self.chance.projections
        wide = flat(radius, 1)
        found = wide > 0
        few = found.sum(1, keepdim=True) <= many
        rows = dict(self.rows)
        place = found.cumsum(1)[found & few] - 1
        if len(place):
            own = wide.new_zeros(int(place.max()) + 1, *wide.shape)
            sample, entry = (found & few).nonzero(as_tuple=True)
            own = own.index_put((place, sample, entry), wide[sample, entry])
            rows[Source(_sum)] = own.view(*own.shape[:2], *radius.shape[1:])
        if wide.shape[1] > many:
            drawn, size = self.chance.cauchy(radius), (wide * ~few).view_as(radius)
            rows[self.shared] = torch.addcmul(rows[self.shared], drawn, size) if self.shared in rows else drawn * size
        return replace(self, rows=rows)


def lift(region: Region, projections: int, seed: int) -> Sketch:
    """The region itself. The same seed draws the same numbers, in the order in which the network is propagated."""
    chance = Chance(projections, torch.Generator().manual_seed(seed))
    return _lift(region, Sketch(region.box().centre, {}, Source(_median), chance))


@singledispatch
def _lift(region: Region, point: Sketch) -> Sketch:
    """A box; of a region of an unknown kind the hull."""
    return point.with_box(region.box().radius)


@_lift.register
def _(region: L2, point: Sketch) -> Sketch:
    reach, chance = region.reach.expand_as(region.centre), point.chance
    if reach[0].numel() <= chance.projections:
        return replace(point, rows={Source(_length): _diagonal(reach)})
    return replace(point, rows={Source(_root_mean_square): chance.normal(reach) * reach})


@_lift.register
def _(region: L1, point: Sketch) -> Sketch:
    """No projection estimates a maximum: the input's rows are exact."""
    return replace(point, rows={Source(_largest): _diagonal(region.reach.expand_as(region.centre))})


def affine(op: Affine, args: tuple[Sketch, ...]) -> Sketch:
    """The image under an affine op."""
    return _image(op(*(e.centre for e in args)), partial(op.linear, op.weight), args)


def relax(op: Nonlinear, slopes: Slopes, band: Bounds, args: tuple[Sketch, ...]) -> Sketch:
    """The image under a nonlinear op whose f - <slopes, x> lies in the band."""
    line = op.linearised(slopes)
    return _image(line(*(e.centre for e in args)) + band.centre, line, args).with_box(band.radius)


def _image(centre: Tensor, linear: Callable[..., Tensor], args: tuple[Sketch, ...]) -> Sketch:
    """All rows through a linear function at once; a source that an argument does not know moves it by zero."""
    sources = list(dict.fromkeys(source for e in args for source in e.rows))
    if not sources:
        return replace(args[0], centre=centre)
    counts = [next(len(e.rows[source]) for e in args if source in e.rows) for source in sources]
    inputs = [
        _joined([e.rows.get(s, e.centre.new_zeros(n, *e.centre.shape)) for s, n in zip(sources, counts, strict=True)])
        for e in args
    ]
    images = torch.vmap(lambda *xs: linear(*xs))(*inputs)  # vmap would print an op that it maps, for its name
    return replace(args[0], centre=centre, rows=dict(zip(sources, _parts(images, counts), strict=True)))


def _joined(rows: list[Tensor]) -> Tensor:
    """All rows in one tensor; a single part is not copied, for it is large."""
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _parts(rows: Tensor, counts: list[int]) -> tuple[Tensor, ...]:
    """The opposite; the gradient of a single part is not copied, either."""
    return (rows,) if len(counts) == 1 else rows.split(counts)


def _diagonal(radius: Tensor) -> Tensor:
    """One row per entry, (n, B, *shape)."""
    wide = flat(radius, 1)
    rows = torch.eye(wide.shape[1], dtype=wide.dtype, device=wide.device).unsqueeze(1) * wide
    return rows.view(prod(radius.shape[1:]), *radius.shape)


def _sum(rows: Tensor) -> Tensor:
    return rows.abs().sum(0)


def _largest(rows: Tensor) -> Tensor:
    return rows.abs().amax(0)


def _length(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=0)


def _root_mean_square(rows: Tensor) -> Tensor:
    """An estimate of |w|_2 from standard normal projections of w, low by a share of about 1 / (4 projections)."""
    return _length(rows) / len(rows) ** 0.5


def _median(rows: Tensor) -> Tensor:
    """An estimate of |w|_1 from Cauchy projections of w: the median, between the two middle ones of an even number."""
    middle = [(len(rows) - 1) // 2, len(rows) // 2]
    with torch.no_grad():  # the two are all that a gradient reaches
        index = rows.abs().topk(middle[1] + 1, 0, largest=False, sorted=True).indices[middle]
    return rows.gather(0, index).abs().mean(0)
