"""Slope rules: which two lines enclose a nonlinear operation. Every slope is sound, so a rule is never trusted.

A rule is a function (op, boxes) -> slopes of the line below and of the line above, each a tensor per argument,
(B, *argument shape). Yours works as these do: `DeepPoly(slopes=my_rule)`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from absdomain.kinds import Nonlinear, Slopes
from absdomain.linear import Bounds

Pair = tuple[Slopes, Slopes]  # of the line below and of the line above
Rule = Callable[[Nonlinear, tuple[Bounds, ...]], Pair]


def zero(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """Below: slope 0; above: the chord. CROWN with it is never looser than interval bounds."""
    return tuple(torch.zeros_like(b.lower) for b in boxes), op.chord(boxes)


def one(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """Below: slope 1; above: the chord."""
    return tuple(torch.ones_like(b.lower) for b in boxes), op.chord(boxes)


def parallel(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """Both the chord: Fast-Lin, DeepZ and Wong-Kolter's dual (Weng et al. 2018; Wong and Kolter 2018)."""
    chord = op.chord(boxes)
    return chord, chord


def adaptive(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """The op's own choice; for ReLU below 0 or 1, whichever leaves the smaller area (CROWN, DeepPoly)."""
    return op.tight_slopes(boxes)


def checked(rule: Rule) -> None:
    """TypeError: what is given as a rule is no function."""
    if not callable(rule):
        raise TypeError(
            f"slopes is {rule}, which is not a function (op, boxes) -> slopes; give one of absdomain.slopes"
        )
