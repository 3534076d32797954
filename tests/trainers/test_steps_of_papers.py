"""Schedules that papers give in steps: when eps and the learning rate move, counted in the steps that the loop takes.

However many images are held out, the steps are those of the paper; with other epochs, batches or a part of the images
they keep their shares of the training.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from typing import Any

import pytest
import torch

from absdomain.data import Images, counts
from absdomain.registry import find, names
from absdomain.trainers import Recipe, RecipeError, read
from absdomain.trainers.method import revised
from absdomain.trainers.run.session import split, start
from absdomain.trainers.times import Steps

# warm-up, end of the ramp, the two steps at which the rate falls to a tenth: Gowal et al. 2019, appendix A; Boopathy et
# al. 2021, appendix
SMALL, LARGE = (2_000, 12_000, 15_000, 25_000), (5_000, 55_000, 60_000, 90_000)
COUNTS = {
    "mnist-*-ibp-gowal-*": SMALL,
    "mnist-*-singleprop-zero-*": SMALL,
    "mnist-*-ibp-adaptive-*": SMALL,
    "cifar10-*-ibp-gowal-*": LARGE,
    "cifar10-*-ibp-long-gowal-*": LARGE,
    "cifar10-*-singleprop-fastlin-*": LARGE,
    "cifar10-*-ibp-adaptive-*": LARGE,
    "svhn-*-ibp-long-gowal-*": LARGE,
}


def of(name: str) -> Recipe:
    found = find("presets", name)
    assert isinstance(found, Recipe)
    return found


def per_epoch(recipe: Recipe) -> int:
    """The steps of an epoch, as the loop takes them from the public files."""
    count = counts(recipe.data)["train"]
    pixels = torch.empty(count, 1, 1, 1, dtype=torch.uint8)
    full = Images(pixels, torch.zeros(count, dtype=torch.int64), 10, recipe.data, "train")
    return math.ceil(len(split(recipe, full)[0]) / recipe.batch)


def first(steps: int, reached: Callable[[int], bool]) -> int:
    """The first step at which a condition holds that then goes on to hold."""
    return bisect_left(range(steps), True, key=reached)


def moves(recipe: Recipe) -> tuple[int, ...]:
    """The last step without a radius, the first with the whole one, the steps at which the rate falls."""
    length = per_epoch(recipe)
    steps, rate = length * recipe.epochs, recipe.learning_rate(length)
    return (
        first(steps, lambda step: recipe.at(step, length).eps > 0) - 1,
        first(steps, lambda step: recipe.at(step, length).eps == recipe.eps),
        *(first(steps, lambda step, n=n: rate(step) < recipe.lr * 0.1**n * 2) for n in (1, 2)),  # type: ignore[misc]
    )


@pytest.mark.sampled(3)
@pytest.mark.parametrize("validation", [None, 0, 2_000])
@pytest.mark.parametrize("name", [name for name in names("presets") if any(fnmatch(name, p) for p in COUNTS)])
def test_the_steps_are_the_papers(name: str, validation: int | None) -> None:
    (expected,) = (steps for pattern, steps in COUNTS.items() if fnmatch(name, pattern))
    recipe = of(name) if validation is None else replace(of(name), validation=validation)
    recipe.check(per_epoch(recipe))
    assert moves(recipe) == expected


def test_the_cheap_schedule_for_svhn_and_the_attack_that_goes_with_it() -> None:
    assert moves(read("ibp").recipe(data="svhn")) == LARGE
    for data, expected in (("mnist", SMALL), ("cifar10", LARGE), ("svhn", LARGE)):
        assert moves(read("pgd").recipe(data=data))[2:] == expected[2:]


@pytest.mark.parametrize(("given", "factor"), [
    ({"epochs": 10}, 0.1), ({"batch": 200}, 0.5), ({"images": 30_000}, 0.5), ({"images": 6_000, "epochs": 1000}, 1.0),
])  # fmt: skip
def test_phases_in_steps_keep_their_share_of_the_training(given: dict[str, Any], factor: float) -> None:
    recipe = revised(of("mnist-0.4-ibp-gowal-small"), **given)
    assert moves(recipe) == tuple(round(factor * steps) for steps in SMALL)
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe


def test_a_phase_in_steps_that_is_given_is_meant_as_it_is() -> None:
    recipe = revised(of("mnist-0.4-ibp-gowal-small"), batch=200, warmup="1000 steps", ramp=10.0, milestones=["70", 80])
    assert (recipe.warmup, recipe.ramp, recipe.milestones) == (Steps(1000), 10.0, (70.0, 80.0))
    assert moves(recipe)[:2] == (1000, 1000 + 10 * per_epoch(recipe))


def test_a_schedule_that_is_longer_than_its_training_is_refused(tmp_path: Any) -> None:
    pixels = torch.zeros(600, 1, 28, 28, dtype=torch.uint8)
    few = Images(pixels, torch.arange(600) % 10, 10, "mnist", "train")
    recipe = replace(of("mnist-0.4-ibp-gowal-small"), validation=0)
    with pytest.raises(RecipeError, match=r"ramp: .*end after 12000 steps and this training has 600; give more epochs"):
        start(tmp_path, recipe, few, torch.device("cpu"))
    start(tmp_path, replace(recipe, warmup=1.0, ramp=5.0), few, torch.device("cpu"))
