"""The real numbers of which a lemma speaks: symbols, what is assumed of them, and what follows.

A check receives a World, takes symbols from it, states hypotheses with `assume`, runs shipped code on the symbols and
states its claims with `prove`. A claim holds for all real values that satisfy the hypotheses, or `Unproved` is raised.

The code's own branches (a comparison of two symbols) are followed both ways: `explore` runs the check once per way. A
maximum is a new symbol m with m >= a, m >= b and m in {a, b}; claims are split into these two cases where they need it.
Given values for the symbols, a World is one point: claims are then evaluated there, and `Refuted` shows a false one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import isqrt

from absdomain.proofs.kernel.cases import Case, Choice, impossible
from absdomain.proofs.kernel.certificate import Fact, contradicts
from absdomain.proofs.kernel.parameter import Parameter
from absdomain.proofs.kernel.polynomial import Poly, Rational

_ROUNDING = 1e-13  # a smaller constant is an allowance for rounding, of which real arithmetic knows none
_TINY = 1e-6  # a smaller one guards a division


class Unproved(AssertionError):
    """No certificate was found for a claim: it is false, or too hard for the method."""


class Refuted(Unproved):
    """A claim is false at the given values."""


class Undefined(ArithmeticError):
    """The code left the reals: a division by what may be 0, a root of what may be negative."""


@dataclass
class World:
    """Real numbers with hypotheses; `values` makes it a single point, `decisions` says how comparisons come out."""

    values: Mapping[str, Rational] | None = None
    decisions: tuple[bool, ...] = ()
    claims: int = 0
    _facts: list[Fact] = field(default_factory=list)
    _zeros: list[Poly] = field(default_factory=list)
    _choices: list[Choice] = field(default_factory=list)
    _made: dict[tuple[str, Poly, Poly], Poly] = field(default_factory=dict)
    _taken: list[bool] = field(default_factory=list)
    tiny: set[str] = field(default_factory=set)
    named: dict[float, Poly] = field(default_factory=dict)  # floats that stand for symbols
    named_sums: list[tuple[tuple[Poly, ...], Poly]] = field(default_factory=list)  # logarithms of sums of exponentials
    open: list[tuple[bool, ...]] = field(default_factory=list)  # the other ways of comparisons met here first

    def real(self, name: str) -> Poly:
        """The real number of this name."""
        if self.values is None:
            return Poly.symbol(name)
        if name not in self.values:
            raise KeyError(f"the counterexample gives no value to {name!r}")
        return Poly.of(self.values[name])

    def constant(self, number: float) -> Poly:
        """A number in the code, exactly; a tiny one (1e-8 in a denominator) stands for any number of its sign."""
        if abs(number) < _ROUNDING:
            return Poly.of(0)
        if number in self.named or self.values is not None or not 0 < abs(number) < _TINY:
            return self.named.get(number) or Poly.of(Fraction(number))
        name = f"tiny_{abs(number):g}"
        if name not in self.tiny:
            self.tiny.add(name)
            self._facts.append(Fact(Poly.symbol(name), strict=True))
        return Poly.symbol(name) if number > 0 else -Poly.symbol(name)

    def assume(self, p: Poly, *, strict: bool = False) -> None:
        """Suppose p >= 0, or with `strict` p > 0."""
        if p.constant is None:
            self._facts.append(Fact(p, strict))
        elif not _true(p.constant, strict):
            raise ValueError(f"the hypotheses do not hold: {p} is negative; give values that satisfy them")

    def assume_zero(self, p: Poly) -> None:
        """Suppose p = 0."""
        if p.constant is None:
            self._zeros.append(p)
        elif p.terms:
            raise ValueError(f"the hypotheses do not hold: {p} is not 0; give values that satisfy them")

    def known(self, p: Poly, *, strict: bool = False, degree: int = 1) -> bool:
        """Whether p >= 0 (p > 0) follows at once: by a nonnegative combination of (products of) the facts."""
        if p.constant is not None:
            return _true(p.constant, strict)
        facts = (*self._facts, Fact(-p, not strict))
        return any(contradicts(facts, tuple(self._zeros), d) for d in range(1, degree + 1))

    def holds(self, p: Poly, *, strict: bool = False) -> bool:
        """Whether p >= 0 (p > 0) in this run; where it is open, both ways are run, one after the other."""
        if self.known(p, strict=strict):
            return True
        if p.constant is not None or self.known(-p, strict=not strict):
            return False
        place = len(self._taken)
        if place == len(self.decisions):
            self.open.append((*self.decisions, False))
            self.decisions = (*self.decisions, True)
        way = self.decisions[place]
        self._taken.append(way)
        self._facts.append(Fact(p, strict) if way else Fact(-p, not strict))
        return way

    def split(self, *ps: Poly) -> None:
        """Run the rest of the check once for every way in which the signs of these numbers can come out."""
        for p in ps:
            self.holds(p)

    def larger(self, a: Poly, b: Poly) -> Poly:
        """max(a, b)."""
        if self.known(a - b):
            return a
        if self.known(b - a):
            return b
        first, second = sorted((a, b), key=repr)
        return self._named("max", first, second, self._define_larger)

    def _define_larger(self, m: Poly, a: Poly, b: Poly) -> None:
        self._facts += [Fact(m - a), Fact(m - b)]
        (name,) = m.symbols
        self._choices.append(Choice(name, a, b))

    def quotient(self, a: Poly, b: Poly) -> Poly:
        """a / b; b must be known to differ from 0."""
        if b.constant:
            return a * (1 / Fraction(b.constant))
        if not (self.known(b, strict=True, degree=2) or self.known(-b, strict=True, degree=2)):
            raise Undefined(f"a division by {b}, which may be 0")
        if a == b:
            return Poly.of(1)
        return self._named("ratio", a, b, lambda q, p, d: self._zeros.append(q * d - p))

    def parameter(self, name: str) -> Parameter:
        """A real number in the shape of a float, for an op's field."""
        return self.encoded(self.real(name))

    def encoded(self, p: Poly) -> Parameter:
        """A float that stands for p."""
        code = 0.7310585786300049 + len(self.named) * 2.0**-30  # any numbers that the code itself does not have
        self.named[code] = p
        return Parameter(self, code)

    def root(self, a: Poly) -> Poly:
        """The square root of a, which must be known to be >= 0."""
        if not self.known(a):
            raise Undefined(f"a root of {a}, which may be negative")
        if a.constant is not None:
            value = Fraction(a.constant)
            found = Fraction(isqrt(value.numerator), isqrt(value.denominator))
            if found * found != value:
                raise Undefined(f"the root of {value} is not rational; give values at which it is")
            return Poly.of(found)
        return self._named("root", a, a, self._define_root)

    def _define_root(self, r: Poly, a: Poly, _: Poly) -> None:
        self._facts.append(Fact(r, self.known(a, strict=True)))
        self._zeros.append(r * r - a)

    def _named(self, kind: str, a: Poly, b: Poly, define: Callable[[Poly, Poly, Poly], None]) -> Poly:
        """The symbol of kind(a, b), made and defined when it is first met."""
        key = (kind, a, b)
        if key not in self._made:
            self._made[key] = Poly.symbol(f"{kind}_{len(self._made):03d}")
            define(self._made[key], a, b)
        return self._made[key]

    def apply(self, name: str, a: Poly) -> Poly:
        """A transcendental function: a polynomial has none."""
        raise Undefined(f"{name}({a}) is no polynomial; take the lemma to Formulas")

    def power(self, a: Poly, exponent: float) -> Poly:
        """a^exponent for a whole exponent >= 0."""
        if exponent < 0 or exponent != int(exponent):
            raise Undefined(f"({a})^{exponent} is no polynomial; take the lemma to Formulas")
        product = Poly.of(1)
        for _ in range(int(exponent)):
            product = product * a
        return product

    def fresh(self, kind: str) -> Poly:
        """A new number that no name was given."""
        if self.values is not None:
            raise Undefined(f"{kind} has no rational value; give a counterexample that does not need it")
        self._made[(kind, Poly.of(len(self._made)), Poly.of(0))] = symbol = Poly.symbol(f"{kind}_{len(self._made):03d}")
        return symbol

    def prove(self, p: Poly, claim: str, *, strict: bool = False) -> None:
        """Show that p >= 0 (p > 0) follows from the hypotheses."""
        if p.constant is not None:
            self.check(_true(p.constant, strict), f"{claim}: {p} is negative")
            return
        self.claims += 1
        case = Case((*self._facts, Fact(-p, not strict)), tuple(self._zeros), tuple(self._choices))
        if not impossible(case, p.symbols):
            raise Unproved(f"{claim}: no certificate that {p} >= 0")

    def square(self, p: Poly) -> None:
        """Recall that p * p >= 0, for a certificate that needs it."""
        self.assume(p * p)

    def times(self, *ps: Poly) -> None:
        """Recall that the product of numbers is >= 0, each of which is supposed or proved to be, for a certificate."""
        known, product = {fact.poly for fact in self._facts}, Poly.of(1)
        for p in ps:
            if p not in known and (p.constant is None or p.constant < 0):
                raise ValueError(f"{p} >= 0 is neither supposed nor proved; derive it first")
            product = product * p
        self.assume(product)

    def derive(self, p: Poly, claim: str) -> None:
        """Prove p >= 0, and use it from now on."""
        self.prove(p, claim)
        self.assume(p)

    def absurd(self, claim: str) -> None:
        """Show that no real point satisfies the hypotheses."""
        case = Case(tuple(self._facts), tuple(self._zeros), tuple(self._choices))
        self.check(self.values is None and impossible(case, frozenset()), f"{claim}: the hypotheses can hold")

    @property
    def possible(self) -> bool:
        """Whether no combination of the facts shows that they contradict each other."""
        return not contradicts(tuple(self._facts), tuple(self._zeros), 1)

    def check(self, holds: bool, claim: str) -> None:
        """A claim that is decided elsewhere: by sympy, or by comparing terms."""
        self.claims += 1
        if not holds:
            raise (Refuted if self.values is not None else Unproved)(claim)

    def prove_zero(self, p: Poly, claim: str) -> None:
        """Show that p = 0 follows from the hypotheses."""
        self.prove(p, claim)
        self.prove(-p, claim)


def _true(value: Rational, strict: bool) -> bool:
    return value > 0 if strict else value >= 0


def explore(check: Callable[[World], None]) -> int:
    """Run the check in every way in which its comparisons can come out; the number of claims proved."""
    claims, possible = 0, False
    pending: list[tuple[bool, ...]] = [()]
    while pending:
        world = World(decisions=pending.pop())
        check(world)
        pending += world.open
        if world.possible:  # of a way that cannot be taken anything follows, so that it does not count
            claims, possible = claims + world.claims, True
    if not possible:
        raise Unproved("the hypotheses contradict each other, so that anything would follow")
    return claims
