"""Schedules take their published values, at their ends exactly."""

import pytest

from absdomain.trainers.schedules import Constant, LinearRamp, Schedule, SmoothRamp, StepDecay


def test_constant() -> None:
    assert [Constant(0.3)(step) for step in (0, 7)] == [0.3, 0.3]


def test_linear() -> None:
    schedule = LinearRamp(1.0, 0.5, first=10, last=20)
    assert [schedule(step) for step in (0, 10, 15, 20, 1000)] == [1.0, 1.0, 0.75, 0.5, 0.5]


def test_a_ramp_of_no_length_jumps() -> None:
    for schedule in (LinearRamp(0.0, 0.3, 5, 5), SmoothRamp(0.0, 0.3, 5, 5)):
        assert [schedule(step) for step in (4, 5)] == [0.0, 0.3]


@pytest.mark.parametrize(
    ("step", "value"), [(0, 0.0), (10, 0.001969), (25, 1 / 13), (50, 0.384615), (75, 0.692308), (100, 1.0), (101, 1.0)]
)
def test_smooth_takes_the_values_of_the_public_code(step: int, value: float) -> None:
    assert SmoothRamp(0.0, 1.0, 0, 100)(step) == pytest.approx(value, abs=5e-7)
    assert SmoothRamp(2.0, 4.0, 300, 400)(300 + step) == pytest.approx(2 + 2 * value, abs=1e-6)


def test_smooth_has_no_kink_where_its_parts_meet() -> None:
    schedule = SmoothRamp(0.0, 1.0, 0, 100_000)
    before, after = schedule(25_000) - schedule(24_999), schedule(25_001) - schedule(25_000)
    assert before == pytest.approx(after, rel=1e-3)


@pytest.mark.parametrize("first_last", [(0, 1), (3, 5), (0, 3), (2, 40)])
@pytest.mark.parametrize("kind", [LinearRamp, SmoothRamp])
def test_ramps_are_monotone_and_stay_between_their_ends(kind: type, first_last: tuple[int, int]) -> None:
    schedule: Schedule = kind(0.0, 0.3, *first_last)
    values = [schedule(step) for step in range(50)]
    assert values == sorted(values)
    assert values[0] == 0.0
    assert values[-1] == 0.3


def test_step_decay() -> None:
    schedule = StepDecay(1e-3, (10, 20), 0.5)
    assert [schedule(step) for step in (0, 9, 10, 19, 20)] == [1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4]
