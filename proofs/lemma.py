"""Lemmas, their twins, and what a check of them finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from time import process_time
from typing import Any

import absdomain.proofs.exact_sums  # noqa: F401  # with exact_ops: gives Exact tensors their operations
from absdomain.proofs.world import Refuted, World, explore

Check = Callable[[World], None]

THEMES = (
    "piecewise", "elementwise", "smooth", "gates", "softmax", "affine", "regions", "domains", "combinators", "zonotope",
    "composition", "losses", "crown", "duality", "robustra", "singleprop", "advibp",
)  # fmt: skip

SYMBOLS = "shipped code on symbols, certificates"
FORMULAS = "shipped code on formulas, sympy"
OPTIMA = "shipped bounds against optima, cvxpy duals"
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
    about: tuple[Any, ...]  # the shipped objects that the checks run
    checks: tuple[Check, ...]
    twins: tuple[Twin, ...]
    how: str
    assumes: str = "real arithmetic"


@dataclass(frozen=True)
class Result:
    """What checking one lemma has found; `fault` is empty where all is well."""

    lemma: Lemma
    claims: int
    seconds: float  # of processor time
    fault: str = ""


def lemmas() -> dict[str, Lemma]:
    """All lemmas by name, in the order of the themes."""
    found: dict[str, Lemma] = {}
    for theme in THEMES:
        for lemma in import_module(f"absdomain.proofs.{theme}").LEMMAS:
            if lemma.name in found:
                raise ValueError(f"two lemmas are called {lemma.name!r}")
            found[lemma.name] = lemma
    return found


def verify(lemma: Lemma) -> Result:
    """Check the lemma and its twins. An error in a check is a fault as well: the code left what the lemma knows."""
    started, claims = process_time(), 0
    try:
        claims = sum(explore(check) for check in lemma.checks)
        fault = "" if claims else "it proves no claim at all"
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    faults = [fault, *(_fault(twin) for twin in lemma.twins)]
    return Result(lemma, claims, process_time() - started, "; ".join(filter(None, faults)))


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
    for thing in lemma.about:
        code: Any = (
            thing.fget if isinstance(thing, property) else getattr(thing, "rule", thing)
        )  # a slope policy's rule
        yield code.__qualname__


def markdown() -> str:
    """The table of all lemmas, as proofs/README.md has it."""
    lines = ["| lemma | statement | speaks of | how it is checked | assumes |", "|---|---|---|---|---|"]
    for lemma in lemmas().values():
        code = ", ".join(f"`{name}`" for name in spoken_of(lemma))
        twins = "; ".join(twin.change for twin in lemma.twins)
        how = f"{lemma.how}. Twins that fail: {twins}" if twins else lemma.how
        lines.append(f"| `{lemma.name}` | {lemma.statement} | {code} | {how} | {lemma.assumes} |")
    return "\n".join(lines) + "\n"
