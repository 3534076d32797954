"""IBP training: certified training with Box.

`ibp` (Natural-IBP) mixes the nominal loss in, kappa going from 1 to kappa_end during the ramp (Gowal et al.; 0.5 in
their code). `pure-ibp`, kappa = 0 throughout, is the baseline of CROWN-IBP's paper.
"""

from __future__ import annotations

from dataclasses import replace

from absdomain.trainers.certified import RECIPES, USUAL, objective
from absdomain.trainers.method import Method

ibp = Method(
    "ibp",
    "certified training with Box, kappa from 1 to 0.5",
    objective,
    tuple(replace(recipe, trainer="ibp") for recipe in RECIPES),
    USUAL,
)
pure_ibp = Method(
    "pure-ibp",
    "certified training with Box alone, kappa 0",
    objective,
    tuple(replace(recipe, trainer="pure-ibp", kappa_start=0.0, kappa_end=0.0) for recipe in RECIPES),
    USUAL,
)
