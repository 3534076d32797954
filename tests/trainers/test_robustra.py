"""Robustra's pair: the worked example, targets folded into the batch, turns, what is seen of the pair, resumption."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from absdomain import Linf, MatchedSpace, ReferenceSpace, Region, parse
from absdomain.spec import targeted
from absdomain.trainers import Moment, Recipe, RecipeError, load_run, read_metrics, train
from absdomain.trainers.attacks import Attack, SignAscent
from absdomain.trainers.methods.robustra import ReferenceWeights, Robustra, Settings, robustra
from absdomain.trainers.pairs import transfer_error
from tests.trainers.test_state import rows, stopped_at
from tests.trainers.test_wong_kolter import X, Y, example_1

SHORT = {"lr": 0.01, "epochs": 2, "eps": 0.02, "ramp": 1.0, "batch": 256, "validation": 144, "network": "mlp-2x100"}


def linear() -> nn.Sequential:
    """z_1 - z_0 = x_1 + 3 x_2."""
    network = nn.Sequential(nn.Linear(2, 2)).double()
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 3.0]]))
        network[0].bias.zero_()
    return network


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("settings", "bound"), [
    (Settings(), 1.65), (Settings(threshold=2.0), 1.65), (Settings(rate=0.0), 0.15), (Settings(threshold=-1.0), 0.15),
    (Settings(threshold=5.1), math.inf),
])  # fmt: skip
def test_the_loss_of_example_3(settings: Settings, bound: float) -> None:
    """The network is that of Example 1. Where no point of the ball is left, its target adds nothing to the loss."""
    objective = Robustra(example_1(), linear(), X, parse("dual"), classes=2, pair=settings)
    objective.set(eps=1.0, kappa=0.0)
    step = objective(X, Y)
    assert step.loss.item() == pytest.approx(math.log1p(math.exp(-bound)), abs=1e-9)
    assert step.metrics == {"train_infeasible": float(bound == math.inf)}
    step.loss.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in objective.network.parameters())
    assert objective.lower(X, Y).item() == pytest.approx(0.15)  # a certificate is that of the ball


def test_what_is_seen_of_example_3() -> None:
    objective = Robustra(example_1(), linear(), X, parse("dual"), classes=2, pair=Settings())
    objective.set(eps=1.0, kappa=0.0)
    seen = objective.epoch_end([(X, Y)])
    assert seen["t"] == pytest.approx(2.0)
    assert (seen["loose"], seen["tight"], seen["infeasible"]) == (0.0, 1.0, 0.0)  # -1 < 0 < 5
    objective.second.network[0].bias.data[0] = 3.0  # z_1 - z_0 = x_1 + 3 x_2 - 3 reaches 2 at most  # type: ignore[index,operator,union-attr]
    assert objective.epoch_end([(X, Y)])["tight"] == 1.0
    objective.second.network[0].bias.data[0] = 5.1  # type: ignore[index,operator,union-attr]
    assert objective.epoch_end([(X, Y)])["infeasible"] == 1.0
    objective.second.network[0].bias.data[0] = -2.1  # type: ignore[index,operator,union-attr]
    assert objective.epoch_end([(X, Y)])["loose"] == 1.0


def networks() -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(3)
    f, g = (nn.Sequential(nn.Flatten(), nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)).double() for _ in range(2))
    return f, g


def pair(domain: str = "dual", **given: Any) -> Robustra:
    f, g = networks()
    return Robustra(f, g, torch.rand(1, 1, 2, 3).double(), parse(domain), classes=4, pair=Settings(**given))


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(7, 1, 2, 3, generator=generator, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1, 2])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("domain", ["dual", "deeppoly", "deeppoly(slopes=zero)"])
@pytest.mark.parametrize("threshold", [None, 0.3])
def test_targets_are_folded_as_if_each_were_a_sample(domain: str, threshold: float | None) -> None:
    objective, (x, y) = pair(domain, threshold=threshold, rate=0.4), batch()
    objective.set(eps=0.3, kappa=0.0)
    found = objective.against(objective.first.graph, objective.second.graph, x, y)
    plain = objective.bound(objective.region(x), y)
    assert bool((found >= plain - 1e-9).all())
    assert bool((found > plain + 1e-3).any())
    ball, by = Linf(x, 0.3), parse(domain)
    for place in range(3):
        target = place + (place >= y).long()
        wrong = targeted(target, y, 4)  # z_j - z_y of the reference
        space: Region = (
            MatchedSpace.of(ball, objective.second.graph, wrong, by=by, rate=0.4)
            if threshold is None
            else ReferenceSpace.of(ball, objective.second.graph, wrong, t=threshold, by=by)
        )
        one = by.propagate(objective.first.graph, space, targeted(y, target, 4)).lower[:, 0]
        torch.testing.assert_close(found[:, place], one)


@pytest.mark.parametrize("reference", ReferenceWeights)
def test_the_networks_take_turns(reference: ReferenceWeights) -> None:
    objective, (x, y) = pair(reference=reference), batch()
    for epoch in range(4):
        objective.zero_grad()
        objective.set(eps=0.1, kappa=0.0, at=Moment(5 * epoch + 4, 5))
        objective(x, y).loss.backward()
        trained = {name for name, p in objective.named_parameters() if p.grad is not None}
        assert {name.split(".")[0] for name in trained} == {"partner" if epoch % 2 else "network"}
        assert len(trained) == 4
        objective.epoch_end([])
    assert {p for p in objective.parameters() if p.requires_grad} == {
        *objective.network.parameters(),
        *objective.partner.parameters(),
    }


def test_the_second_network_may_be_trained_against_the_first_of_the_round_before() -> None:
    (x, y), losses = batch(), {}
    for reference in ReferenceWeights:
        objective = pair(reference=reference)
        objective.set(eps=0.2, kappa=0.0, at=Moment(1, 1))
        losses[reference, "before"] = objective(x, y).loss.item()
        with torch.no_grad():
            for parameter in objective.network.parameters():
                parameter.mul_(-0.5)
        losses[reference, "moved"] = objective(x, y).loss.item()
        objective.set(eps=0.2, kappa=0.0, at=Moment(0, 1))
        objective.epoch_end([])  # of the first network's turn, which ends no round
        objective.set(eps=0.2, kappa=0.0, at=Moment(1, 1))
        losses[reference, "second turn"] = objective(x, y).loss.item()
        objective.epoch_end([])
        losses[reference, "next round"] = objective(x, y).loss.item()
    current, last = ReferenceWeights.CURRENT, ReferenceWeights.LAST
    assert losses[last, "before"] == losses[last, "moved"] == losses[current, "before"]
    assert losses[last, "second turn"] == losses[last, "before"]
    assert losses[last, "next round"] == losses[current, "next round"] == losses[current, "moved"]
    assert losses[current, "moved"] != losses[current, "before"]


def test_the_sides_are_seen_alike() -> None:
    """What is said of the one is said of the other once they change places."""
    x, y = batch()
    f, g = networks()
    seen = []
    for networks_ in ((f, g), (g, f)):
        objective = Robustra(*networks_, x, parse("dual"), classes=4, clip=(0.0, 1.0), pair=Settings(looked_at=5))
        objective.set(eps=0.1, kappa=0.0)
        torch.manual_seed(1)
        seen.append(objective.epoch_end([(x[:3], y[:3]), (x[3:], y[3:])]))
    names = ("t", "loose", "tight", "infeasible")
    assert [seen[0][name] for name in names] == [seen[1][f"partner_{name}"] for name in names]
    for numbers in seen:
        assert sum(numbers[name] for name in names[1:]) == pytest.approx(1.0)
        assert numbers["partner_clean_error"] <= numbers["partner_attack_error"] <= numbers["partner_verified_error"]
    wrong = (g(x[:5]).argmax(1) != y[:5]).double().mean().item()
    assert seen[0]["partner_clean_error"] == pytest.approx(wrong)  # of the first 5


def test_what_is_seen_has_no_projections() -> None:
    """Half-spaces and verified errors of a pair that trains with estimated boxes are those of exact ones."""

    def deep() -> nn.Module:
        first, second, last = nn.Linear(6, 20), nn.Linear(20, 20), nn.Linear(20, 4)
        return nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.ReLU(), last).double()

    f, g = deep(), deep()
    (x, y), seen, bounds = batch(), [], []
    for domain in ("dual", "dual(projections=2)"):
        objective = Robustra(f, g, x, parse(domain), classes=4, pair=Settings())
        objective.set(eps=0.3, kappa=0.0)
        found = objective.epoch_end([(x, y)])
        seen.append({name: value for name, value in found.items() if "attack" not in name and "transfer" not in name})
        bounds.append(objective.against(objective.first.graph, objective.second.graph, x, y).detach())
    assert len(seen[0]) == 10
    assert seen[0] == seen[1]
    assert not torch.allclose(bounds[0], bounds[1], rtol=0.1)  # which the loss has


class Corner(Attack):
    """The corner of the box to which the model's first weight points."""

    def __call__(self, model: nn.Module, region: Region, labels: Tensor, **_: object) -> Tensor:
        box, weight = region.box(), next(model.parameters())[0]
        return torch.where(weight > 0, box.upper, box.lower)


def test_the_transfer_error_is_that_of_the_target_at_the_sources_points() -> None:
    def step(w: list[float]) -> nn.Linear:
        made = nn.Linear(2, 2)
        with torch.no_grad():
            made.weight.copy_(torch.tensor([w, [0.0, 0.0]]))
            made.bias.copy_(torch.tensor([-0.5, 0.0]))
        return made

    first, second = step([1.0, 0.0]), step([0.0, 1.0])
    x, y = torch.tensor([[0.0, 0.0], [0.0, 0.4], [0.4, 0.6]]), torch.tensor([1, 1, 1])
    region = Linf(x, 0.2)
    errors = {
        (a, b): transfer_error(Corner(), a, b, region, y).item() for a in (first, second) for b in (first, second)
    }
    assert errors[first, first] == pytest.approx(1 / 3)  # (.6, .4) is wrong of x_1 > 1/2
    assert errors[second, second] == pytest.approx(2 / 3)  # (-.2, .6) and (.2, .8) of x_2 > 1/2
    assert errors[first, second] == errors[second, first] == 0.0
    assert second.training


@pytest.mark.slow
def test_the_pair_resumes_and_both_are_kept(tmp_path: Path) -> None:
    recipe = robustra.recipe(data="digits", trainer="robustra(reference=last, looked_at=60)", **SHORT)
    list(train(recipe, tmp_path / "whole"))
    for step in (6, 8):
        stopped_at(step, tmp_path / "parts", recipe)
    list(train(recipe, tmp_path / "parts"))
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    for name in ("model", "partner"):
        assert (tmp_path / f"parts/{name}.safetensors").read_bytes() == (
            tmp_path / f"whole/{name}.safetensors"
        ).read_bytes()
    last = read_metrics(tmp_path / "whole")[-1]
    assert max(last["clean_error"], last["more"]["partner_clean_error"]) < 0.8  # one epoch each
    f, g = load_run(tmp_path / "whole")[0], load_run(tmp_path / "whole", "partner")[0]
    assert not any(torch.equal(a, b) for a, b in zip(f.parameters(), g.parameters(), strict=True))


@pytest.mark.parametrize(("given", "reason"), [
    ({"epochs": 3}, "epochs: 3 cannot be used; each epoch trains one of the two networks"),
    ({"domain": "box"}, "domain: 'box' cannot be used; it keeps no relation to the input"),
    ({"domain": "mix(crown-ibp, box)"}, "domain: .* cannot be used; it keeps no relation to the input"),
    ({"domain": "box.guided(by=deeppoly)"}, "domain: .* cannot be used; it keeps no relation to the input"),
    ({"domain": "symbolic_gap"}, "domain: .* cannot be used; it keeps no relation to the input"),
    ({"l1": 0.1}, "l1: 0.1 cannot be used"),
    ({"trainer": "robustra(rate=1.5)"}, "rate: 1.5 cannot be used; give a share of the breakpoints"),
    ({"trainer": "robustra(looked_at=-1)"}, "looked_at: -1 cannot be used"),
])  # fmt: skip
def test_what_no_pair_can_be_trained_with_is_refused(given: dict[str, Any], reason: str) -> None:
    def build() -> None:
        recipe = robustra.recipe(data="digits", **SHORT | given)
        robustra.build(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), torch.rand(1, 1, 8, 8), 10, recipe)

    with pytest.raises(RecipeError, match=reason):
        build()


def test_the_schedules_of_a_pair() -> None:
    """Both networks of a round have one radius: the paper's 100 epochs are 200 here."""
    recipe = robustra.recipe(data="mnist", eps=0.3)
    eps = [recipe.at(epoch, 1).eps for epoch in range(200)]
    assert eps[::2] == eps[1::2]
    assert eps[:40:2] == pytest.approx(torch.linspace(0.01, 0.3, 20, dtype=torch.float64).tolist())
    assert eps[40:] == [0.3] * 160
    rate = recipe.learning_rate(1)
    assert [rate(epoch) for epoch in (59, 60, 80, 199)] == pytest.approx([1e-3, 5e-4, 2.5e-4, 1e-3 / 2**7])
    assert (recipe.clip, recipe.batch, recipe.domain) == (False, 50, "dual")
    assert replace(Settings(), attack=SignAscent(steps=3)).attack == SignAscent(steps=3)
    assert Recipe.from_json(recipe.to_json()) == recipe
