"""What a machine makes of a result: the band of `Rounded` holds every value within its radius, at every slope."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absdomain.kinds import Slopes
from absdomain.linear import Bounds
from absdomain.ops.rounded import Rounded, _times
from absdomain.proofs.kernel.exact import assume, prove, prove_zero, real, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.proofs.lemmas.piecewise import boxed


def encloses(kind: type[Rounded] = Rounded) -> Check:
    """inf <= y + e - s y <= sup for |e| <= d, any slope s and any y of any box, and so at slope 0 the image."""

    def check(world: World) -> None:
        y, box = boxed(world, "y", 1, 1)
        d, e, s = (reals(world, name, 1, 1) for name in "des")
        assume(world, d - e, d + e)
        op = kind(d)
        value = op(y) + e
        gap = value - s * y
        prove(world, gap - op.inf((s,), (box,)), "inf")
        prove(world, op.sup((s,), (box,)) - gap, "sup")
        image = op.image((box,))
        prove(world, value - image.lower, "image, lower end")
        prove(world, image.upper - value, "image, upper end")

    return check


def settled(world: World) -> None:
    """It is settled everywhere: the chord's band has the width 2 d over any box, which is that over a point."""
    _, box = boxed(world, "y", 1, 1)
    op = Rounded(real(world, "d").reshape(1, 1))
    (flags,) = op.settled((box,)) or (torch.zeros(()),)
    world.check(bool(flags.all()), "not settled")
    (range_,) = op.slope_range((box,)) or (box,)
    chord = op.chord((box,))
    for end in (range_.lower, range_.upper, chord[0]):
        prove_zero(world, end - 1, "the only slope is 1")
    band = op.band(chord, (box,))
    prove_zero(world, band.upper - band.lower - 2 * op.radius, "the chord's band")


@dataclass(frozen=True, eq=False)
class _OneSided(Rounded):
    """Rounds upwards alone."""

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return super().inf(slopes, boxes) + self.radius


@dataclass(frozen=True, eq=False)
class _AtTheLowerEnd(Rounded):
    """Reads the lower end alone."""

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        return _times(1 - slopes[0], boxes[0].lower) + self.radius


_AT_0 = {"y": 0, "ly": 0, "uy": 0, "s": 1, "d": 1, "e": -1}
_AT_1 = {"y": 1, "ly": 0, "uy": 1, "s": 0, "d": 0, "e": 0}

LEMMAS = (
    Lemma(
        "rounded",
        "the band of y -> y + [-d, d] holds y + e - s y for all |e| <= d, over any box and at any slope; at slope 1 it "
        "has the width 2 d, over every box",
        (
            Rounded.__call__,
            Rounded.inf,
            Rounded.sup,
            _times,
            Rounded.slope_range,
            Rounded.chord,
        ),
        (encloses(), settled),
        (
            Twin("results are rounded upwards alone", encloses(_OneSided), _AT_0),
            Twin("the upper end is that of the box's lower one", encloses(_AtTheLowerEnd), _AT_1),
        ),
        SYMBOLS,
        leaves="how large d is: the theorem of `rounding.execution`, which its tests compare with evaluations; shapes",
    ),
)
