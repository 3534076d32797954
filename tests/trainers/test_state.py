"""What an objective learns survives an interruption; what would harm a training is left out, counted and said."""

import json
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from absdomain.trainers import (
    CheckpointError,
    Diverged,
    Method,
    Metrics,
    Moment,
    Natural,
    Objective,
    Recipe,
    RecipeError,
    RunError,
    Setup,
    Step,
    StepMetrics,
    load_run,
    method,
    read_metrics,
    train,
)
from absdomain.trainers.options import Epochs
from absdomain.trainers.run.guard import compared, loss_trouble, taken
from absdomain.trainers.run.session import Position
from absdomain.trainers.schedules import START


@dataclass(frozen=True)
class Settings:
    """Of an objective that remembers."""

    rate: float = 0.5
    start: Epochs = 1.0


class Remembering(Objective):
    """The cross-entropy and a penalty on what it has learnt: a mean of losses, a step counter, a second network."""

    def __init__(self, network: nn.Module, other: nn.Module, settings: Settings) -> None:
        super().__init__(network)
        self.other, self.settings, self.weight = other, settings, 0.0
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("multiplier", torch.ones(()))

    def set(self, *, eps: float, kappa: float, beta: float = 0.0, at: Moment = START) -> None:
        super().set(eps=eps, kappa=kappa, beta=beta, at=at)
        self.weight = at.ramp(0.0, 1.0, self.settings.start, self.settings.start + 1)

    def forward(self, x: Tensor, y: Tensor) -> Step:
        step = self.nominal(x, y)
        loss = step.loss + functional.cross_entropy(self.other(x), y)
        with torch.no_grad():
            self.mean += self.settings.rate * (step.loss.double() - self.mean)  # type: ignore[misc]
            self.steps += 1  # type: ignore[misc]
        own = {"mean": self.mean.detach().clone(), "noise": torch.rand(())}  # type: ignore[operator]
        return Step(loss * self.multiplier * (1 + self.weight * self.mean.float()), step.metrics | own)  # type: ignore[operator]

    def epoch_end(self, held_out: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        assert not self.training
        assert not torch.is_grad_enabled()
        batches = [len(y) for _, y in held_out]
        assert batches == [len(y) for _, y in held_out]  # again
        self.multiplier *= 0.9  # type: ignore[misc]
        return {"held_out": float(sum(batches)), "steps": float(self.steps), "weight": self.weight}  # type: ignore[arg-type]

    @property
    def models(self) -> dict[str, nn.Module]:
        return {"model": self.network, "other": self.other}


def build(setup: Setup[Settings]) -> Objective:
    from absdomain.trainers.run.folder import build_network

    return Remembering(setup.network, build_network(setup.recipe, (1, 8, 8), setup.classes), setup.settings)


SHORT: dict[str, Any] = {"data": "digits", "network": "mlp-2x100", "batch": 256, "epochs": 3, "validation": 144}
REMEMBERING = Method("remembering", "for tests", build, (Recipe(trainer="remembering", **SHORT),), Settings())


class Harmed(Natural):
    """Natural, with what `HARM` does to the loss of the steps it names; a batch norm sees it, too."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.now = 0

    def set(self, *, eps: float, kappa: float, beta: float = 0.0, at: Moment = START) -> None:
        super().set(eps=eps, kappa=kappa, beta=beta, at=at)
        self.now = at.step

    def forward(self, x: Tensor, y: Tensor) -> Step:
        self.calls += 1  # type: ignore[misc]
        step = super().forward(x, y)
        return Step(HARM.get(self.now, lambda loss: loss)(step.loss), step.metrics)


HARM: dict[int, Callable[[Tensor], Tensor]] = {}


class Poison(torch.autograd.Function):
    """The identity, with a gradient that is not finite."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0] * math.inf


HARMED = Method("harmed", "for tests", lambda s: Harmed(s.network), (Recipe(trainer="harmed", **SHORT),))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    known: dict[str, object] = {"remembering": REMEMBERING, "harmed": HARMED}
    real: Callable[[Any, str], object] = method.find  # type: ignore[attr-defined]
    monkeypatch.setattr(method, "find", lambda group, name: known.get(name) or real(group, name))
    yield
    HARM.clear()


class Stop(Exception):
    """Thrown out of the callback in the middle of a run."""


def stopped_at(step: int, folder: Path, recipe: Recipe) -> None:
    def stop(metrics: StepMetrics) -> None:
        if metrics.step == step:
            raise Stop

    with pytest.raises(Stop):
        list(train(recipe, folder, on_step=stop, checkpoint_seconds=0.0))


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row | {"seconds": 0} for row in read_metrics(folder)]


def test_what_an_objective_learns_comes_back_bit_for_bit(tmp_path: Path) -> None:
    recipe, whole, parts = REMEMBERING.recipe(), tmp_path / "whole", tmp_path / "parts"
    expected = list(train(recipe, whole))
    for step in (3, 6, 14):
        stopped_at(step, parts, recipe)
    list(train(recipe, parts))
    for name in ("model", "other"):
        assert (parts / f"{name}.safetensors").read_bytes() == (whole / f"{name}.safetensors").read_bytes()
    assert rows(parts) == rows(whole)
    (ours,), (theirs,) = (list(run.glob("checkpoint-*")) for run in (parts, whole))
    assert ours.read_bytes() == theirs.read_bytes()  # moments, counters and multipliers, too
    assert [row.more["steps"] for row in expected] == [6.0, 12.0, 18.0]
    assert [row.more["weight"] for row in expected] == [0.0, pytest.approx(5 / 6), 1.0]
    assert all(row.more["held_out"] == 144 and 0 < row.more["noise"] < 1 for row in expected)


def test_each_model_of_a_run_is_loaded(tmp_path: Path) -> None:
    list(train(REMEMBERING.recipe(epochs=1), tmp_path))
    first, other = load_run(tmp_path)[0], load_run(tmp_path, "other")[0]
    assert all(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    with pytest.raises(RunError, match=r"holds no third\.safetensors; a run of remembering.* does not train such"):
        load_run(tmp_path, "third")


def test_changed_options_are_another_run(tmp_path: Path) -> None:
    assert len(list(train(REMEMBERING.recipe(trainer="remembering(start=0)", epochs=1), tmp_path))) == 1
    spelt = replace(REMEMBERING.recipe(epochs=1), trainer="Remembering( start = 0., rate=0.5)")  # the same
    assert list(train(spelt, tmp_path)) == []
    with pytest.raises(
        RunError, match=r"trainer 'remembering\(start=0\.0\)', now 'remembering\(rate=0\.25, start=0\.0\)'"
    ):
        train(REMEMBERING.recipe(trainer="remembering(rate=0.25, start=0)", epochs=1), tmp_path)


def checkpoint(folder: Path) -> tuple[Path, dict[str, Tensor], dict[str, Any]]:
    (path,) = folder.glob("checkpoint-*")
    return path, load_file(path), json.loads((folder / "state.json").read_text())


def rewrite(folder: Path, path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    import hashlib

    save_file(tensors, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "state.json").write_text(json.dumps(state | {"sha256": digest}))


def test_a_checkpoint_from_before_this_state_is_read_where_there_is_none(tmp_path: Path) -> None:
    recipe = Recipe(trainer="natural", **SHORT)
    list(train(recipe, tmp_path / "whole"))
    stopped_at(8, tmp_path / "old", recipe)
    path, tensors, state = checkpoint(tmp_path / "old")
    assert {name.partition(".")[0] for name in tensors} == {"model", "optimiser", "random"}
    known = ("tensors", "sha256", "epoch", "batch", "losses", "seconds", "metrics_size")
    rewrite(tmp_path / "old", path, tensors, {name: state[name] for name in known})
    list(train(recipe, tmp_path / "old"))
    assert rows(tmp_path / "old") == rows(tmp_path / "whole")


def test_a_checkpoint_that_lacks_an_objectives_state_is_refused(tmp_path: Path) -> None:
    stopped_at(8, tmp_path, REMEMBERING.recipe())
    path, tensors, state = checkpoint(tmp_path)
    rewrite(tmp_path, path, {k: v for k, v in tensors.items() if k != "objective.multiplier"}, state)
    with pytest.raises(CheckpointError, match=r"(?s)not a checkpoint of this network .*multiplier"):
        list(train(REMEMBERING.recipe(), tmp_path))


KINDS: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, Any], str]] = {
    "nan": (lambda loss: loss * math.nan, {}, "the loss is nan"),
    "infinite": (lambda loss: loss + math.inf, {}, "the loss is inf"),
    "gradient": (Poison.apply, {}, r"the gradient's norm is (nan|inf)"),
    "spike": (lambda loss: 1e4 * loss, {"spike": 100.0}, r"the loss is .*, too far above its mean .* for spike 100"),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("harm", "given", "reason"), KINDS.values(), ids=KINDS)
def test_a_harmful_step_is_left_out_without_a_trace(
    tmp_path: Path, harm: Callable[[Tensor], Tensor], given: dict[str, Any], reason: str
) -> None:
    recipe = HARMED.recipe(epochs=2, **given)
    HARM.update({4: harm, 5: harm, 9: harm})
    steps: list[StepMetrics] = []
    epochs = list(train(recipe, tmp_path / "whole", on_step=steps.append))
    assert [row.skipped for row in epochs] == [2, 1]
    assert [step.step for step in steps if step.skipped is not None] == [5, 6, 10]
    assert steps[4].skipped is not None
    assert re.match(reason, steps[4].skipped)
    assert epochs[0].loss == pytest.approx(sum(step.loss for step in steps[:4]) / 4)
    assert checkpoint(tmp_path / "whole")[1]["objective.calls"] == 9  # of 12: undone with its step
    stopped_at(5, tmp_path / "parts", recipe)
    list(train(recipe, tmp_path / "parts"))
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert (tmp_path / "parts/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


@pytest.mark.parametrize(("spike", "skipped"), [({}, 1), ({"spike": None}, 0)])
def test_a_loss_far_above_those_before_is_left_out_unless_the_recipe_says_otherwise(
    tmp_path: Path, spike: dict[str, None], skipped: int
) -> None:
    HARM[4] = lambda loss: 1e6 * loss
    (row,) = train(replace(HARMED.recipe(epochs=1), **spike), tmp_path)  # type: ignore[arg-type]
    assert row.skipped == skipped


@pytest.mark.parametrize(("level", "loss", "harm"), [(-50, -50, False), (0, 1e-9, False), (-1, 2, True), (1, 3, True)])
def test_a_spike_is_told_by_its_height_above_losses_of_any_sign(level: float, loss: float, harm: bool) -> None:
    recipe = replace(HARMED.recipe(), spike=2.0)
    assert bool(loss_trouble(recipe, Position(level=level), loss)) is harm


def test_a_first_bound_is_held_against_no_natural_loss() -> None:
    position, recipe = Position(level=2.0), HARMED.recipe()
    compared(position, robust=False)
    assert loss_trouble(recipe, position, 1e6) is not None
    compared(position, robust=True)
    assert loss_trouble(recipe, position, 1e6) is None
    taken(position, 1e6)
    compared(position, robust=True)
    assert loss_trouble(recipe, position, 1e11) is not None
    assert position.next_epoch(0.0, 0).robust


def test_too_many_harmful_steps_in_a_row_end_the_run_with_its_reason(tmp_path: Path) -> None:
    HARM.update({step: lambda loss: loss * math.nan for step in range(4, 8)})
    recipe = HARMED.recipe()
    with pytest.raises(Diverged, match=r"the loss is nan at epoch 2, batch 2 .*after 4 steps in a row .*smaller lr"):
        list(train(recipe, tmp_path))
    assert [row["skipped"] for row in read_metrics(tmp_path)] == [2]
    assert not (tmp_path / "model.safetensors").exists()
    _, tensors, state = checkpoint(tmp_path)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert (state["epoch"], state["streak"], state["diverged"]) == (1, 4, "the loss is nan")
    HARM.clear()  # as another draw of an attack may do
    with pytest.raises(Diverged, match=r"the loss is nan at epoch 2, batch 2 .*after 4 steps in a row"):
        list(train(recipe, tmp_path))


def test_another_torch_version_is_warned_of(tmp_path: Path) -> None:
    recipe = HARMED.recipe(epochs=2)
    next(train(recipe, tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"torch": "1.0"}))
    with pytest.warns(UserWarning, match=r"begun with torch 1\.0, goes on with"):
        list(train(recipe, tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(train(recipe, tmp_path)) == []  # a finished run has nothing to go on with


def test_weights_that_are_not_numbers_never_become_a_model(tmp_path: Path) -> None:
    """The last step of a training ruins the weights, so that no loss shows it."""
    from absdomain.trainers.run import loop

    recipe = HARMED.recipe(epochs=1)

    def ruin(metrics: StepMetrics) -> None:
        if metrics.step == metrics.steps:
            with torch.no_grad():
                next(SESSIONS[-1].objective.network.parameters()).fill_(math.nan)

    SESSIONS: list[Any] = []
    start = loop.start
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "start", lambda *args: SESSIONS.append(start(*args)) or SESSIONS[-1])
        with pytest.raises(Diverged, match="a weight is not finite at epoch 1"):
            list(train(recipe, tmp_path, on_step=ruin))
    assert read_metrics(tmp_path) == []
    assert not (tmp_path / "model.safetensors").exists()


def test_gradients_are_cut_to_their_limit(tmp_path: Path) -> None:
    recipe = Recipe(
        trainer="natural", optimiser="sgd", momentum=0.0, lr=1.0, gradient_norm=0.5, **SHORT | {"epochs": 1}
    )
    taken: list[list[Tensor]] = []

    from absdomain.trainers.run import loop

    start = loop.start
    with pytest.MonkeyPatch.context() as patch:

        def watched(*args: Any) -> Any:
            session = start(*args)
            parameters = list(session.objective.parameters())
            session.optimiser.register_step_pre_hook(lambda *_: taken.append([p.grad.clone() for p in parameters]))
            return session

        patch.setattr(loop, "start", watched)
        list(train(recipe, tmp_path))
    norms = [torch.cat([gradient.flatten() for gradient in step]).norm().item() for step in taken]
    assert len(norms) == 6
    assert max(norms) == pytest.approx(0.5, rel=1e-4)


def test_held_out_errors_are_measured_at_the_radius_to_be_certified(tmp_path: Path) -> None:
    given = SHORT | {
        "trainer": "ibp",
        "domain": "box",
        "eps": 0.01,
        "kappa_end": 0.5,
        "epochs": 2,
        "ramp": 1.0,
        "lr": 0.01,
    }
    plain, other = Recipe(**given), Recipe(**given, eps_eval=0.001)
    assert (plain.certified_eps, other.certified_eps) == (0.01, 0.001)
    own: list[Metrics] = list(train(plain, tmp_path / "plain"))
    ours: list[Metrics] = list(train(other, tmp_path / "other"))
    assert [(row.eps, row.eps_eval) for row in ours] == [(own[0].eps, 0.001), (0.01, 0.001)]
    assert [row.eps_eval for row in own] == [row.eps for row in own]
    assert (tmp_path / "plain/model.safetensors").read_bytes() == (tmp_path / "other/model.safetensors").read_bytes()
    assert ours[-1].verified_error is not None
    assert own[-1].verified_error is not None
    assert ours[-1].verified_error < own[-1].verified_error
    assert ours[-1].clean_error == own[-1].clean_error


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("trainer", "given", "shown"),
    [
        ("ibp(weight=adaptive)", {"domain": "box"}, {"lambda"}),
        ("singleprop", {"domain": "symbolic_gap", "clip": False}, {"lambda"}),
        ("trades(steps=2)", {}, {"attack_error", "train_attack_error"}),
        ("fgsm", {}, {"attack_error", "train_attack_error"}),
        (
            "advibp(natural=0.2, hold=0.0, decay=0.5)",
            {"domain": "box"},
            {
                "fosc",
                "fosc_reached",
                "loss_attacked",
                "loss_bound",
                "opposed",
                "train_attack_error",
                "weight_attacked",
                "weight_bound",
            },
        ),
        ("sabr", {"domain": "box"}, {"regulariser", "small_box_error"}),
        ("mtl-ibp(alpha=0.1, regularise=0.0)", {"domain": "box"}, {"train_attack_error"}),
    ],
)
def test_the_methods_resume(tmp_path: Path, trainer: str, given: dict[str, Any], shown: set[str]) -> None:
    phases = {"lr": 0.01, "epochs": 2, "eps": 0.01, "warmup": 0.5, "ramp": 1.0, "kappa_start": 0.0, "kappa_end": 0.0}
    recipe = Recipe(trainer=trainer, **SHORT | phases | given)
    list(train(recipe, tmp_path / "whole"))
    for step in (6, 8):
        stopped_at(step, tmp_path / "parts", recipe)
    list(train(recipe, tmp_path / "parts"))
    assert (tmp_path / "parts/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    first, last = rows(tmp_path / "whole")
    assert last["clean_error"] < min(first["clean_error"], 0.5)
    assert shown == set(last["more"])


def test_a_start_radius_begins_the_ramp() -> None:
    recipe = Recipe(eps=0.1, eps_start=0.01, warmup=1.0, ramp=2.0, epochs=4)
    assert [recipe.at(step, 10).eps for step in (0, 9, 10, 20, 30)] == pytest.approx([0.0, 0.0, 0.01, 0.055, 0.1])


def test_a_batch_of_one_image_is_refused_to_a_batch_norm(tmp_path: Path) -> None:
    recipe = Recipe(data="digits", network="cnn7", batch=32, images=97, validation=20, epochs=1)
    with pytest.raises(RecipeError, match=r"batch: 32 cannot be used; of 97 images one would be left"):
        next(train(replace(recipe, trainer="natural"), tmp_path))
