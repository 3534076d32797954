"""{ region <= gamma(lift), op(gamma(e)) <= gamma(transfer(op, e)) } : laws of a domain, tried on random problems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

import torch
from hypothesis import reject

from absdomain.kinds import Affine
from absdomain.laws import problems, promises, proving, rounding
from absdomain.laws.broken import Closest, LawBroken, watched
from absdomain.laws.engine import Engine, Flaky, reproduction
from absdomain.laws.examples import Example
from absdomain.laws.problems import AnyDomain
from absdomain.laws.script import script
from absdomain.laws.strategies import made_for
from absdomain.laws.tally import Tally
from absdomain.laws.tightness import check_tightness
from absdomain.lowering import UnsupportedOp
from absdomain.region import Linf


def of_any(domain: AnyDomain) -> bool:
    """Every domain keeps the law."""
    return True


def of_differentiable(domain: AnyDomain) -> bool:
    """Domains with gradients: not those that ask a solver or search their slopes."""
    return domain.traits.differentiable


def of_monotone(domain: AnyDomain) -> bool:
    """Domains of which it is a theorem: most relaxations choose their slopes by the region, and are not monotone."""
    return domain.traits.monotone


def with_planes(domain: AnyDomain) -> bool:
    """Domains that give planes above their elements (`Domain.planes`)."""
    return domain.planes(domain.lift(Linf(torch.zeros(1, 1, dtype=torch.float64), 1.0))) is not None


@dataclass(frozen=True)
class DomainLaw:
    """What a domain promises on the problems that `draw` gives; `check` raises LawBroken. Public: write your own.

    `binds` says which domains the law is asked of; `most` is the number of problems beyond which it is not worth its
    time; `dtype` is that of its problems, and `extreme` says that rounding is large in them.
    """

    check: Callable[[AnyDomain, Example, Random], None]
    draw: Callable[[AnyDomain, Random], Example] = problems.anything
    binds: Callable[[AnyDomain], bool] = of_any
    most: int | None = None
    dtype: torch.dtype = torch.float64
    extreme: bool = False

    def __str__(self) -> str:
        return self.check.__name__


RAISES = "a domain raises nothing"
LAWS = (
    DomainLaw(promises.contains),
    DomainLaw(promises.contains_where_branches_meet, problems.meeting),
    DomainLaw(promises.contains_when_frozen),
    DomainLaw(promises.never_beyond_the_optimum, problems.solved, most=500),  # four mixed-integer programs each
    DomainLaw(promises.planes_lie_above, binds=with_planes),
    DomainLaw(promises.reads_one_element),
    DomainLaw(promises.boxes_where_asked),
    DomainLaw(promises.meets_in_any_order, problems.generic),
    DomainLaw(promises.samples_are_independent, problems.generic),
    DomainLaw(promises.elision_is_never_looser, problems.with_a_last_layer),
    DomainLaw(promises.exact_at_a_point, problems.one_point),
    DomainLaw(promises.exact_where_affine, problems.affine),
    DomainLaw(promises.monotone, binds=of_monotone),
    DomainLaw(promises.differentiable, problems.generic, of_differentiable),
    DomainLaw(promises.nan_proves_nothing, problems.poisoned),
    DomainLaw(promises.holds_a_curve, problems.curve),
    DomainLaw(proving.decides),
    DomainLaw(proving.proves, problems.provable),
    DomainLaw(proving.keeps_its_dtype, rounding.single, dtype=torch.float32),
    DomainLaw(proving.holds_where_rounding_is_large, rounding.extreme, extreme=True),
    DomainLaw(
        proving.holds_where_rounding_is_large_in_float32, rounding.extreme_single, dtype=torch.float32, extreme=True
    ),
)
Watch = Callable[[DomainLaw, Tally], None]  # after each problem: the law, and all counts


def named(*names: str) -> tuple[DomainLaw, ...]:
    """The laws of these names."""
    known = {str(law): law for law in LAWS}
    for name in names:
        if name not in known:
            raise ValueError(f"no law is called {name!r}; there are {', '.join(known)}")
    return tuple(known[name] for name in names)


def check_domain(
    domain: AnyDomain,
    *,
    examples: int = 40,
    seed: int = 0,
    laws: Sequence[DomainLaw] = LAWS,
    median_slack: float | None = None,
    shrink: bool = True,
    database: Path | None = None,
    reproduce: str | None = None,
    watch: Watch | None = None,
) -> Tally:
    """Every law that binds a domain, on the simplest problem and `examples` others; what was tried is returned.

    Raises LawBroken with the values, a script of a few lines that poses the smallest problem again, and its
    reproduction. Hypothesis draws and shrinks the problems: the same seed gives the same ones. A domain that is not
    SOUND is spared only the laws that values are held. A problem that a domain refuses with UnsupportedOp is counted
    as refused, and another is drawn in its place.

    median_slack: under which the median slack against the exact ends of as many networks must lie, as a share
    of the exact range; the quantiles are in the tally. database: a folder in which hypothesis keeps what broke a law,
    and from which it tries that first; none by default. reproduce: the `reproduction` of a LawBroken, which alone is
    tried, by one law. watch: called after each problem, to show progress.
    """
    asked, tally = [law for law in laws if law.binds(domain)], Tally()
    if reproduce is not None and len(asked) != 1:
        raise ValueError(f"a reproduction is of one law, and {len(asked)} are asked; give laws=named(...) of one")
    for law in asked:
        count = examples if law.most is None else min(examples, law.most)
        engine = Engine(count, seed, shrink, None if database is None else _folder(database, law, domain), reproduce)
        _Trial(law, domain, tally, watch).run(engine)
    if median_slack is not None:
        tally.slack = check_tightness(domain, median=median_slack, networks=examples, seed=seed)
    return tally


def _folder(database: Path, law: DomainLaw, domain: AnyDomain) -> Path:
    """Of what a domain broke a law with."""
    return database / str(law) / sha256(str(domain).encode()).hexdigest()[:16]


class _Trial:
    """One law of one domain on many problems."""

    def __init__(self, law: DomainLaw, domain: AnyDomain, tally: Tally, watch: Watch | None) -> None:
        self.law, self.domain, self.tally, self.watch = law, domain, tally, watch
        self.closest = tally.closest.setdefault(str(law), Closest())
        self.failed: tuple[Example, LawBroken] | None = None  # the last one that hypothesis tried is its smallest

    def run(self, engine: Engine) -> None:
        """As many problems as the engine draws; raises LawBroken."""
        name, refused = str(self.law), self.tally.refused
        try:
            engine.run(made_for(self.law.draw, self.domain), self.hold)
        except (LawBroken, Flaky) as error:
            raise self.told(error, engine) from error.__cause__
        if refused[name] and not self.tally.tried[name]:
            raise LawBroken(name, f"{self.domain} refuses all {refused[name]} problems, so that nothing is tried")

    def hold(self, posed: tuple[Example, Random]) -> None:
        """The law on one problem; raises LawBroken, or what makes hypothesis draw another."""
        problem, rng = posed
        with watched(self.closest):
            broken = _breach(self.law, self.domain, problem, rng)
        if isinstance(broken, LawBroken):
            self.failed = problem, broken
            raise broken
        if broken is not None:
            self.tally.refused[str(self.law)] += 1
            reject()
        self.tally.count(problem, str(self.law))
        if self.watch is not None:
            self.watch(self.law, self.tally)

    def told(self, error: Exception, engine: Engine) -> LawBroken:
        """The breach, with a script of its problem and what poses it again."""
        assert self.failed is not None
        (problem, last), again = self.failed, engine.reproduce or reproduction(error)
        flaky = "\nThe same problem kept the law when it was tried again." if isinstance(error, Flaky) else ""
        text = f"{last.message}{flaky}\n{self.domain} breaks the law `{self.law}` (seed {engine.seed}):"
        return LawBroken(last.law, text, script=script(problem, self.domain), reproduction=again)


def _breach(law: DomainLaw, domain: AnyDomain, problem: Example, rng: Random) -> LawBroken | UnsupportedOp | None:
    """How the law is broken, or the domain's refusal of the problem."""
    try:
        law.check(domain, problem, rng)
    except (LawBroken, UnsupportedOp) as told:
        return told
    except Exception as error:  # a plug-in may fail in any way
        raised = LawBroken(RAISES, f"{type(error).__name__}: {error}{_failing(domain, problem)}")
        raised.__cause__ = error
        return raised
    return None


def _failing(domain: AnyDomain, problem: Example) -> str:
    """Where a domain that is carried over the graph fails, and by which step the elements there were made; or ""."""
    made: list[tuple[object, str]] = []
    for node in problem.graph.nodes:
        given = [made[a] for a in node.args]
        step = "lift" if node.op is None else f"{'affine' if isinstance(node.op, Affine) else 'relax'}({node.op})"
        try:
            e = domain.lift(problem.region) if node.op is None else domain.transfer(node.op, *(e for e, _ in given))
            made.append((e, f"the {type(e).__name__} that {step} at node {node.name!r} gave"))
            given, step = made[-1:], "bounds"
            domain.bounds(e)
        except Exception:
            told = ", ".join(text for _, text in given)
            return f"; raised by {step}" + (f", given {told}" if told else "")
    return ""
