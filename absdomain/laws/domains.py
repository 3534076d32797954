"""{ region <= gamma(lift), op(gamma(e)) <= gamma(transfer(op, e)) } : laws of a domain, tried on random problems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch

from absdomain.kinds import Affine
from absdomain.laws import problems, promises, proving, rounding
from absdomain.laws.broken import Closest, LawBroken, watched
from absdomain.laws.examples import Example
from absdomain.laws.problems import AnyDomain
from absdomain.laws.script import script
from absdomain.laws.shrink import shrunk
from absdomain.laws.tally import Tally
from absdomain.laws.tightness import check_tightness
from absdomain.lowering import UnsupportedOp
from absdomain.region import Linf


def of_any(domain: AnyDomain) -> bool:
    """Every domain keeps the law."""
    return True


def of_differentiable(domain: AnyDomain) -> bool:
    """Domains with gradients: not those that ask a solver or search their slopes."""
    return domain.differentiable


def of_monotone(domain: AnyDomain) -> bool:
    """Domains of which it is a theorem: most relaxations choose their slopes by the region, and are not monotone."""
    return domain.monotone


def with_planes(domain: AnyDomain) -> bool:
    """Domains that give planes above their elements (`Domain.above`)."""
    point = torch.zeros(1, 1, dtype=torch.float64)
    try:
        domain.above(domain.lift(Linf(point, 1.0)))
    except TypeError:
        return False
    return True


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
_DRAWS = 200  # before a domain is said to refuse everything
LAWS = (
    DomainLaw(promises.contains),
    DomainLaw(promises.contains_where_branches_meet, problems.meeting),
    DomainLaw(promises.contains_when_frozen),
    DomainLaw(promises.never_beyond_the_optimum, problems.solved, most=500),  # four mixed-integer programs each
    DomainLaw(promises.planes_lie_above, binds=with_planes),
    DomainLaw(promises.reads_one_element),
    DomainLaw(promises.knows_no_neighbour, problems.generic),
    DomainLaw(promises.elision_is_never_looser, problems.with_a_last_layer),
    DomainLaw(promises.exact_at_a_point, problems.one_point),
    DomainLaw(promises.exact_where_affine, problems.affine),
    DomainLaw(promises.monotone, binds=of_monotone),
    DomainLaw(promises.differentiable, problems.generic, of_differentiable),
    DomainLaw(promises.never_proves_nonsense, problems.poisoned),
    DomainLaw(promises.holds_a_curve, problems.curve),
    DomainLaw(proving.decides),
    DomainLaw(proving.proves, problems.provable),
    DomainLaw(proving.keeps_its_dtype, rounding.single, dtype=torch.float32),
    DomainLaw(proving.holds_where_rounding_is_large, rounding.extreme, extreme=True),
    DomainLaw(
        proving.holds_where_rounding_is_large_in_float32, rounding.extreme_single, dtype=torch.float32, extreme=True
    ),
)
Watch = Callable[[DomainLaw, int, Tally], None]  # after each problem: the law, how many were tried, and all counts


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
    watch: Watch | None = None,
) -> Tally:
    """Every law that binds a domain, each on `examples` random problems; what was tried is returned.

    Raises LawBroken with the values and, after shrinking, a script of a few lines that poses the problem again.
    The same seed tries the same problems. A domain that is not SOUND is spared only the laws that values are held. A
    problem that a domain refuses with UnsupportedOp is counted as refused, and another is drawn in its place.

    median_slack: under which the median slack against the exact ends of as many networks must lie, as a share
    of the exact range; the quantiles are in the tally. watch: called after each problem, to show progress.
    """
    tally = Tally()
    for law in laws:
        if not law.binds(domain):
            continue
        closest = tally.closest.setdefault(str(law), Closest())
        count = examples if law.most is None else min(examples, law.most)
        for number in range(count):
            with watched(closest):
                _try(law, domain, f"{seed}.{number}", tally, shrink=shrink)
            if watch is not None:
                watch(law, number + 1, tally)
    if median_slack is not None:
        tally.slack = check_tightness(domain, median=median_slack, networks=examples, seed=seed)
    return tally


def _try(law: DomainLaw, domain: AnyDomain, again: str, tally: Tally, *, shrink: bool) -> None:
    """One problem that the domain does not refuse."""
    for draw in range(_DRAWS):
        problem = law.draw(domain, Random(f"{law}{again}" + (f".{draw}" if draw else "")))
        broken = _breach(law, domain, problem, again)
        if isinstance(broken, LawBroken):
            raise _told(law, domain, problem, again, broken, shrink=shrink)
        if broken is None:
            tally.count(problem, str(law))
            return
        tally.refused[str(law)] += 1
    raise LawBroken(str(law), f"{domain} refuses {_DRAWS} problems in a row, so that nothing is tried: {broken}")


def _breach(law: DomainLaw, domain: AnyDomain, problem: Example, seed: str) -> LawBroken | UnsupportedOp | None:
    """How the law is broken, or the domain's refusal of the problem."""
    try:
        law.check(domain, problem, Random(seed))
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


def _evaluates(problem: Example) -> bool:
    """Whether the graph has a value at all: an op may not suit the shapes of a problem that was cut down."""
    try:
        problem.graph(problem.region.centre)
    except (RuntimeError, ValueError, IndexError):
        return False
    return True


def _told(
    law: DomainLaw, domain: AnyDomain, problem: Example, seed: str, broken: LawBroken, *, shrink: bool
) -> LawBroken:
    """The breach with a script of its shrunk problem."""

    def still(smaller: Example) -> LawBroken | None:
        found = _breach(law, domain, smaller, seed)
        if not isinstance(found, LawBroken) or not _evaluates(smaller):
            return None
        return found if (found.law == RAISES) == (broken.law == RAISES) else None

    small = shrunk(problem, lambda smaller: still(smaller) is not None) if shrink else problem
    last = still(small) or broken
    text = f"{last.message}\n{domain} breaks the law `{law}` (seed {seed}):\n\n{script(small, domain)}"
    told = LawBroken(last.law, text)
    told.__cause__ = last.__cause__
    return told
