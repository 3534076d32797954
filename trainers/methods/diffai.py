"""Zonotope training in the manner of DiffAI: the nominal loss and the loss at the bound of a zonotope.

Mirman, Gehr and Vechev 2018, "Differentiable Abstract Interpretation for Provably Robust Neural Networks". The domain
is the zonotope of DeepZ's ReLU, not that paper's hybrid one, and the schedule is the one on which CROWN-IBP's paper
compares methods: this is certified(domain=zonotope), not a reproduction.
"""

from __future__ import annotations

from dataclasses import replace

from absdomain.trainers.certified import RECIPES, USUAL, Certified
from absdomain.trainers.method import Method

diffai = Method(
    "diffai",
    "certified training with zonotopes, kappa from 1 to 0.5",
    Certified.of,
    tuple(replace(recipe, trainer="diffai", domain="zonotope") for recipe in RECIPES),
    USUAL,
)
