"""A training method: an objective, and the recipes of its paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from absdomain.trainers.objective import Objective
from absdomain.trainers.recipe import Recipe


@dataclass(frozen=True)
class Method:
    """A name, (network, example, classes, recipe) -> Objective, and one default recipe per data set."""

    name: str
    summary: str
    objective: Callable[[nn.Module, Tensor, int, Recipe], Objective]
    recipes: tuple[Recipe, ...]  # the first one also serves the data sets that have none

    def recipe(self, **given: Any) -> Recipe:
        """The method's recipe for given["data"] with the given fields.

        With another number of epochs, the phases that are not given themselves shrink or stretch in proportion.
        """
        data = given.get("data", self.recipes[0].data)
        template = next((recipe for recipe in self.recipes if recipe.data == data), replace(self.recipes[0], data=data))
        return template.lasting(given.get("epochs", template.epochs)).with_fields(**given)
