"""A recipe is all that determines a training run, as one frozen value that goes to JSON and back."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

import torch

from absdomain.trainers.schedules import Constant, Linear, Schedule, Smooth, StepDecay


class RecipeError(ValueError):
    """A field of a recipe has a value that cannot be trained; the text has the field, the value and the remedy."""


class Values(NamedTuple):
    """What the schedules say at one step."""

    eps: float
    kappa: float
    beta: float


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run: data, network, method and every number. Phases are measured in epochs, radii in pixels.

    `warmup` natural epochs (kappa 1) come first; then eps goes from 0 to `eps`, and kappa from kappa_start to
    kappa_end, in `ramp` epochs, step by step; beta = 1 - (eps now / eps) (1 - beta_end), or 0 if beta_end is None.
    The learning rate is multiplied by `decay` at each milestone.
    """

    data: str = "digits"
    network: str = "crown-ibp-B"
    trainer: str = "natural"
    domain: str = ""  # the text form of the domain that bounds; methods that bound nothing leave it empty
    eps: float = 0.0
    clip: bool = True  # to the range of pixels, [0, 1]
    epochs: int = 100
    batch: int = 256
    warmup: float = 0.0
    ramp: float = 0.0
    smooth: bool = False
    kappa_start: float = 1.0
    kappa_end: float = 1.0
    beta_end: float | None = None
    optimiser: str = "adam"
    lr: float = 5e-4
    momentum: float = 0.9  # of sgd
    weight_decay: float = 0.0
    milestones: tuple[float, ...] = ()
    decay: float = 0.1
    l1: float = 0.0
    normalise: bool = False  # by the data set's mean and deviation, inside the network
    flip: bool = False  # mirror training images at random
    crop: int = 0  # shift training images at random by up to so many pixels
    validation: int = 5000  # training images held out to watch the run; 0 for none
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, allowed, remedy in RULES:
            if not allowed(getattr(self, name)):
                raise self.refuse(name, remedy)
        if self.warmup + self.ramp > self.epochs:
            raise self.refuse("ramp", f"warmup {self.warmup:g} and ramp must end within the {self.epochs} epochs")

    def refuse(self, name: str, remedy: str) -> RecipeError:
        """The error for a field whose value does not do."""
        return RecipeError(f"{name}: {getattr(self, name)!r} cannot be used; {remedy}")

    def on(self, data: str, **given: Any) -> Recipe:
        """The same recipe for another data set, with the given fields."""
        return replace(self, data=data, **given)

    def lasting(self, epochs: int) -> Recipe:
        """The recipe of so many epochs whose phases have the same proportions."""
        if epochs == self.epochs:
            return self
        scale = epochs / self.epochs
        milestones = tuple(milestone * scale for milestone in self.milestones)
        return replace(self, epochs=epochs, warmup=self.warmup * scale, ramp=self.ramp * scale, milestones=milestones)

    def with_fields(self, **given: Any) -> Recipe:
        """A copy with the given fields, each checked by name and type."""
        known = {field.name: field.type for field in fields(self)}
        for name in given.keys() - known.keys():
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(known)}"
            raise RecipeError(f"{name}: {given[name]!r} is no field of a recipe; {hint}")
        return replace(self, **{name: _typed(name, str(known[name]), value) for name, value in given.items()})

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self) | {"milestones": list(self.milestones)}

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

    def at(self, step: int, steps_per_epoch: int) -> Values:
        """(eps, kappa, beta) for a step that is counted from 0."""
        first = round(self.warmup * steps_per_epoch)
        last = round((self.warmup + self.ramp) * steps_per_epoch)
        eps = self._ramp(0.0, self.eps, first, last)(step)
        kappa = self._ramp(self.kappa_start, self.kappa_end, first, last)(step) if eps > 0 else 1.0
        if self.beta_end is None or self.eps == 0:
            return Values(eps, kappa, 0.0)
        return Values(eps, kappa, 1 - eps / self.eps * (1 - self.beta_end))

    def _ramp(self, start: float, end: float, first: int, last: int) -> Schedule:
        if start == end:
            return Constant(start)
        return (Smooth if self.smooth else Linear)(start, end, first, last)

    def learning_rate(self, steps_per_epoch: int) -> Schedule:
        """lr * decay^(milestones passed)."""
        return StepDecay(self.lr, tuple(round(m * steps_per_epoch) for m in self.milestones), self.decay)


DTYPES = {"float32": torch.float32, "float64": torch.float64}
OPTIMISERS = ("adam", "sgd")


def _number(low: float, high: float = math.inf) -> Callable[[float], bool]:
    return lambda value: math.isfinite(value) and low <= value <= high


RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("eps", _number(0), "give a radius >= 0 in pixels of [0, 1]"),
    ("epochs", _number(1), "train for at least 1 epoch"),
    ("batch", _number(1), "give at least 1 image per step"),
    ("warmup", _number(0), "give a number of epochs >= 0"),
    ("ramp", _number(0), "give a number of epochs >= 0"),
    ("kappa_start", _number(0, 1), "kappa is a weight in [0, 1]"),
    ("kappa_end", _number(0, 1), "kappa is a weight in [0, 1]"),
    ("beta_end", lambda value: value is None or 0 <= value <= 1, "beta is a weight in [0, 1], or null for none"),
    ("optimiser", lambda value: value in OPTIMISERS, f"choose one of {', '.join(OPTIMISERS)}"),
    ("lr", lambda value: math.isfinite(value) and value > 0, "give a learning rate > 0"),
    ("momentum", lambda value: 0 <= value < 1, "give a momentum in [0, 1)"),
    ("weight_decay", _number(0), "give a decay >= 0"),
    ("milestones", lambda value: all(map(_number(0), value)), "give epochs >= 0"),
    ("decay", lambda value: 0 < value <= 1, "give a factor in (0, 1]"),
    ("l1", _number(0), "give a weight >= 0"),
    ("crop", _number(0), "give a number of pixels >= 0"),
    ("validation", _number(0), "give a number of images >= 0"),
    ("seed", _number(0), "give an integer >= 0"),
    ("dtype", lambda value: value in DTYPES, f"choose one of {', '.join(DTYPES)}"),
)

# How a JSON value becomes a field of the annotated type; a TypeError or ValueError means that it does not.
CONVERSIONS: dict[str, tuple[tuple[type, ...], Callable[[Any], Any]]] = {
    "str": ((str,), str),
    "bool": ((bool,), bool),
    "int": ((int,), int),
    "float": ((int, float), float),
    "float | None": ((int, float, type(None)), lambda value: value if value is None else float(value)),
    "tuple[float, ...]": ((list, tuple), lambda value: tuple(map(float, value))),
}


def _typed(name: str, annotation: str, value: Any) -> Any:
    allowed, convert = CONVERSIONS[annotation]
    if isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool)):
        try:
            return convert(value)
        except (TypeError, ValueError):
            pass
    raise RecipeError(f"{name}: {value!r} is no {annotation}; write it as one")
