"""Slope policies: which two lines enclose a nonlinear operation. Every slope is sound, so a policy is never trusted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar

import torch
from torch import Tensor

from absdomain.kinds import Nonlinear, Slopes, Slot
from absdomain.linear import Bounds
from absdomain.relations import backward
from absdomain.relations.backward import Relation

Pair = tuple[Slopes, Slopes]  # of the line below and of the line above


class Policy(ABC):
    """(op, boxes) -> slopes of the line below and of the line above, each a tensor per argument, (B, *shape).

    A policy may also search for better lines where bounds are read: those four methods substitute backwards.
    """

    constant: ClassVar[bool] = True  # the slopes do not depend on what is asked, so that bounds have true gradients

    @abstractmethod
    def __str__(self) -> str:
        """The name under which the text form of a domain writes the policy."""

    @abstractmethod
    def __call__(self, op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
        """The two slopes."""

    def bounds(self, e: Relation, where: Tensor | None = None) -> Bounds:
        """Bounds of an activation, (B, *shape); entries outside `where` (boolean) may be left at -inf and inf."""
        return backward.bounds(e, where)

    def lower(self, e: Relation) -> Tensor:
        """bounds(e).lower, at the price of one side."""
        return backward.lower(e)

    def upper(self, e: Relation) -> Tensor:
        """bounds(e).upper, at the price of one side."""
        return backward.upper(e)

    def box(self, e: Relation, reader: Slot, where: Tensor | None = None) -> Bounds:
        """Bounds of an activation over which its reader is relaxed."""
        return backward.boxes(e, where)


@dataclass(frozen=True, repr=False)
class Fixed(Policy):
    """A policy that is a plain rule: what is asked does not change its slopes."""

    rule: Callable[[Nonlinear, tuple[Bounds, ...]], Pair]

    def __str__(self) -> str:
        return self.rule.__name__

    __repr__ = __str__

    def __reduce__(self) -> tuple[Callable[[str, str], Fixed], tuple[str, str]]:
        return _named, (self.rule.__module__, self.rule.__qualname__)

    def __call__(self, op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
        return self.rule(op, boxes)


def _named(module: str, name: str) -> Fixed:
    """The policy of the rule that is called so at the top of a module."""
    found = getattr(import_module(module), name)
    return found if isinstance(found, Fixed) else Fixed(found)


@Fixed
def zero(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """Below: slope 0; above: the chord. CROWN with it is never looser than interval bounds."""
    return tuple(torch.zeros_like(b.lower) for b in boxes), op.chord(boxes)


@Fixed
def one(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """Below: slope 1; above: the chord."""
    return tuple(torch.ones_like(b.lower) for b in boxes), op.chord(boxes)


@Fixed
def parallel(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """Both the chord: Fast-Lin, DeepZ and Wong-Kolter's dual (Weng et al. 2018; Wong and Kolter 2018)."""
    chord = op.chord(boxes)
    return chord, chord


@Fixed
def adaptive(op: Nonlinear, boxes: tuple[Bounds, ...]) -> Pair:
    """The op's own choice; for ReLU below 0 or 1, whichever leaves the smaller area (CROWN, DeepPoly)."""
    return op.support(boxes)
