"""Pure IBP: certified training with Box alone, kappa 0: a baseline of CROWN-IBP's paper, on its schedules."""

from __future__ import annotations

from dataclasses import replace

from absdomain.trainers.certified import RECIPES, USUAL, Certified
from absdomain.trainers.method import Method

pure_ibp = Method(
    "pure-ibp",
    "certified training with Box alone, kappa 0",
    Certified.of,
    tuple(replace(recipe, trainer="pure-ibp", kappa_start=0.0, kappa_end=0.0) for recipe in RECIPES),
    USUAL,
)
