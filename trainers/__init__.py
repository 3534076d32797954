"""Training: one loop, recipes, and methods, each a Method value in a file of its own.

recipe = find("trainers", "crown-ibp").recipe(data="mnist", network="crown-ibp-B", eps=0.3, seed=0)
for metrics in train(recipe, "run"):
    print(metrics)
network, recipe = load_run("run")
"""

from __future__ import annotations

from typing import Any

from absdomain.runtime.names import former
from absdomain.trainers.certified import Certified
from absdomain.trainers.fitting import Fit, fit
from absdomain.trainers.losses import hinge, robust_cross_entropy, softplus
from absdomain.trainers.method import Method, Setup, read
from absdomain.trainers.methods.crown_ibp import CrownIBP
from absdomain.trainers.methods.natural import Natural
from absdomain.trainers.objective import Objective, Step, clean_error, verified_error
from absdomain.trainers.options import RecipeError
from absdomain.trainers.recipe import Recipe, Values
from absdomain.trainers.run.checkpoints import CheckpointError
from absdomain.trainers.run.folder import RunError, load_run, models_in, read_metrics
from absdomain.trainers.run.loop import Diverged, train
from absdomain.trainers.run.metrics import Metrics, StepMetrics
from absdomain.trainers.schedules import Constant, LinearRamp, Moment, Schedule, SmoothRamp, StepDecay

__all__ = [
    "Certified",
    "CheckpointError",
    "Constant",
    "CrownIBP",
    "Diverged",
    "Fit",
    "LinearRamp",
    "Method",
    "Metrics",
    "Moment",
    "Natural",
    "Objective",
    "Recipe",
    "RecipeError",
    "RunError",
    "Schedule",
    "Setup",
    "SmoothRamp",
    "Step",
    "StepDecay",
    "StepMetrics",
    "Values",
    "clean_error",
    "fit",
    "hinge",
    "load_run",
    "models_in",
    "read",
    "read_metrics",
    "robust_cross_entropy",
    "softplus",
    "train",
    "verified_error",
]


def __getattr__(name: str) -> Any:
    """Names that schedules had before."""
    old = {"Linear": "absdomain.trainers.LinearRamp", "Smooth": "absdomain.trainers.SmoothRamp"}
    return former(__name__, old, name)


def __dir__() -> list[str]:
    return sorted(__all__)
