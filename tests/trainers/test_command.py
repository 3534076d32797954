"""The command line gives a method its options, and certifies at the radius that the training was for."""

from pathlib import Path
from typing import Any

import pytest

from absdomain.report import runs
from absdomain.trainers import Recipe, read, train


def recipe(preset: str | None = None, **options: Any) -> Recipe:
    return runs.recipe_of(preset, options)


def test_options_of_the_trainer_stand_in_its_text() -> None:
    made = recipe(data="mnist", trainer="IBP(weight=adaptive, loss=hinge)", eps=0.2, epochs=None)
    assert made == read("ibp").recipe(data="mnist", eps=0.2, trainer="ibp(loss=hinge, weight=adaptive)")
    assert made.trainer == "ibp(loss=hinge, weight=adaptive)"
    assert recipe(data="mnist").trainer == "crown-ibp"


def test_options_join_a_preset() -> None:
    made = recipe("mnist-0.3-crown-ibp-B", trainer="crown-ibp(elision=False)", epochs=50)
    assert (made.trainer, made.epochs, made.ramp) == ("crown-ibp(elision=False)", 50, 30.0)


@pytest.mark.parametrize("text", ["ibp(elison=False)", "natural(x=1)", "ibp("])
def test_what_is_no_trainer_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"elison: False is no field|natural has none|was never closed"):
        recipe(data="digits", trainer=text)


def test_certification_is_at_the_radius_that_was_meant(tmp_path: Path) -> None:
    given = {"data": "digits", "network": "mlp-2x100", "trainer": "ibp", "domain": "box", "batch": 512}
    list(train(Recipe(**given, eps=0.02, eps_eval=0.01, epochs=1, validation=0), tmp_path))  # type: ignore[arg-type]
    assert runs.subject_of(tmp_path, None, None).eps == 0.01
