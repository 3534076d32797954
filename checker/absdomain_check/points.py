"""Certificates of `sat`: a point that is in a box of the property, and unsafe whatever was rounded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from absdomain_check.bounds import Bounds
from absdomain_check.errors import Refused
from absdomain_check.property import Case, Property, Row

_BEYOND = 1 << 200  # no float32, and a float64 still


def noted(given: object, bounds: Bounds, asked: Property) -> str:
    """What is to be noted of a point that is unsafe. Errors: Refused."""
    if not isinstance(given, list) or len(given) != asked.inputs:
        raise Refused(f"the point has to have {asked.inputs} entries")
    try:
        x = np.array([float.fromhex(v) for v in given])
    except (TypeError, ValueError, OverflowError) as error:
        raise Refused(f"the point is none: {error}") from None
    if not np.isfinite(x).all():
        raise Refused("the point is not finite")
    boxes = bounds.boxes((x[None], x[None]))
    low, high = ([Fraction(v) for v in end[0]] for end in boxes[-1])
    point, note = [Fraction(v) for v in x], "the point is outside of every box of the property"
    for case in asked.cases:
        inside = _inside(point, case)
        if inside is None:
            continue
        note = "the point is in a box of the property, but not proved to be unsafe"
        for rows in case.conjunctions:
            if all(_at_most(row, point, low, high) for row in rows):
                return inside
    raise Refused(note)


def _inside(x: list[Fraction], case: Case) -> str | None:
    """ "" for a point of the box; what it is in, where ends are read as float32 programs read them; None: outside."""
    ends = list(enumerate(zip(x, case.box, strict=True)))
    open_ends = any((i, side) in case.strict and v == box[side] for i, (v, box) in ends for side in (0, 1))
    if all(low <= v <= high for _, (v, (low, high)) in ends) and not open_ends:
        return ""
    if all(_single(low) <= v <= _single(high) for _, (v, (low, high)) in ends):
        return "ends of inputs as they are in float32"
    return None


def _single(end: Fraction) -> Fraction:
    """An end of a box as float32 programs read it; beyond their numbers as it is."""
    found = np.float32(end) if abs(end) < _BEYOND else np.float32(np.inf)
    return Fraction(float(found)) if np.isfinite(found) else end


def _at_most(row: Row, x: list[Fraction], low: list[Fraction], high: list[Fraction]) -> bool:
    most = row.c + sum(a * x[i] for i, a in row.x) + sum(a * (high if a > 0 else low)[i] for i, a in row.y)
    return most < 0 or (most == 0 and not row.strict)
