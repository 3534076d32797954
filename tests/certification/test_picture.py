"""The picture of a certification: a line for each image that has a bound, a marker for each one, counts by status."""

import math

import pytest

from absdomain.certification.picture import margins
from absdomain.certification.verdict import Status, Verdict

VERIFIED, FALSIFIED, UNKNOWN = Status.VERIFIED, Status.FALSIFIED, Status.UNKNOWN
VERDICTS = [
    Verdict(0, 1, UNKNOWN, None, nominal=2.0, attacked=0.5, lower={"box": -3.0, "crown": -1.0}),
    Verdict(1, 1, VERIFIED, "box", nominal=2.0, attacked=1.5, lower={"box": 0.25}),
    Verdict(2, 1, FALSIFIED, "attack", nominal=2.0, attacked=-0.5),
    Verdict(3, 1, UNKNOWN, None, nominal=1.0, lower={"box": -math.inf, "crown": math.nan}),
]


def test_each_image_is_between_its_bound_and_the_worst_point() -> None:
    pytest.importorskip("matplotlib", reason="pip install absdomain[plot]")
    (axes,) = margins(VERDICTS).axes
    drawn = {tuple(map(tuple, line)) for part in axes.collections[::2] for line in part.get_segments()}
    assert drawn == {
        ((4.0, 0.25), (4.0, 1.5)),
        ((1.0, -0.5), (1.0, -0.5)),  # no domain was asked
        ((2.0, -1.0), (2.0, 0.5)),  # the better bound
        ((3.0, 1.0), (3.0, 1.0)),  # no bound is finite
    }
    points = {tuple(point) for part in axes.collections[1::2] for point in part.get_offsets().tolist()}
    assert points == {(1.0, -0.5), (2.0, 0.5), (3.0, 1.0), (4.0, 1.5)}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["verified: 1", "falsified: 1", "unknown: 2"]
