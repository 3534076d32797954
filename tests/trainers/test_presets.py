"""Every recipe of the presets is registered once, and names a network, a method and data that are there."""

import importlib
import pkgutil

import pytest

from absdomain import data
from absdomain.registry import find, names
from absdomain.trainers import Method, Recipe, presets, read

RECIPES = {
    f"{module.name}.{name}": value
    for module in pkgutil.iter_modules(presets.__path__)
    for name, value in vars(importlib.import_module(f"{presets.__name__}.{module.name}")).items()
    if isinstance(value, Recipe)
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_preset_can_be_trained(recipe: Recipe) -> None:
    assert isinstance(read(recipe.trainer), Method)
    assert callable(find("networks", recipe.network))
    assert recipe.data in data.names()
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_presets_are_registered_each_under_one_name() -> None:
    registered = {name: find("presets", name) for name in names("presets")}
    ours = {name: recipe for name, recipe in registered.items() if recipe in RECIPES.values()}
    assert len(ours) == len(RECIPES) == len(set(RECIPES.values()))
    for name, recipe in ours.items():
        assert isinstance(recipe, Recipe)
        last = recipe.network.split("-")[-1]
        assert name == "digits-demo" or (name.startswith(recipe.data) and name.endswith(last))
