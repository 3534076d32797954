"""Recipes of Boopathy et al. (SingleProp), table 1, and of the IBP baseline there, on the same schedules.

The baseline, too, takes its weight from losses; those of held-out images, where the released code takes test images.
"""

from __future__ import annotations

from dataclasses import replace

from absdomain.trainers.methods.singleprop import singleprop
from absdomain.trainers.recipe import Recipe


def _mnist(network: str) -> Recipe:
    return singleprop.recipe(data="mnist", network=network, eps=0.3)


def _cifar10(network: str) -> Recipe:
    return singleprop.recipe(data="cifar10", network=network, eps=8 / 255)


def _baseline(recipe: Recipe) -> Recipe:
    return replace(recipe, trainer="ibp(weight=adaptive)", domain="box")


ZERO_SMALL, ZERO_MEDIUM, ZERO_WIDE = map(_mnist, ("singleprop-small", "gowal-medium", "singleprop-wide"))
IBP_SMALL, IBP_MEDIUM, IBP_WIDE = map(_baseline, (ZERO_SMALL, ZERO_MEDIUM, ZERO_WIDE))
FASTLIN_SMALL, FASTLIN_LARGE = map(_cifar10, ("singleprop-small", "gowal-large"))
# Trained at 1.1 times the radius, as in the released code.
IBP_CIFAR10_SMALL, IBP_CIFAR10_LARGE = (
    replace(_baseline(recipe), eps=1.1 * 8 / 255, eps_eval=8 / 255) for recipe in (FASTLIN_SMALL, FASTLIN_LARGE)
)
