"""What the command `fuzz` does: the laws of a domain on many random problems, with progress, counts and the slack."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from absdomain.laws.domains import LAWS, DomainLaw, Watch, check_domain, named
from absdomain.laws.problems import AnyDomain
from absdomain.laws.tally import Tally
from absdomain.laws.tightness import Slack, slack_of
from absdomain.runtime.progress import progress

if TYPE_CHECKING:
    from rich.table import Table

PROFILES = {"fast": 40, "nightly": 10_000}  # problems of each law
_SOLVER = 20  # a domain that asks a solver is given one problem where others are given so many
_NETWORKS = 60  # solved exactly, for the slack


@dataclass(frozen=True)
class Outcome:
    """What was tried on a domain that kept its laws."""

    domain: str
    tally: Tally
    slack: Slack
    seconds: dict[str, float]  # by law


def count(domain: AnyDomain, profile: str) -> int:
    """The problems of each law that a profile asks of a domain."""
    return PROFILES[profile] // (_SOLVER if domain.traits.solved else 1)


def chosen(names: Sequence[str] | None, dtype: str | None, *, extremes: bool) -> tuple[DomainLaw, ...]:
    """The laws of these names, of this dtype, on problems of this kind; ValueError where there is none."""
    dtypes = {"float64": torch.float64, "float32": torch.float32}
    if dtype is not None and dtype not in dtypes:
        raise ValueError(f"no law's problems are in {dtype!r}; there are {', '.join(dtypes)}")
    laws = named(*names) if names else LAWS
    kept = tuple(law for law in laws if (dtype is None or law.dtype == dtypes[dtype]) and (law.extreme or not extremes))
    if not kept:
        raise ValueError(f"none of {', '.join(map(str, laws))} is of {dtype}{' and extreme' if extremes else ''}")
    return kept


def fuzz(
    domain: AnyDomain,
    *,
    examples: int,
    seed: int,
    laws: Sequence[DomainLaw] = LAWS,
    database: Path | None = None,
    reproduce: str | None = None,
) -> Outcome:
    """Every law that binds the domain, each on the simplest problem and `examples` others; raises LawBroken."""
    asked = [law for law in laws if law.binds(domain)]
    total = sum(1 + (examples if law.most is None else min(examples, law.most)) for law in asked)
    seconds: dict[str, float] = {}
    with progress(f"fuzz {domain}", total) as show:
        tally = check_domain(
            domain, examples=examples, seed=seed, laws=asked, database=database, reproduce=reproduce,
            watch=_watch(show, seconds),
        )  # fmt: skip
    return Outcome(str(domain), tally, slack_of(domain, networks=min(examples, _NETWORKS), seed=seed), seconds)


def _watch(show: Callable[[float, str], None], seconds: dict[str, float]) -> Watch:
    """Shows how far it is, and notes the time that each law takes."""
    last = [time.perf_counter()]

    def watch(law: DomainLaw, tally: Tally) -> None:
        now = time.perf_counter()
        seconds[str(law)] = seconds.get(str(law), 0.0) + now - last[0]
        last[0] = now
        show(sum(tally.tried.values()), f"{law} {tally.tried[str(law)]}")

    return watch


def table(outcome: Outcome) -> Table:
    """A row per law: problems, refused ones, problems a second, and how near it came to being broken."""
    from rich.table import Table

    table = Table("law", title=outcome.domain, title_justify="left", caption_justify="left")
    for name in ("problems", "refused", "a second", "worst, of the rounding allowed"):
        table.add_column(name, justify="right")
    tally = outcome.tally
    for law, tried in tally.tried.items():
        worst, speed = tally.closest[law].share, tried / max(outcome.seconds[law], 1e-9)
        table.add_row(
            law, f"{tried}", f"{tally.refused[law]}", f"{speed:.0f}", f"{worst:.1e}" if math.isfinite(worst) else ""
        )
    table.caption = f"{tally}\n{outcome.slack}"
    return table
