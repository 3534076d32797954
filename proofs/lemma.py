"""Lemmas, their twins, and what a check of them finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from time import process_time
from types import FunctionType
from typing import Any

import absdomain.proofs.kernel.exact_sums  # noqa: F401  # with exact_ops: gives Exact tensors their operations
from absdomain.proofs.kernel.branches import Executed
from absdomain.proofs.kernel.executed import Trace, function, missed, watched
from absdomain.proofs.kernel.world import Refuted, World, explore
from absdomain.registry import find, names

Check = Callable[[World], None]

THEMES = (
    "piecewise", "steps", "elementwise", "smooth", "inverse", "gates", "matmul", "softmax", "slope_range", "affine",
    "windows", "regions", "substitution",
    "domains", "ascent", "combinators", "zonotope",
    "branching", "rounding", "composition", "losses", "crown", "duality", "robustra", "singleprop", "advibp",
    "ball",
)  # fmt: skip
APART = {"ball": "absdomain_check"}  # themes about code that is installed apart, by the extra `certificates`

SYMBOLS = "shipped code on symbols, certificates"
FORMULAS = "shipped code on formulas, sympy"
OPTIMA = "shipped bounds against optima, cvxpy duals"
CASES = "shipped bounds against extrema enclosed by interval arithmetic, at given boxes and slopes"
TERMS = "shipped code on terms"


@dataclass(frozen=True)
class Twin:
    """A falsified form of a lemma: `change` says what differs, and at these values its check must be refuted."""

    change: str
    check: Check
    at: Mapping[str, str | int]


@dataclass(frozen=True)
class Lemma:
    """A statement about shipped code, the checks that together prove it, and twins that must fail."""

    name: str
    statement: str
    about: tuple[Any, ...]  # the shipped functions on which it depends: the checks run every line of them
    checks: tuple[Check, ...]
    twins: tuple[Twin, ...]
    how: str
    assumes: str = "real arithmetic"
    leaves: str = field(kw_only=True)  # what it does not cover

    @property
    def functions(self) -> tuple[FunctionType, ...]:
        """The Python functions of which it speaks, each once."""
        return tuple(dict.fromkeys(map(function, self.about)))


@dataclass(frozen=True)
class Run:
    """One check of a lemma, the processor time that it took, and the functions of the lemma that it ran."""

    check: Check
    seconds: float
    functions: frozenset[FunctionType]


@dataclass(frozen=True)
class Result:
    """What checking one lemma has found; `fault` is empty where all is well."""

    lemma: Lemma
    claims: int
    seconds: float  # of processor time
    fault: str = ""
    runs: tuple[Run, ...] = ()
    executed: tuple[Executed, ...] = ()
    others: tuple[str, ...] = ()  # shipped functions that the checks went through and the lemma does not list


def lemmas() -> dict[str, Lemma]:
    """All lemmas by name: ours in the order of the themes, then those of plug-ins.

    A plug-in names a module with `LEMMAS` under `[project.entry-points."absdomain.lemmas"]`. Errors: ValueError where
    two lemmas have one name, or the module has none.
    """
    found = shipped()
    for name in names("lemmas"):
        for lemma in _of_a_plug_in(name):
            if lemma.name in found:
                raise ValueError(f"the lemma {lemma.name!r} of the plug-in {name!r} is known already; rename it")
            found[lemma.name] = lemma
    return found


def absent() -> list[str]:
    """The themes about code that is not installed."""
    return [theme for theme, package in APART.items() if find_spec(package) is None]


def shipped() -> dict[str, Lemma]:
    """Our lemmas by name, in the order of the themes; without those that are `absent`."""
    found: dict[str, Lemma] = {}
    missing = absent()
    for theme in (theme for theme in THEMES if theme not in missing):
        for lemma in import_module(f"absdomain.proofs.lemmas.{theme}").LEMMAS:
            if lemma.name in found:
                raise ValueError(f"two lemmas are called {lemma.name!r}")
            found[lemma.name] = lemma
    return found


def _of_a_plug_in(name: str) -> tuple[Lemma, ...]:
    own = tuple(getattr(find("lemmas", name), "LEMMAS", ()))
    if not own or not all(isinstance(lemma, Lemma) for lemma in own):
        raise ValueError(f"the plug-in {name!r} has no lemmas; let its module have LEMMAS, a tuple of Lemma")
    return own


def verify(lemma: Lemma, *, branches: bool = False) -> Result:
    """Check the lemma and its twins. An error in a check is a fault as well: the code left what the lemma knows.

    So is a check that claims nothing, and a line of a function that the lemma lists and that no check has run. With
    `branches` the result says, too, which ways of its branches were gone, and through what other functions.
    """
    started, claims, faults, runs = process_time(), 0, [], []
    ran = Trace({})
    try:
        for place, check in enumerate(lemma.checks, 1):
            begun = process_time()
            with watched(lemma.functions, branches) as seen:
                proved = explore(check)
            claims += proved
            faults += [] if proved else [f"check {place} proves no claim at all"]
            entered = frozenset(f for f in lemma.functions if seen.steps[f.__code__])
            runs.append(Run(check, process_time() - begun, entered))
            ran.join(seen)
        faults += [_idle(f.__qualname__, missed(f, ran)) for f in lemma.functions]
    except Exception as error:
        faults.append(f"{type(error).__name__}: {error}")
    faults += [_fault(twin) for twin in lemma.twins]
    executed = tuple(Executed.of(f, ran) for f in lemma.functions) if branches else ()
    told, seconds = "; ".join(filter(None, faults)), process_time() - started
    return Result(lemma, claims, seconds, told, tuple(runs), executed, _others(lemma, ran))


def _others(lemma: Lemma, ran: Trace) -> tuple[str, ...]:
    """The functions of the packages of which a lemma speaks that were run and are not listed; not the prover's own."""
    packages = {f.__module__.partition(".")[0] for f in lemma.functions}
    found = {
        f"{module}.{code.co_qualname}"
        for code, module in ran.others.items()
        if module.partition(".")[0] in packages and not module.startswith("absdomain.proofs.")
    }
    return tuple(sorted(name for name in found if "<" not in name))


def _idle(name: str, lines: list[int]) -> str:
    """That no check runs these lines; empty where there are none."""
    return f"no check runs line {', '.join(map(str, lines))} of {name}, which it lists" if lines else ""


def _fault(twin: Twin) -> str:
    """Why a twin is not refuted as it must be; empty where it is."""
    values = {name: Fraction(value) for name, value in twin.at.items()}
    try:
        twin.check(World(values=values))
    except Refuted:
        return ""
    except Exception as error:
        return f"the twin ({twin.change}) breaks: {type(error).__name__}: {error}"
    return f"the twin ({twin.change}) passes, so that the lemma's check cannot fail"


def spoken_of(lemma: Lemma) -> Iterator[str]:
    """The names of the code that the lemma is about."""
    for f in lemma.functions:
        yield f.__qualname__


def markdown() -> str:
    """The table of all shipped lemmas, as proofs/README.md has it."""
    lines = [
        "| lemma | statement | speaks of | how it is checked | assumes | does not cover |",
        "|---|---|---|---|---|---|",
    ]
    for lemma in shipped().values():
        code = ", ".join(f"`{name}`" for name in spoken_of(lemma))
        twins = "; ".join(twin.change for twin in lemma.twins)
        how = f"{lemma.how}. Twins that fail: {twins}" if twins else lemma.how
        lines.append(f"| `{lemma.name}` | {lemma.statement} | {code} | {how} | {lemma.assumes} | {lemma.leaves} |")
    return "\n".join(lines) + "\n"
