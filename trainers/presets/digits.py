"""Recipes for the 8x8 digits that come with scikit-learn: under half a minute on one core."""

from __future__ import annotations

from absdomain.trainers.methods.crown_ibp import crown_ibp

DEMO = crown_ibp.recipe(data="digits", network="crown-ibp-B", eps=0.1)
