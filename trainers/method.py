"""A training method: an objective with its settings, and the recipes of its paper; and the text form of one.

The text form is a name, with the options that differ from the defaults: `certified`, `certified(elision=False)`,
`ibp(weight=adaptive(gamma=5.0))`. It is read with ast, never evaluated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from absdomain.data import canonical, counts
from absdomain.domain import AnyDomain, parse
from absdomain.registry import find
from absdomain.trainers import options
from absdomain.trainers.objective import Objective
from absdomain.trainers.options import RecipeError
from absdomain.trainers.recipe import Recipe
from absdomain.trainers.times import Time, in_proportion

S = TypeVar("S")


@dataclass(frozen=True, eq=False)
class Setup(Generic[S]):
    """What an objective is built of."""

    network: nn.Module
    example: Tensor  # (1 or more, *shape), what the network takes
    classes: int
    recipe: Recipe
    settings: S

    @cached_property
    def domain(self) -> AnyDomain:
        """The recipe's domain, read from its text once."""
        return parse(self.recipe.domain)

    @property
    def clip(self) -> tuple[float, float] | None:
        """The range of a pixel, None for a ball that may leave it."""
        return (0.0, 1.0) if self.recipe.clip else None


@dataclass(frozen=True)
class Method(Generic[S]):
    """A name, Setup -> Objective, one default recipe per data set, and settings: a frozen dataclass, or None for none.

    `name` is the one under which the method is registered. `str` gives the text form, which `read` reads back.
    """

    name: str
    summary: str
    objective: Callable[[Setup[S]], Objective]
    recipes: tuple[Recipe, ...]  # the first one's schedule also serves the data sets that have none
    settings: S = None  # type: ignore[assignment]  # S is None for a method without settings
    usual: S = field(default=None, repr=False)  # type: ignore[assignment]  # those it was made with; `str` writes the others

    def __post_init__(self) -> None:
        if self.usual is None:
            object.__setattr__(self, "usual", self.settings)

    def build(self, network: nn.Module, example: Tensor, classes: int, recipe: Recipe) -> Objective:
        """The objective for a network, with these settings."""
        return self.objective(Setup(network, example, classes, recipe, self.settings))

    def with_options(self, **given: Any) -> Method[S]:
        """The method with other settings, each checked by name and type."""
        return replace(self, settings=options.changed(self.settings, self.name, given)) if given else self

    def retimed(self, change: Callable[[Time], Time]) -> Method[S]:
        """The method whose phases, those of its settings that are times, are changed."""
        return self if self.settings is None else replace(self, settings=options.retimed(self.settings, change))

    def template(self, data: str) -> Recipe:
        """The method's own recipe for a data set, or else its first one, in proportion to the number of images."""
        own = next((recipe for recipe in self.recipes if recipe.data == data), None)
        if own is not None:
            return own
        first, images = self.recipes[0], counts(data)["train"]
        factor = images / counts(first.data)["train"]
        resized = first if factor == 1 else _retimed(first, lambda time: in_proportion(time, factor))
        return replace(resized, data=data, validation=min(first.validation, images // 10))

    def recipe(self, **given: Any) -> Recipe:
        """The method's recipe for given["data"] with the given options.

        With another number of steps, the phases that are not given themselves shrink or stretch in proportion, as
        `revised` says. Options of this method, and of given["trainer"], join those that the recipe has. RecipeError
        with no eps for a data set that has no recipe: a radius does not carry over. DataError for a data set that is
        none.
        """
        first = self.recipes[0]
        data = canonical(given.get("data", first.data))
        if first.eps > 0 and "eps" not in given and all(recipe.data != data for recipe in self.recipes):
            own = ", ".join(recipe.data for recipe in self.recipes)
            raise RecipeError(f"eps: {self.name} has no recipe for {data!r}, only for {own}; give the radius")
        return revised(self.template(data), **{"trainer": str(self), **given, "data": data})

    def __str__(self) -> str:
        return self.name + ("" if self.settings is None else options.written(self.settings, self.usual))


def read(text: str) -> Method[Any]:
    """The method of a text form.

    Names are found without regard to case. Errors: RecipeError with the option, its value and the remedy; those of
    `registry.find` for a name that is not registered.
    """
    method, given = _parsed(text)
    return method.with_options(**given)


def lasting(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe of so many epochs whose phases, those of the method's settings too, have the same proportions."""
    if epochs == recipe.epochs:
        return recipe
    scale = epochs / recipe.epochs
    return _retimed(recipe, lambda time: time * scale, epochs=epochs)


def _retimed(recipe: Recipe, change: Callable[[Time], Time], **given: Any) -> Recipe:
    """The recipe with other times, those of its method's settings too, and the given fields.

    The method is looked up in the registry, so that its own module cannot call this while it is being imported.
    """
    return options.retimed(recipe, change, trainer=str(read(recipe.trainer).retimed(change)), **given)


def _resized(recipe: Recipe, wanted: Recipe) -> Recipe:
    """The recipe for steps of wanted's images and batch: phases in steps keep their share of the training's steps."""
    every = counts(recipe.data)["train"]
    factor = (wanted.images or every) / (recipe.images or every) * recipe.batch / wanted.batch
    return recipe if factor == 1 else _retimed(recipe, lambda time: in_proportion(time, factor))


def revised(template: Recipe, **given: Any) -> Recipe:
    """The template with the given fields; the phases that are not given themselves stretch with given["epochs"].

    Those in steps also with the steps of an epoch, where given["batch"] or given["images"] changes them: all phases
    keep their shares of the training. Images that are held out change nothing.

    The options in given["trainer"] join the template's, or for another method those of its own recipe for the data.
    A training radius that is given is the one to certify, too, unless another is given.
    """
    text = given.pop("trainer", template.trainer)
    if "eps" in given:
        given = {"eps_eval": None} | given
    method, chosen = _parsed(text)
    if _parsed(template.trainer)[0].name != method.name:
        template = replace(template, trainer=lasting(method.template(template.data), template.epochs).trainer)
    longer = lasting(template, given.get("epochs", template.epochs))
    recipe = _resized(longer, longer.with_fields(**given)).with_fields(**given)
    return replace(recipe, trainer=str(read(recipe.trainer).with_options(**chosen)))


def _parsed(text: str) -> tuple[Method[Any], dict[str, Any]]:
    """(the method as it is registered, the options that the text gives)."""
    source = re.sub(r"(?<=\w)-(?=[A-Za-z])", "_", text.strip())  # crown-ibp is one name
    try:
        node = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        raise _unreadable(text, f"{error.msg} at column {error.offset}") from None
    match node:
        case ast.Name(id=name):
            return _registered(name), {}
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
            method = _registered(name)
            if method.settings is None:
                raise RecipeError(f"trainer: {text!r} gives options, but {method.name} has none; write {method.name}")
            return method, options.read(type(method.settings), method.name, keywords)
    raise _unreadable(text, "expected a name, or a name with (option=value, ...)")


def _unreadable(text: str, finding: str) -> RecipeError:
    return RecipeError(f"trainer: {text!r} is not a method: {finding}; write e.g. 'ibp' or 'certified(elision=False)'")


def _registered(name: str) -> Method[Any]:
    name = name.lower().replace("_", "-")
    method = find("trainers", name)
    if not isinstance(method, Method):
        raise RecipeError(f"trainer: {name} is a {type(method).__name__}, not a Method; ask who registered it")
    if method.name.lower().replace("_", "-") != name:
        raise RecipeError(
            f"trainer: {name} calls itself {method.name!r}, so that its text form would not be read back; "
            "ask who registered it to use one name"
        )
    return method
