"""The image of a square under a network into the plane, and the boxes that domains put around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from absdomain.certification import SoundnessError
from absdomain.domain import AnyDomain
from absdomain.graph import Graph
from absdomain.guarantee import Guarantee
from absdomain.linear import Bounds
from absdomain.region import Region
from absdomain.rounding import allowance

SIDE = 121  # points along each side of the square
LINES = 400  # along which an area is measured


@dataclass(frozen=True, eq=False)
class Polytope:
    """{ f(x) : x in a square }, by the images of a grid that holds its boundary, and boxes around it.

    Law: every box holds every corner. In double precision. Gowal et al. 2019, figure 4.
    """

    nominal: Tensor  # (2,) the image of the centre
    corners: Tensor  # (T, 3, 2) the images of the grid's triangles, as if f were linear on each
    boxes: Mapping[str, Bounds]  # name -> box, (2,)

    @property
    def area(self) -> float:
        """The area of the union of the triangles: never more than that of any box."""
        return area(self.corners)


def polytope(model: nn.Module, graph: Graph, region: Region, domains: Mapping[str, AnyDomain]) -> Polytope:
    """The image of an unclipped L-infinity ball, one sample (1, *shape) of two entries, and its boxes by each domain.

    The points are the model's own values, the boxes those of `graph`, the same model lowered; both in double precision.

    Raises SoundnessError where a point of the image is outside a box by more than rounding, and ValueError for a
    network that is not from the plane to the plane, or a domain whose bounds prove nothing.
    """
    square = region.box()
    with torch.no_grad():
        nominal = model(region.centre)
        if square.lower.numel() != 2 or nominal.shape != (1, 2):
            raise ValueError(
                f"an image is drawn of one square in the plane, not {tuple(square.lower.shape)} -> "
                f"{tuple(nominal.shape)}; give a network with two inputs and two outputs"
            )
        axis = torch.linspace(0, 1, SIDE, dtype=nominal.dtype)
        places = torch.cartesian_prod(axis, axis).view(-1, *square.shape)
        points = model(torch.lerp(square.lower, square.upper, places))
        boxes = {name: _box(name, domain, graph, region, points) for name, domain in domains.items()}
    return Polytope(nominal[0], points[_triangles()], boxes)


def _box(name: str, domain: AnyDomain, graph: Graph, region: Region, points: Tensor) -> Bounds:
    """The domain's box (2,), checked against the points (N, 2) of the image."""
    if domain.guarantee is not Guarantee.SOUND:
        raise ValueError(f"{name} is {domain.guarantee.name.lower()}: its box need not hold the image; give another")
    trace = domain.propagate(graph, region)
    box, slack = Bounds(trace.lower[0], trace.upper[0]), allowance(graph, region)
    inside = (points >= box.lower - slack) & (points <= box.upper + slack)
    if not inside.all():  # NaN is not inside
        worst = points[~inside.all(1)][0].tolist()
        raise SoundnessError(f"{name}: {worst} is in the image, but not in {box}; a defect of the domain")
    return box


def _triangles() -> Tensor:
    """The grid's triangles, two for each of its cells, as numbers of points; (T, 3)."""
    number = torch.arange(SIDE * SIDE).view(SIDE, SIDE)
    here, right, above, across = number[:-1, :-1], number[1:, :-1], number[:-1, 1:], number[1:, 1:]
    return torch.cat([torch.stack(three, -1).view(-1, 3) for three in ((here, right, across), (here, above, across))])


def area(corners: Tensor) -> float:
    """The area of a union of triangles (T, 3, 2): the mean length of its cuts with LINES lines, times its height.

    A midpoint rule: the length of each cut is exact. 0 where all triangles are in a line or a point.
    """
    height = corners[..., 1]
    low, step = height.min(), (height.max() - height.min()) / LINES
    return float(step * sum(_cut(corners, low + (line + 0.5) * step) for line in range(LINES)))


def _cut(corners: Tensor, height: Tensor) -> Tensor:
    """The length of the union's cut with the horizontal line of this height."""
    above = corners[..., 1] > height
    met = corners[above.any(1) & ~above.all(1)]
    start, end = met, met.roll(1, 1)
    (x0, y0), (x1, y1) = start.unbind(-1), end.unbind(-1)
    crossed = (y0 > height) != (y1 > height)  # two of the three edges
    place = torch.lerp(x0, x1, (height - y0) / (y1 - y0).masked_fill(~crossed, 1.0))
    left = place.masked_fill(~crossed, torch.inf).amin(1)
    right = place.masked_fill(~crossed, -torch.inf).amax(1)
    left, order = left.sort()
    reach = right[order].cummax(0).values  # up to where the line is covered
    begun = torch.cat([left[:1], torch.maximum(left[1:], reach[:-1])])
    return (reach - begun).clamp(min=0).sum()
