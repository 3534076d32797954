"""A recipe goes to JSON and back, compresses its phases in proportion, and refuses what cannot be trained."""

import json
from dataclasses import replace
from typing import Any

import pytest

from absdomain.data import counts
from absdomain.trainers.certified import certified
from absdomain.trainers.method import Method, read
from absdomain.trainers.methods.crown_ibp import crown_ibp
from absdomain.trainers.methods.ibp import ibp
from absdomain.trainers.methods.natural import natural
from absdomain.trainers.methods.pure_ibp import pure_ibp
from absdomain.trainers.options import RecipeError
from absdomain.trainers.recipe import Recipe
from absdomain.trainers.times import Steps

METHODS = (natural, certified, ibp, pure_ibp, crown_ibp)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_default_goes_to_json_and_back(method: Method) -> None:
    for recipe in method.recipes:
        assert recipe.trainer == method.name
        assert Recipe.from_json(json.dumps(recipe.to_json())) == recipe


def test_crown_ibp_on_mnist_is_the_papers_schedule() -> None:
    recipe = crown_ibp.recipe(data="mnist", eps=0.3)
    per_epoch = 215
    assert (recipe.epochs, recipe.batch, recipe.optimiser, recipe.lr) == (100, 256, "adam", 5e-4)
    assert recipe.at(0, per_epoch) == recipe.at(per_epoch - 1, per_epoch) == (0.0, 1.0, 1.0)  # one natural epoch
    assert recipe.at(31 * per_epoch, per_epoch) == pytest.approx((0.15, 0.0, 0.5))
    assert recipe.at(61 * per_epoch, per_epoch) == (0.3, 0.0, 0.0)
    rate = recipe.learning_rate(per_epoch)
    epochs = (0, 70, 71, 80, 81, 91, 99)
    assert [rate(epoch * per_epoch) for epoch in epochs] == [5e-4, 5e-4, 2.5e-4, 2.5e-4, 1.25e-4, 6.25e-5, 6.25e-5]


def test_ibp_on_mnist_moves_kappa_with_eps() -> None:
    assert certified.recipe(data="mnist").at(31 * 215, 215) == pytest.approx((0.15, 0.75, 0.0))
    assert pure_ibp.recipe(data="mnist").at(31 * 215, 215) == pytest.approx((0.15, 0.0, 0.0))


def test_ibp_has_the_schedules_of_its_paper() -> None:
    """kappa moves with eps; that the steps are the paper's is asked in test_steps_of_papers."""
    for data, per_epoch, step, eps in (("mnist", 550, 1000, 0.3), ("cifar10", 900, 5000, 8.8 / 255)):
        recipe = ibp.recipe(data=data)
        assert (recipe.clip, recipe.optimiser, recipe.lr, recipe.network) == (True, "adam", 1e-3, "gowal-small")
        ramp = 10 * step
        begin = ramp // 5 if data == "mnist" else step
        assert recipe.at(begin, per_epoch) == (0.0, 1.0, 0.0)
        assert recipe.at(begin + ramp // 2, per_epoch) == pytest.approx((eps / 2, 0.75, 0.0), abs=1e-6)
        assert recipe.at(begin + ramp, per_epoch) == pytest.approx((eps, 0.5, 0.0))
        rate, (first, second) = recipe.learning_rate(per_epoch), (15, 25) if data == "mnist" else (60, 90)
        steps = [1000 * first - 1, 1000 * first, 1000 * second - 1, 1000 * second]
        assert [rate(at) for at in steps] == pytest.approx([1e-3, 1e-4, 1e-4, 1e-5])
    assert (recipe.epochs, recipe.batch, recipe.certified_eps) == (350, 50, 8 / 255)


def test_a_training_radius_is_the_one_to_certify_unless_another_is_given() -> None:
    own = ibp.recipe(data="cifar10")
    assert own.eps == pytest.approx(1.1 * own.certified_eps)
    assert ibp.recipe(data="cifar10", eps=0.02).certified_eps == 0.02
    assert ibp.recipe(data="cifar10", eps=0.02, eps_eval=0.01).certified_eps == 0.01
    assert ibp.recipe(data="cifar10", epochs=35).certified_eps == own.certified_eps


def test_beta_end_one_keeps_the_linear_relaxation() -> None:
    assert crown_ibp.recipe(data="cifar10", beta_end=1.0).at(10**9, 100).beta == 1.0


def test_phases_keep_their_proportions_unless_they_are_given() -> None:
    recipe = crown_ibp.recipe(data="mnist", epochs=50)
    assert (recipe.warmup, recipe.ramp, recipe.milestones) == (0.5, 30, (35.5, 40.5, 45.5))
    assert crown_ibp.recipe(data="mnist", epochs=50, ramp=10).ramp == 10


def test_another_data_set_takes_the_first_recipes_schedule() -> None:
    method = replace(crown_ibp, recipes=crown_ibp.recipes[:1])
    few = counts("digits")["train"] // 10
    assert method.recipe(data="digits", eps=0.1) == replace(
        crown_ibp.recipes[0], data="digits", eps=0.1, validation=few
    )


def test_times_in_steps_are_in_proportion_to_another_data_sets_images() -> None:
    method, given = read("ibp"), counts("svhn")["train"] / counts("mnist")["train"]
    method = replace(method, recipes=tuple(recipe for recipe in method.recipes if recipe.data == "mnist")[:1])
    ours, theirs = method.template("svhn"), method.recipes[0]
    assert isinstance(theirs.ramp, Steps)
    assert ours.ramp == theirs.ramp * given
    assert ours.validation == theirs.validation


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"epoch": 3}, r"epoch: 3 is not a field of a recipe; did you mean epochs\?"),
    "type": ({"epochs": "ten"}, r"epochs: 'ten' is no int"),
    "bool for int": ({"epochs": True}, r"epochs: True is no int"),
    "float for int": ({"batch": 1.5}, r"batch: 1.5 is no int"),
    "elements": ({"milestones": ["a"]}, r"milestones: \['a'\] is no tuple\[number of epochs"),
    "negative": ({"eps": -0.1}, r"eps: -0.1 cannot be used; give a radius >= 0"),
    "nan": ({"lr": float("nan")}, r"lr: nan cannot be used; give a learning rate > 0"),
    "weight": ({"kappa_end": 1.1}, r"kappa_end: 1.1 cannot be used; kappa is a weight in \[0, 1\]"),
    "choice": ({"optimiser": "lbfgs"}, r"optimiser: 'lbfgs' cannot be used; choose one of adam, sgd"),
    "zero epochs": ({"epochs": 0}, r"epochs: 0 cannot be used; train for at least 1 epoch"),
    "phases": ({"epochs": 10, "ramp": 11.0}, r"ramp: 11.0 cannot be used; warmup 0.0 and ramp must end within the 10"),
}


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_trained_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe().with_fields(**given)


@pytest.mark.parametrize("text", ["{", "[]", '"adam"'])
def test_what_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="recipe: "):
        Recipe.from_json(text)
