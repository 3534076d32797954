"""What the command `fuzz` does: the laws of a domain on many random problems, with progress, counts and the slack."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from absdomain.laws.broken import LawBroken
from absdomain.laws.domains import LAWS, DomainLaw, check_domain, named
from absdomain.laws.problems import AnyDomain
from absdomain.laws.tally import Tally
from absdomain.laws.tightness import Slack, slack_of
from absdomain.runtime.progress import progress
from absdomain.runtime.units import HERE, Mapper, Tell, in_order

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
    mapper: Mapper = HERE,
) -> Outcome:
    """Every law that binds the domain, each on the simplest problem and `examples` others; raises LawBroken.

    Of laws that are broken, the first one's, in whatever order the mapper has them tried.
    """
    asked = [law for law in laws if law.binds(domain)]
    counts = [1 + (examples if law.most is None else min(examples, law.most)) for law in asked]
    if reproduce is not None and len(asked) != 1:
        raise ValueError(f"a reproduction is of one law, and {len(asked)} are asked; give --laws of one")
    work = _Trying(domain, examples, seed, None if database is None else database.resolve(), reproduce)
    tally, seconds, tried = Tally(), dict[str, float](), [0.0] * len(asked)
    with progress(f"fuzz {domain}", sum(counts)) as show:

        def watch(place: int, done: float, text: str) -> None:
            tried[place] = done
            show(sum(tried), text or str(asked[place]))

        found = mapper.map(work, asked, [f"{law} of {domain}" for law in asked], watch)
        with closing(found):
            for place, (one, time_taken) in enumerate(in_order(found)):
                if isinstance(one, LawBroken):
                    raise one
                watch(place, counts[place], str(asked[place]))
                tally.add(one)
                seconds[str(asked[place])] = time_taken
    return Outcome(str(domain), tally, slack_of(domain, networks=min(examples, _NETWORKS), seed=seed), seconds)


@dataclass(frozen=True)
class _Trying:
    """What was tried of a law, or how it is broken; and the seconds that it took."""

    domain: AnyDomain
    examples: int
    seed: int
    database: Path | None
    reproduce: str | None

    def __call__(self, law: DomainLaw, tell: Tell) -> tuple[Tally | LawBroken, float]:
        def watch(law: DomainLaw, tally: Tally) -> None:
            tell(tally.tried[str(law)], f"{law} {tally.tried[str(law)]}")

        began = time.perf_counter()
        found: Tally | LawBroken
        try:
            found = check_domain(
                self.domain, examples=self.examples, seed=self.seed, laws=[law], database=self.database,
                reproduce=self.reproduce, watch=watch,
            )  # fmt: skip
        except LawBroken as broken:
            found = broken
        return found, time.perf_counter() - began


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
