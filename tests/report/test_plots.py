"""The plot of a training shows what the method noted of itself, in panels of their own."""

from typing import Any

import pytest

from absdomain.report.plots import training

ROW = {"loss": 1.0, "eps": 0.1, "clean_error": 0.5, "verified_error": 0.6}
AVERAGED = {"fosc_reached": 0.9, "opposed": 0.2, "weight_attacked": 1.0, "weight_bound": -0.3}
STATES = {"loose": 0.1, "tight": 0.2, "infeasible": 0.7, "t": -3.0}


@pytest.mark.parametrize(("more", "panels"), [
    ({}, ()),
    (AVERAGED, ("share of steps", "weight of a loss")),
    (STATES, ("share at t = 0",)),
    (STATES | {"norm.fc1": 2.0}, ("share at t = 0", "norm induced by l_inf")),
])  # fmt: skip
def test_what_a_method_notes_has_a_panel(more: dict[str, float], panels: tuple[str, ...]) -> None:
    rows: list[dict[str, Any]] = [ROW | {"epoch": 1, "more": {k: v for k, v in more.items() if k.startswith("norm")}}]
    rows += [ROW | {"epoch": epoch, "more": more} for epoch in (2, 3)]  # nothing is noted in a warm-up
    axes = training(rows, "a title").axes
    labels = [one.get_ylabel() for one in axes]
    assert labels == ["held-out error, %", "loss", *panels, "eps"]
    last = axes[len(panels) + 1]
    assert last.get_xlabel() == "epoch"
    for one in axes[2:-1]:
        assert all(2 in line.get_xdata() for line in one.lines)
