"""The command line gives a method its options, and certifies at the radius that the training was for."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from absdomain.attack import AdamAttack, Pgd
from absdomain.cli.main import app
from absdomain.report import runs
from absdomain.report.study import Check
from absdomain.trainers import Recipe, RecipeError, read, train
from absdomain.trainers.times import Steps


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
    with pytest.raises(ValueError, match=r"elison: False is not a field|natural has none|was never closed"):
        recipe(data="digits", trainer=text)


def test_certification_is_at_the_radius_that_was_meant(tmp_path: Path) -> None:
    given = {"data": "digits", "network": "mlp-2x100", "trainer": "ibp", "domain": "box", "batch": 512}
    list(train(Recipe(**given, eps=0.02, eps_eval=0.01, epochs=1, validation=0), tmp_path))  # type: ignore[arg-type]
    assert runs.subject_of(tmp_path, None, None).eps == 0.01


def test_the_command_line_says_what_papers_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Recipe] = []
    monkeypatch.setattr("absdomain.cli.train.train_in", lambda recipe, *_: asked.append(recipe))
    line = [
        "--milestones",
        "25, 15000 steps",
        "--decay",
        "0.2",
        "--stair",
        "1",
        "--flip",
        "--crop",
        "2",
        "--keep",
        "best",
    ]
    line += [
        "--init",
        "first.safetensors",
        "--warmup",
        "100 steps",
        "--ramp",
        "20",
        "--lr",
        "0.01",
        "--out",
        str(tmp_path),
    ]
    done = CliRunner().invoke(app, ["train", "--preset", "mnist-0.3-crown-ibp-B", *line])
    assert done.exit_code == 0, done.output
    (made,) = asked
    assert (made.milestones, made.decay, made.stair, made.flip, made.crop) == ((25.0, Steps(15000)), 0.2, 1, True, 2)
    assert (made.keep, made.init, made.warmup, made.ramp) == ("best", "first.safetensors", Steps(100), 20.0)
    assert made.lr == 0.01


def test_an_attack_is_written_as_it_is_named_in_results() -> None:
    check = Check(0.1, True, attacked="adam(steps=200, restarts=10)")
    assert check.attack == AdamAttack(200, 10, 0.1)
    assert Check(0.1, True, attacked="pgd(rate=0.25)").attack == Pgd(40, 2, 0.25)
    assert Check(0.1, True, steps=7).attack == Pgd(7, 2)
    assert Check(0.1, True, steps=0).attack is None
    for text, reason in (
        ("fgsm", "attack: fgsm cannot be used; choose one of pgd, adam"),
        ("adam(", "write one of pgd"),
    ):
        with pytest.raises(RecipeError, match=reason):
            _ = Check(0.1, True, attacked=text).attack
