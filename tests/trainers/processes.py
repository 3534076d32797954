"""Processes on this machine that work together over gloo, started once for many jobs: each has torch to import."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from absdomain.attack import Pgd
from absdomain.certification import Verdict, certify
from absdomain.data import load
from absdomain.domain import parse
from absdomain.networks import called
from absdomain.runtime.processes import ALONE, World
from absdomain.trainers import (
    Diverged,
    Method,
    Moment,
    Natural,
    Objective,
    Recipe,
    RunError,
    Setup,
    Step,
    StepMetrics,
    method,
    train,
)
from absdomain.trainers.schedules import START

ROOT = Path(__file__).parents[2]
SECONDS = 240.0  # nothing here may hang


class Harmed(Natural):
    """Natural, with a loss that is no number at the second step, in one of the processes."""

    now = 0

    def set(self, *, eps: float, kappa: float, beta: float = 0.0, at: Moment = START) -> None:
        super().set(eps=eps, kappa=kappa, beta=beta, at=at)
        self.now = at.step

    def forward(self, x: Tensor, y: Tensor) -> Step:
        step, world = super().forward(x, y), self.share.world
        return step._replace(loss=step.loss * torch.nan) if self.now == 1 and world.rank == world.size - 1 else step


def harmed(setup: Setup[None]) -> Objective:
    return Harmed(setup.network)


def normed(shape: tuple[int, ...], classes: int, *, normalise: nn.Module | None = None) -> nn.Sequential:
    """Batch norms of both kinds, one of them averaging all batches, and one without weights.

    No bias stands before them: its gradient is 0 but for rounding, which Adam would make as large as any other.
    """
    conv, norm = nn.Conv2d(1, 4, 3, 2, bias=False), nn.BatchNorm2d(4, momentum=None)
    linear, plain = nn.Linear(36, 20, bias=False), nn.BatchNorm1d(20, affine=False)
    return nn.Sequential(conv, norm, nn.ReLU(), nn.Flatten(), linear, plain, nn.ReLU(), nn.Linear(20, classes))


def lopsided(shape: tuple[int, ...], classes: int, *, normalise: nn.Module | None = None) -> nn.Sequential:
    """Two in three neurons are active, which the regulariser of `shi` weighs."""
    hidden, last = nn.Linear(64, 30), nn.Linear(30, classes)
    with torch.no_grad():
        hidden.bias.copy_(torch.linspace(-0.5, 1.0, 30))
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), last)


KNOWN: dict[str, object] = {
    "harmed": Method("harmed", "for tests", harmed, (Recipe(trainer="harmed"),)),
    "bn": normed,
    "lopsided": lopsided,
}


@contextmanager
def registered() -> Iterator[None]:
    """The method and the network above, as if a plug-in had brought them."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (method, called):
            real = module.find
            patch.setattr(module, "find", lambda group, name, real=real: KNOWN.get(name) or real(group, name))
        yield


class Stop(Exception):
    """Thrown out of the callback in the middle of a run."""


def together(where: Path, recipes: dict[str, Recipe], *, stop: int = 0, count: int = 2) -> dict[str, str]:
    """Train the recipes in where/NAME, in so many processes, and certify in `where`; all stop behind step `stop`.

    { name -> what stopped it, "" for nothing }.
    """
    where.mkdir(parents=True, exist_ok=True)
    jobs = {name: recipe.to_json() for name, recipe in recipes.items()}
    (where / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-m", "tests.trainers.processes", str(where), str(stop), str(count)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    started = [
        subprocess.Popen([*command, str(rank)], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(count)
    ]
    try:
        errors = [process.communicate(timeout=SECONDS)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * count, "\n".join(errors)
    (where / "store").unlink(missing_ok=True)
    outcomes = [json.loads((where / f"outcome-{rank}.json").read_text()) for rank in range(count)]
    assert all(outcome == outcomes[0] for outcome in outcomes)
    return dict(outcomes[0])


def run(recipe: Recipe, out: Path, *, stop: int = 0) -> str:
    """Train to the end, or to what stops it, with a checkpoint at each step."""

    def on_step(metrics: StepMetrics) -> None:
        if metrics.step == stop:
            raise Stop(f"at step {stop}")

    try:
        list(train(recipe, out, on_step=on_step, checkpoint_seconds=0.0))
    except (Diverged, RunError, Stop) as reason:
        return str(reason)
    return ""


def certified(file: Path, world: World = ALONE) -> list[Verdict]:
    """The verdicts on some digits of a network that was not trained, in batches of 7."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))
    images, labels = load("digits", "test")[:40]
    domains = [parse("box"), parse("deeppoly")]
    attack = Pgd(steps=2, restarts=1)
    return list(
        certify(network, images, labels, eps=0.02, domains=domains, attack=attack, batch=7, file=file, world=world)
    )


def main(folder: str, stop: str, count: str, rank: str) -> None:
    where, outcome = Path(folder), {}
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{where / 'store'}",
        rank=int(rank),
        world_size=int(count),
        timeout=timedelta(seconds=SECONDS / 2),
    )
    world = World.here()
    with registered():
        for name, content in json.loads((where / "jobs.json").read_text()).items():
            outcome[name] = run(Recipe.from_json(content), where / name, stop=int(stop))
    found = certified(where / "verdicts.jsonl", world)
    outcome["verdicts"] = json.dumps([verdict.to_json() for verdict in sorted(found, key=lambda v: v.index)])
    (where / f"outcome-{rank}.json").write_text(json.dumps(outcome))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
