"""Wong and Kolter's training: the loss of the worked example, the schedule of the code, projections drawn each step."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from absdomain import parse
from absdomain.data import load
from absdomain.trainers import Moment, Recipe, RecipeError, train
from absdomain.trainers.certified import Certified
from absdomain.trainers.methods.wong_kolter import wong_kolter
from absdomain.trainers.randomness import throughout
from absdomain.trainers.run.session import start


def example_1() -> nn.Sequential:
    """z = relu((x_1 + x_2, x_1 - x_2)) + (2.4, 0): the margin of class 0 over the ball of radius 1 about (1, 0)."""
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
        network[0].bias.zero_()
        network[2].weight.copy_(torch.eye(2))
        network[2].bias.copy_(torch.tensor([2.4, 0.0], dtype=torch.float64))
    return network


X, Y = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([0])


def test_the_loss_of_example_1() -> None:
    objective = Certified(example_1(), X, parse("dual"), classes=2, clip=None)
    objective.set(eps=1.0, kappa=0.0)
    step = objective(X, Y)
    assert objective.lower(X, Y).item() == pytest.approx(0.15)
    assert step.loss.item() == pytest.approx(0.620957, abs=1e-6)
    assert step.metrics["verified_error"] == 0


def test_the_schedule_is_that_of_the_code() -> None:
    recipe = wong_kolter.recipe(data="mnist")
    per_epoch = 1180
    eps = [recipe.at(epoch * per_epoch + within, per_epoch).eps for epoch in range(22) for within in (0, per_epoch - 1)]
    expected = torch.linspace(0.01, 0.1, 20, dtype=torch.float64).repeat_interleave(2).tolist() + 4 * [0.1]
    assert eps == pytest.approx(expected)
    assert {recipe.at(epoch * per_epoch, per_epoch).kappa for epoch in range(60)} == {0.0}
    rate = recipe.learning_rate(per_epoch)
    assert [rate(epoch * per_epoch) for epoch in (29, 30, 40, 50)] == [1e-3, 5e-4, 2.5e-4, 1.25e-4]


def test_stairs_are_counted_from_the_end_of_the_warm_up() -> None:
    given = {"eps": 0.5, "eps_start": 0.1, "ramp": 6.0, "stair": 2, "epochs": 8}
    recipe = Recipe(warmup=1.0, kappa_start=0.0, kappa_end=0.0, **given)  # type: ignore[arg-type]
    found = [recipe.at(10 * epoch, 10).eps for epoch in range(8)]
    assert found == pytest.approx([0.0, 0.1, 0.1, 0.3, 0.3, 0.5, 0.5, 0.5])


@pytest.mark.parametrize(("ramp", "stair", "expected"), [
    (4.0, 2, [0.1, 0.1, 0.5, 0.5, 0.5, 0.5]),
    (6.0, 2, [0.1, 0.1, 0.3, 0.3, 0.5, 0.5]),
    (0.5, 1, [0.5] * 6),
    (2.5, 1, [0.1, 0.1 + 0.4 / 1.5, 0.5, 0.5, 0.5, 0.5]),
])  # fmt: skip
def test_stairs(ramp: float, stair: int, expected: list[float]) -> None:
    recipe = Recipe(eps=0.5, eps_start=0.1, ramp=ramp, stair=stair, epochs=6, kappa_start=0.0, kappa_end=0.0)
    assert [recipe.at(10 * epoch + 9, 10).eps for epoch in range(6)] == pytest.approx(expected)
    with pytest.raises(RecipeError, match="stair: -1 cannot be used"):
        Recipe(stair=-1)


def test_a_training_may_take_a_part_of_the_images(tmp_path: Path) -> None:
    given: dict[str, Any] = {"network": "mlp-2x100", "epochs": 1, "batch": 50, "validation": 144, "trainer": "natural"}
    steps = {seed: list(train(Recipe(images=120, seed=seed, **given), tmp_path / str(seed))) for seed in (0, 1)}
    assert [rows[0].step for rows in steps.values()] == [3, 3]
    full, cpu = load("digits", "train"), torch.device("cpu")
    first, second = (start(tmp_path, Recipe(images=120, seed=seed, **given), full, cpu) for seed in (0, 1))
    assert len(first.images) == 120
    assert len(first.held_out) == 144
    assert not torch.equal(first.images.pixels, second.images.pixels)
    trained, held = ({image.numpy().tobytes() for image in part.pixels} for part in (first.images, first.held_out))
    assert not trained & held
    with pytest.raises(RecipeError, match=r"images: 1300 cannot be used; there are .* and 144 are held out"):
        train(Recipe(images=1300, **given), tmp_path / "more")


def bounds(objective: Certified, step: int, x: Tensor, y: Tensor) -> Tensor:
    objective.set(eps=0.1, kappa=0.0, at=Moment(step, 10))
    return objective.bound(objective.region(x), y).detach()


def test_every_step_of_every_training_draws_its_own_projections() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 3))
    x, y = torch.rand(4, 1, 4, 5), torch.tensor([0, 1, 2, 0])
    one, other = (Certified(network, x, parse("dual(projections=5)"), classes=3, seed=seed) for seed in (0, 1))
    first = bounds(one, 3, x, y)
    assert torch.equal(bounds(one, 3, x, y), first)  # a resumed run draws the same
    assert not torch.equal(bounds(one, 4, x, y), first)
    assert not torch.equal(bounds(other, 3, x, y), first)
    assert "verified_error" not in one(x, y).metrics  # an estimate proves nothing
    exact = Certified(network, x, parse("dual"), classes=3)
    torch.testing.assert_close(one.lower(x, y), bounds(exact, 3, x, y))


def test_a_domain_that_proves_nothing_is_replaced_by_boxes() -> None:
    objective = Certified(example_1(), X, parse("symbolic_gap"), classes=2, clip=None)
    objective.set(eps=1.0, kappa=0.0)
    assert objective.lower(X, Y).item() == pytest.approx(-0.6)


def test_parts_change_wherever_they_stand() -> None:
    text = "mix(dual(projections=9).guided(by=box), box & dual(projections=9, seed=1), weight=0.25)"
    changed = "mix(dual(projections=9, seed=7).guided(by=box), box & dual(projections=9, seed=7), weight=0.25)"
    assert str(throughout(parse(text), "seed", 7)) == changed
    assert (
        str(throughout(parse(text), "projections", None)) == "mix(dual.guided(by=box), box & dual(seed=1), weight=0.25)"
    )
    assert throughout(parse("box & deeppoly"), "seed", 7) == parse("box & deeppoly")
