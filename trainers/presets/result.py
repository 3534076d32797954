"""A row of the table of published results."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from absdomain.registry import find
from absdomain.trainers.method import revised
from absdomain.trainers.recipe import Recipe


@dataclass(frozen=True)
class Result:
    """One published result: clean, attacked and verified error of a method on a network at a radius.

    `verified` is one figure, or best, median and worst over networks or runs; empty where none is given. `pgd` is by
    200 steps (Gowal et al. with 10 restarts). The preset trains what `eps` is certified of; its own radius may be
    larger, as the paper's is.
    """

    paper: str
    place: str
    data: str
    eps: str  # as the paper has it, in pixels: "0.3", "8/255"
    method: str
    network: str
    clean: float | None
    verified: tuple[float, ...]
    preset: str = ""
    options: tuple[tuple[str, Any], ...] = ()  # fields of the recipe that differ from the preset's
    remark: str = ""  # why there is no preset, or how its outcome compares
    pgd: float | None = None

    def without(self, reason: str) -> Result:
        """The same row, which no preset trains."""
        return replace(self, preset="", options=(), remark=reason)

    @property
    def radius(self) -> float:
        """`eps` as a number."""
        above, _, below = self.eps.partition("/")
        return float(above) / float(below or 1)

    @property
    def recipe(self) -> Recipe | None:
        """What trains it: the preset with the options; None for a row without."""
        if not self.preset:
            return None
        preset: Any = find("presets", self.preset)
        return revised(preset, **dict(self.options))


def named(data: str, eps: str) -> str:
    """The beginning of a preset's name: cifar10-8-255."""
    return f"{data}-{eps.replace('/', '-')}"
