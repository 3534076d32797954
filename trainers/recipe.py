"""A recipe is all that determines a training run, as one frozen value that goes to JSON and back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from absdomain.trainers import times
from absdomain.trainers.options import Epochs, RecipeError, changed, refused
from absdomain.trainers.schedules import Moment, Schedule, StepDecay
from absdomain.trainers.times import Steps


class Values(NamedTuple):
    """What the schedules say at one step."""

    eps: float
    kappa: float
    beta: float


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run: data, network, method and every number. Phases are in epochs or in `Steps`, radii in pixels.

    `warmup` natural epochs (kappa 1) come first. Then eps goes from `eps_start` to `eps`, and kappa from kappa_start to
    kappa_end, in `ramp` epochs: at every step, or with `stair` in stairs of so many epochs, the first of which has the
    values of the start and the last those of the end. beta = 1 - (eps now / eps) (1 - beta_end), or 0 if beta_end is
    None. The learning rate is multiplied by `decay` at each milestone. A step is left out if its loss or gradient is
    not finite, or if its loss is more than (spike - 1) |m| above the running mean m of the losses; more than `patience`
    such steps in a row end the run. The best epoch is that of the least verified error on held-out images, the last one
    of several; the papers take test images for that.
    """

    data: str = "digits"
    network: str = "crown-ibp-B"
    trainer: str = "natural"  # the text form of the method: a name, and its options
    domain: str = ""  # the text form of the domain that bounds; methods that bound nothing leave it empty
    eps: float = 0.0  # the training radius
    eps_start: float = 0.0
    eps_eval: float | None = None  # the radius that is meant to be certified, if that is another one
    clip: bool = True  # to the range of pixels, [0, 1]
    epochs: int = 100
    batch: int = 256
    warmup: Epochs = 0.0
    ramp: Epochs = 0.0
    smooth: bool = False
    stair: int = 0  # epochs for which eps and kappa stay what they are; 0: they change at every step
    kappa_start: float = 1.0
    kappa_end: float = 1.0
    beta_end: float | None = None
    optimiser: str = "adam"
    lr: float = 5e-4
    momentum: float = 0.9  # of sgd
    weight_decay: float = 0.0
    milestones: tuple[Epochs, ...] = ()
    decay: float = 0.1
    gradient_norm: float | None = None  # longer gradients are cut to this
    patience: int = 3
    spike: float | None = 1e4  # far above what a jump of eps does to a loss
    l1: float = 0.0
    normalise: bool = False  # by the data set's mean and deviation, inside the network
    flip: bool = False  # mirror training images at random
    crop: int = 0  # shift training images at random by up to so many pixels
    validation: int = 5000  # training images held out to watch the run; 0 for none
    images: int | None = None  # training images, drawn from the others by the seed; None: all of them
    seed: int = 0
    init: str = ""  # the file, or the run's folder, of the first weights; empty: drawn by the seed
    keep: str = "last"  # which weights a finished run has: those of the last epoch, or of the best one after the ramp
    dtype: str = "float32"
    norms: bool = False  # note each layer's norm induced by l_inf after each epoch
    tf32: bool = False  # let CUDA round float32 products to TF32: quicker, but bounds in training are then estimates

    def __post_init__(self) -> None:
        for name, allowed, remedy in RULES:
            if not allowed(getattr(self, name)):
                raise self.refuse(name, remedy)
        if times.exceeds(self.warmup + self.ramp, float(self.epochs)):
            raise self.refuse("ramp", f"warmup {self.warmup} and ramp must end within the {self.epochs} epochs")

    def check(self, steps_per_epoch: int) -> None:
        """RecipeError unless warm-up and ramp end within a training whose epochs have so many steps."""
        need, steps = times.at(self.warmup + self.ramp, steps_per_epoch), self.epochs * steps_per_epoch
        if need > steps:
            remedy = f"warmup and ramp end after {need} steps and this training has {steps}; give more epochs"
            raise self.refuse("ramp", f"{remedy}, or both in epochs")

    def refuse(self, name: str, remedy: str) -> RecipeError:
        """The error for a field whose value cannot be used."""
        return refused(name, getattr(self, name), remedy)

    def on(self, data: str, **given: Any) -> Recipe:
        """The same recipe for another data set, with the given fields."""
        return replace(self, data=data, **given)

    def with_fields(self, **given: Any) -> Recipe:
        """A copy with the given fields, each checked by name and type."""
        return changed(self, "a recipe", given)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {name: _plain(value) for name, value in vars(self).items()}

    @staticmethod
    def from_json(content: str | dict[str, Any]) -> Recipe:
        """The recipe of a JSON object; fields that are left out have their defaults."""
        try:
            given = json.loads(content) if isinstance(content, str) else content
        except json.JSONDecodeError as reason:
            raise RecipeError(f"recipe: not JSON ({reason}); give an object of fields") from reason
        if not isinstance(given, dict):
            raise RecipeError(f"recipe: {given!r} is not a JSON object; give an object of fields")
        return Recipe().with_fields(**given)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype of weights and bounds."""
        return DTYPES[self.dtype]

    @property
    def certified_eps(self) -> float:
        """The radius that the network is made for: eps_eval, or eps where there is none."""
        return self.eps if self.eps_eval is None else self.eps_eval

    def at(self, step: int, steps_per_epoch: int) -> Values:
        """(eps, kappa, beta) for a step that is counted from 0."""
        now, start, end = Moment(step, steps_per_epoch), self.warmup, self.warmup + self.ramp
        natural = now.step < now.at(start)
        if self.stair:
            now, end = now.held(self.stair, start), end + -float(self.stair)
        eps = 0.0 if natural else now.ramp(self.eps_start, self.eps, start, end, smooth=self.smooth)
        kappa = now.ramp(self.kappa_start, self.kappa_end, start, end, smooth=self.smooth) if eps > 0 else 1.0
        if self.beta_end is None or self.eps == 0:
            return Values(eps, kappa, 0.0)
        return Values(eps, kappa, 1 - eps / self.eps * (1 - self.beta_end))

    def learning_rate(self, steps_per_epoch: int) -> Schedule:
        """lr * decay^(milestones passed)."""
        return StepDecay(self.lr, tuple(times.at(time, steps_per_epoch) for time in self.milestones), self.decay)


KEPT = ("last", "best")
DTYPES = {"float32": torch.float32, "float64": torch.float64}
OPTIMISERS = ("adam", "sgd")


def _plain(value: Any) -> Any:
    """A field in JSON's types: a time in steps as its text."""
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Steps) else value


def _number(low: float, high: float = math.inf) -> Callable[[float], bool]:
    return lambda value: math.isfinite(value) and low <= value <= high


RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("eps", _number(0), "give a radius >= 0 in pixels of [0, 1]"),
    ("eps_start", _number(0), "give a radius >= 0 in pixels of [0, 1]"),
    ("eps_eval", lambda value: value is None or _number(0)(value), "give a radius >= 0, or null for that of training"),
    ("epochs", _number(1), "train for at least 1 epoch"),
    ("batch", _number(1), "give at least 1 image per step"),
    ("warmup", times.is_time, 'give a number of epochs >= 0, or "2000 steps"'),
    ("ramp", times.is_time, 'give a number of epochs >= 0, or "2000 steps"'),
    ("stair", _number(0), "give a number of epochs, or 0 for a change at every step"),
    ("kappa_start", _number(0, 1), "kappa is a weight in [0, 1]"),
    ("kappa_end", _number(0, 1), "kappa is a weight in [0, 1]"),
    ("beta_end", lambda value: value is None or 0 <= value <= 1, "beta is a weight in [0, 1], or null for none"),
    ("optimiser", lambda value: value in OPTIMISERS, f"choose one of {', '.join(OPTIMISERS)}"),
    ("lr", lambda value: math.isfinite(value) and value > 0, "give a learning rate > 0"),
    ("momentum", lambda value: 0 <= value < 1, "give a momentum in [0, 1)"),
    ("weight_decay", _number(0), "give a decay >= 0"),
    ("milestones", lambda value: all(map(times.is_time, value)), 'give epochs >= 0, or "2000 steps"'),
    ("decay", lambda value: 0 < value <= 1, "give a factor in (0, 1]"),
    (
        "gradient_norm",
        lambda value: value is None or (math.isfinite(value) and value > 0),
        "give a norm > 0, or null for no limit",
    ),
    ("patience", _number(0), "give a number of steps >= 0"),
    ("spike", lambda value: value is None or _number(1)(value), "give a factor >= 1, or null for no limit"),
    ("l1", _number(0), "give a weight >= 0"),
    ("crop", _number(0), "give a number of pixels >= 0"),
    ("images", lambda value: value is None or value >= 1, "give a number of images >= 1, or null for all"),
    ("validation", _number(0), "give a number of images >= 0"),
    ("keep", lambda value: value in KEPT, f"choose one of {', '.join(KEPT)}"),
    ("seed", lambda value: 0 <= value < 2**63, "give an integer in [0, 2^63)"),
    ("dtype", lambda value: value in DTYPES, f"choose one of {', '.join(DTYPES)}"),
)
