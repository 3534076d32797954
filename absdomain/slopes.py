"""Slope policies: which two lines enclose a nonlinear operation. Every slope is sound, so a policy is never trusted."""

from __future__ import annotations

from typing import Protocol

import torch

from absdomain.bounds import Bounds
from absdomain.kinds import Nonlinear, Slopes


class Policy(Protocol):
    """(op, boxes) -> slopes of the line below and of the line above, each a tensor per argument, (B, *shape)."""

    @property
    def __name__(self) -> str:
        """The name under which the text form of a domain writes the policy."""

    def __call__(self, op: Nonlinear, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        """The two slopes."""


def zero(op: Nonlinear, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
    """Below: slope 0; above: the chord. CROWN with it is never looser than interval bounds."""
    return tuple(torch.zeros_like(b.lower) for b in boxes), op.chord(boxes)


def one(op: Nonlinear, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
    """Below: slope 1; above: the chord."""
    return tuple(torch.ones_like(b.lower) for b in boxes), op.chord(boxes)


def parallel(op: Nonlinear, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
    """Both the chord: Fast-Lin, DeepZ and Wong-Kolter's dual (Weng et al. 2018; Wong and Kolter 2018)."""
    chord = op.chord(boxes)
    return chord, chord


def adaptive(op: Nonlinear, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
    """The op's own choice; for ReLU below 0 or 1, whichever leaves the smaller area (CROWN, DeepPoly)."""
    return op.support(boxes)
