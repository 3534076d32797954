"""What a training says of itself: a row for each step, for progress displays, and one for each epoch, which is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from absdomain.trainers.recipe import Values
from absdomain.trainers.run.session import Session


@dataclass(frozen=True)
class StepMetrics:
    """One step, for progress displays; errors are of this batch, None where the method did not compute them."""

    epoch: int
    step: int
    steps: int  # of the whole training
    loss: float
    values: Values
    clean_error: float | None
    verified_error: float | None
    skipped: str | None = None  # why the step was left out
    more: dict[str, float] = field(default_factory=dict)  # what else the method saw

    @property
    def told(self) -> str:
        """For a progress display, parts between two spaces, those first that are read first."""
        rates = rated("batch", self.clean_error, self.verified_error)
        return "  ".join([*rates, f"loss {self.loss:.3f}", f"eps {self.values.eps:.4g}"])


@dataclass(frozen=True)
class Metrics:
    """One epoch. Errors are in [0, 1], on the held-out images."""

    epoch: int  # counted from 1
    step: int
    loss: float  # mean of the epoch's steps
    eps: float  # at the epoch's end, as are kappa and beta
    kappa: float
    beta: float
    lr: float
    clean_error: float | None  # None without held-out images
    verified_error: float | None  # None where the method bounds nothing, too
    seconds: float  # of training so far, without interruptions
    eps_eval: float = 0.0  # the radius of verified_error: the recipe's eps_eval, or else `eps`
    skipped: int = 0  # steps that were left out, for a loss or gradient that was not finite or far too large
    more: dict[str, float] = field(default_factory=dict)  # what the method reports, and means of what its steps saw

    @property
    def told(self) -> str:
        """For a progress display, parts between two spaces, those first that are read first."""
        return "  ".join([*self.rates, f"loss {self.loss:.3f}", f"eps {self.eps:.4g}"])

    @property
    def rates(self) -> list[str]:
        """The errors that are known, the verified one first."""
        return rated("held out", self.clean_error, self.verified_error)


def rated(where: str, clean: float | None, verified: float | None) -> list[str]:
    """Those errors that are known, each by itself, in percent."""
    known = (("verified", verified), ("clean", clean))
    return [f"{name} error {100 * error:.2f} % ({where})" for name, error in known if error is not None]


SHOWN = ("clean_error", "verified_error")


def errors(where: str, clean: float | None, verified: float | None) -> str:
    """Those that are known, in percent."""
    told = [
        f"{name} {100 * error:.2f} %" for name, error in (("clean", clean), ("verified", verified)) if error is not None
    ]
    return f"error {where}: {', '.join(told)}" if told else ""


def step_metrics(session: Session, step: int, loss: float, seen: dict[str, float]) -> StepMetrics:
    """The row of a step, counted from 0, of this loss; `seen` is what its objective saw on the way."""
    return StepMetrics(
        epoch=session.position.epoch + 1,
        step=step + 1,
        steps=session.recipe.epochs * session.batches,
        loss=loss,
        values=session.objective.values,
        clean_error=seen.get("clean_error"),
        verified_error=seen.get("verified_error"),
        more={name: value for name, value in seen.items() if name not in SHOWN},
    )
