"""A method's options have a text form that is read back; what cannot be an option is refused with the remedy."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Any

import pytest

from absdomain.trainers import Method, Natural, Recipe, RecipeError, losses, method, read
from absdomain.trainers.certified import Settings
from absdomain.trainers.kappa import Adaptive, Scheduled
from absdomain.trainers.method import lasting, revised
from absdomain.trainers.options import Epochs, Named


class Moments(Enum):
    """Which gradients are remembered."""

    WHOLE = 1
    FIRST = 2


@dataclass(frozen=True)
class Shape:
    """An option with options of its own."""

    length: Epochs = 4.0
    power: int = 2


def plain() -> None:
    """An option that is a function."""


@dataclass(frozen=True)
class Options:
    """One field of every kind."""

    share: float = 0.4
    count: int = 3
    name: str = "a-b"
    exact: bool = False
    limit: float | None = None
    moments: Moments = Moments.WHOLE
    decay: Epochs = 50.0
    corners: tuple[Epochs, ...] = (10.0, 20.0)
    rates: tuple[float, ...] = ()
    shape: Annotated[Any, Named({"shape": Shape, "plain": plain})] = Shape()


MADE = Method(
    "made-up",
    "for tests",
    lambda setup: Natural(setup.network),
    (
        Recipe(data="digits", trainer="made-up", epochs=100, warmup=10.0),
        Recipe(data="mnist", trainer="made-up(decay=80.0)", epochs=200),
    ),
    Options(),
)
BARE = Method("bare", "no settings", lambda setup: Natural(setup.network), (Recipe(trainer="bare", epochs=7),))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, object] = {"made-up": MADE, "bare": BARE, "liar": BARE, "number": 3}
    real: Callable[[Any, str], object] = method.find
    monkeypatch.setattr(method, "find", lambda group, name: known.get(name) or real(group, name))


TEXTS = {
    "made-up": {},
    "made-up(share=0.5)": {"share": 0.5},
    "made-up(count=-3)": {"count": -3},
    "made-up(name='x')": {"name": "x"},
    "made-up(exact=True)": {"exact": True},
    "made-up(limit=1e-05)": {"limit": 1e-5},
    "made-up(moments=first)": {"moments": Moments.FIRST},
    "made-up(corners=(1.0,), rates=(0.1, 0.2))": {"corners": (1.0,), "rates": (0.1, 0.2)},
    "made-up(shape=plain)": {"shape": plain},
    "made-up(shape=shape(length=1.5, power=3))": {"shape": Shape(1.5, 3)},
}


@pytest.mark.parametrize(("text", "options"), TEXTS.items(), ids=TEXTS)
def test_a_text_is_read_and_written(text: str, options: dict[str, Any]) -> None:
    assert read(text).settings == Options(**options)
    assert str(MADE.with_options(**options)) == text
    assert str(read(text)) == text


def test_only_what_differs_is_written() -> None:
    assert str(read("MADE_UP( share = .4, moments=Whole , shape=shape(power=2), limit=None, decay=50)")) == "made-up"
    assert str(read("made-up(share=1)")) == "made-up(share=1.0)"


BAD = {
    "made-up(shar=1)": r"shar: 1 is not a field of made-up; did you mean share\?",
    "made-up(share=abc)": r"share: abc is no float; write it as one",
    "made-up(share=True)": r"share: True is no float; write it as one",
    "made-up(count=1.5)": r"count: 1\.5 is no int; write it as one",
    "made-up(corners=3)": r"corners: 3 is no tuple\[number of epochs or of steps, \.\.\.\]; write it as one",
    "made-up(limit='x')": r"limit: 'x' is no float \| None; write it as one",
    "made-up(moments=second)": r"moments: second cannot be used; choose one of whole, first",
    "made-up(shape=round)": r"shape: round cannot be used; choose one of shape, plain",
    "made-up(shape=plain())": r"shape: plain\(\) cannot be used; plain takes no options; write plain",
    "made-up(shape=shape(size=1))": r"size: 1 is not a field of shape=shape; the fields are length, power",
    "made-up(share=__import__('os'))": r"share: __import__\('os'\) is no float",
    "made-up(**{})": r"\*\*\{\} has no meaning here",
    "made-up(3)": r"'made-up\(3\)' is not a method: expected a name",
    "made-up + bare": r"is not a method: expected a name",
    "made-up(": r"is not a method: '\(' was never closed at column \d",
    "bare(x=1)": r"'bare\(x=1\)' gives options, but bare has none; write bare",
    "number": r"number is a int, not a Method",
    "liar": r"liar calls itself 'bare'",
}


@pytest.mark.parametrize(("text", "message"), BAD.items(), ids=BAD)
def test_what_is_no_method_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read(text)


def test_the_phases_of_settings_stretch_with_the_training() -> None:
    recipe = lasting(Recipe(trainer="made-up(share=0.5, shape=shape(length=8.0))", epochs=100, warmup=10.0), 50)
    assert recipe.warmup == 5.0
    assert read(recipe.trainer).settings == Options(share=0.5, decay=25.0, corners=(5.0, 10.0), shape=Shape(4.0))
    assert lasting(recipe, 100).trainer == "made-up(share=0.5, shape=shape(length=8.0))"


def test_options_join_those_of_the_recipe_and_are_not_stretched_themselves() -> None:
    assert MADE.recipe(data="mnist").trainer == "made-up(decay=80.0)"
    recipe = MADE.recipe(data="mnist", trainer="made-up(share=1, corners=(3,))", epochs=20)
    assert read(recipe.trainer).settings == Options(share=1.0, decay=8.0, corners=(3.0,), shape=Shape(0.4))
    same = MADE.recipe(data="mnist", trainer="made-up(decay=50)")  # the method's default, not this recipe's
    assert same.trainer == "made-up"
    assert MADE.with_options(share=1.0).recipe(data="mnist").trainer == "made-up(share=1.0, decay=80.0)"


def test_another_method_on_a_preset_brings_its_own_phases() -> None:
    preset = Recipe(data="mnist", trainer="bare", epochs=100, lr=0.5)
    recipe = revised(preset, trainer="made-up(share=1)", epochs=50)
    assert (recipe.lr, recipe.epochs) == (0.5, 50)
    assert read(recipe.trainer).settings.decay == 20.0  # 80 of that method's 200


def test_certified_settings_have_names() -> None:
    text = "certified(loss=hinge, elision=False, weight=adaptive(gamma=5.0))"
    assert read(text).settings == Settings(losses.hinge, False, Adaptive(5.0))
    assert str(read(text)) == text
    assert str(read("ibp(weight=adaptive)")) == "ibp(weight=adaptive)"
    assert str(read("crown-ibp(weight=scheduled)")) == "crown-ibp"
    assert replace(Settings(), weight=Scheduled()) == Settings()
    with pytest.raises(RecipeError, match=r"gamma: 0\.0 cannot be used; give a factor > 0"):
        read("ibp(weight=adaptive(gamma=0))")
