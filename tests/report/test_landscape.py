"""The plane through an image, the attack's point and a witness."""

from pathlib import Path

import pytest
import torch
from torch import nn

from absdomain.attack import margin
from absdomain.report import plots
from absdomain.report.landscape import POINTS, landscape
from absdomain.runtime import pictures


def test_the_margin_over_the_plane(tmp_path: Path) -> None:
    """Of an affine model it is affine, and at the three points the model's own."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).double().eval()
    image, attacked, witness = torch.rand(3, 1, 3, 4, dtype=torch.float64)
    found = landscape(model, image, 1, attacked, witness)
    assert found.margins.shape == (POINTS, POINTS)

    def at(a: float, b: float) -> float:
        column, row = (int((found.axis - place).abs().argmin()) for place in (a, b))
        point = image + found.axis[row] * (witness - image) + found.axis[column] * (attacked - image)
        value = margin(model(point.unsqueeze(0)), torch.tensor([1])).item()
        assert found.margins[row, column].item() == pytest.approx(value)
        return value

    corner, right, top, far = at(0, 0), at(1, 0), at(0, 1), at(1, 1)
    assert far == pytest.approx(right + top - corner)
    (tmp_path / "plane.png").write_bytes(pictures.encoded(plots.landscape(found, "a title")))
    assert (tmp_path / "plane.png").stat().st_size > 10_000


def test_few_points_are_held_at_once_and_none_of_a_model_in_training() -> None:
    sizes: list[int] = []

    class Counting(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(len(x))
            return super().forward(x)

    model, points = Counting(3, 2), torch.rand(3, 3)
    with pytest.raises(ValueError, match="training mode"):
        landscape(model, points[0], 0, points[1], points[2])
    landscape(model.eval(), points[0], 0, points[1], points[2])
    assert sum(sizes) == POINTS**2 + 1
    assert max(sizes) <= 500
