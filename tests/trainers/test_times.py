"""Times add up, stretch, and go to text and back, in epochs and in steps."""

import pytest

from absdomain.trainers import Moment, Recipe, RecipeError, read
from absdomain.trainers.times import Steps, at, exceeds, in_proportion
from absdomain.trainers.times import read as parsed


def test_times_add_up_and_stretch() -> None:
    both = Steps(2000) + 1.5 + Steps(10)
    assert at(both, 100) == 2160
    assert at(1.5 + Steps(2010), 100) == 2160
    assert at(both * 0.5, 100) == 1080
    assert Moment(2160, 100).at(both) == 2160
    assert Moment(1000, 500).ramp(0.0, 1.0, 1.0, Steps(1500)) == pytest.approx(0.5)
    assert in_proportion(Steps(2000), 0.5) == Steps(1000)
    assert in_proportion(3.0, 0.5) == 3.0


def test_a_time_in_steps_is_none_in_epochs() -> None:
    assert Steps(5) != 5.0
    assert exceeds(6.0, 5.0)
    assert not exceeds(5.0, 5.0)
    assert not exceeds(5.0 * (1 + 1e-12), 5.0)
    assert not exceeds(Steps(10**9), 5.0)  # how long an epoch is nobody knows yet
    assert exceeds(Steps(1) + 5.0, 5.0)


@pytest.mark.parametrize("time", [60.0, 0.25, Steps(2000), Steps(1000 / 3)])
def test_times_go_to_text_and_back(time: float | Steps) -> None:
    assert parsed(str(time)) == time
    recipe = Recipe(warmup=time, epochs=100, milestones=(time, 1.0))
    assert Recipe.from_json(recipe.to_json()) == recipe
    method = read("advibp").with_options(hold=time)
    assert read(str(method)) == method


@pytest.mark.parametrize("text", ["steps", "ten", "2000 step", "1-2 steps", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"warmup: .* is no number of epochs or of steps"):
        Recipe().with_fields(warmup=text)
    with pytest.raises(RecipeError, match="milestones: "):
        Recipe().with_fields(milestones=[text])


@pytest.mark.parametrize("given", [{"warmup": "-1 steps"}, {"ramp": "nan steps"}, {"milestones": ("-5 steps",)}])
def test_times_that_cannot_be_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        Recipe().with_fields(**given)
