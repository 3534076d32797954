"""AdvIBP's three update directions: what each projects onto, and that each descends."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import sympy
import torch
from torch import Tensor

from absdomain.proofs.kernel.exact import assume, number, prove_zero, reals, tensor
from absdomain.proofs.kernel.polynomial import Poly
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import FORMULAS, SYMBOLS, Check, Lemma, Twin
from absdomain.trainers import directions
from absdomain.trainers.directions import Gram, gram

Rule = Callable[..., tuple[Tensor, Tensor]]


def moments(world: World) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two moments in the plane that they span, with their lengths: m_1 along the first axis."""
    m1, m2 = reals(world, "m1", 1, 1), reals(world, "m2", 1, 2)
    v2 = reals(world, "v2", 1, 1)
    assume(world, m1, v2, strict=True)
    for p in ((m2 * m2).sum() - (v2 * v2).sum(),):
        world.assume_zero(number(p))
    first = tensor(world, number(m1), 0)
    return first, m2, m1, v2


def parts_of_the_bisector(world: World) -> None:
    """<m_2, m_2> / v_2^2 = 1 and <m_1, m_2> / (v_1 v_2) >= 0: the bisector is not 0."""
    m1, m2, v1, v2 = moments(world)
    own = number(inner(m2, m2) / (v2 * v2))
    world.derive(own - 1, "a unit vector")
    world.derive(1 - own, "a unit vector")
    world.derive(number(2 * inner(m1, m2) / (v1 * v2)), "the cosine")


def inner(a: Tensor, b: Tensor) -> Tensor:
    """<a, b>, (1, 1)."""
    return (a * b).sum(1, keepdim=True)


def step(world: World, rule: Rule | None, *, second_first: bool) -> tuple[Tensor, ...]:
    """The step d = k_1 m_1 + k_2 m_2, the moments and their lengths."""
    m1, m2, v1, v2 = moments(world)
    products = Gram(inner(m1, m1), inner(m1, m2), inner(m2, m2))
    k1, k2 = (rule or directions.weights)(products, v1, v2, second_first=second_first)
    return k1 * m1 + k2 * m2, m1, m2, v1, v2


def agreeing(rule: Rule | None = None) -> Check:
    """<m_1, m_2> > 0: d is the projection of the mean onto the bisector, and descends for both losses."""

    def check(world: World) -> None:
        assume(world, reals(world, "m2", 1, 2)[:, :1], strict=True)
        parts_of_the_bisector(world)
        d, m1, m2, v1, v2 = step(world, rule, second_first=False)
        bisector = m1 * v2 + m2 * v1  # v1 v2 b: its direction, without a division
        prove_zero(world, inner((m1 + m2) / 2 - d, bisector), "(m_1 + m_2) / 2 - d is orthogonal to b")
        prove_zero(world, d[:, :1] * bisector[:, 1:] - d[:, 1:] * bisector[:, :1], "d is along b")

    return check


def opposed(second_first: bool, rule: Rule | None = None) -> Check:
    """<m_1, m_2> <= 0: d leaves the other loss unchanged to first order, and <d, m> = |d|^2 for the first one's m."""

    def check(world: World) -> None:
        assume(world, -reals(world, "m2", 1, 2)[:, :1])
        d, m1, m2, _, _ = step(world, rule, second_first=second_first)
        kept, other = (m2, m1) if second_first else (m1, m2)
        prove_zero(world, inner(d, other), "d is orthogonal to the other moment")
        prove_zero(world, inner(d, kept - d), "<d, m> = |d|^2")

    return check


def descends(world: World) -> None:
    """L(w - eta d) <= L(w) - eta (1 - K eta / 2) |d|^2 for a loss of smoothness K whose gradient has <g, d> >= |d|^2.

    From L(w - eta d) <= L(w) - eta <g, d> + K eta^2 |d|^2 / 2, which is what smoothness says.
    """
    before, after, eta, smooth, slope, square = (world.real(n) for n in ("L", "after", "eta", "K", "gd", "dd"))
    for p in (eta, smooth, square, slope - square):
        world.assume(p)
    world.assume(before - eta * slope + smooth * eta * eta * square * Fraction(1, 2) - after)
    world.prove(before - eta * square + smooth * eta * eta * square * Fraction(1, 2) - after, "the descent step")


def example(world: World) -> None:
    """Exact values: agreeing moments, and opposed ones with either loss first."""
    cases: tuple[tuple[tuple[int, ...], tuple[Fraction, ...], bool, tuple[str, str]], ...] = (
        ((3, 4), (Fraction(4), Fraction(3)), False, ("1/2", "1/2")),
        ((2, 0), (Fraction(3, 5), Fraction(4, 5)), False, ("3/8", "3/4")),
        ((2, 0), (Fraction(-3, 5), Fraction(4, 5)), False, ("1", "6/5")),
        ((2, 0), (Fraction(-3, 5), Fraction(4, 5)), True, ("3/10", "1")),
    )
    for first, second, second_first, expected in cases:
        m1, m2 = (tensor(world, *(Poly.of(p) for p in m)) for m in (first, second))
        products = gram([m1], [m2])
        lengths = [tensor(world, world.root(number(p))).view(()) for p in (products.first, products.second)]
        found = directions.weights(products, *lengths, second_first=second_first)
        for k, value in zip(found, expected, strict=True):
            world.prove_zero(number(k) - Fraction(value), f"m = {first}, {second}")


def longer(world: World) -> None:
    """|m_k| < v_k: <m_k, m_k> / v_k of the step along the bisector is v_k with `long_step`; |m_k| = v_k changes
    none.
    """

    def found(lengths: tuple[int, int], long_step: bool) -> tuple[Tensor, Tensor]:
        products = Gram(*(tensor(world, Poly.of(p)).view(()) for p in (Fraction(9), Fraction(9, 5), Fraction(1))))
        v1, v2 = (tensor(world, Poly.of(Fraction(v))).view(()) for v in lengths)
        return directions.weights(products, v1, v2, second_first=False, long_step=long_step)

    for lengths, long_step, expected in (
        ((6, 2), False, ("1/3", "1")), ((6, 2), True, ("23/24", "23/8")), ((3, 1), True, ("1/3", "1")),
    ):  # fmt: skip
        for k, value in zip(found(lengths, long_step), expected, strict=True):
            world.prove_zero(number(k) - Fraction(value), f"lengths {lengths}, long_step={long_step}")


def without_a_moment(world: World) -> None:
    """A moment of length 0 has no say: the other one has weight 1, and where both are 0 each has a half."""
    none, some = torch.tensor(0.0), torch.tensor(2.0)
    for v1, v2, wanted in ((none, some, (0.0, 1.0)), (some, none, (1.0, 0.0)), (none, none, (0.5, 0.5))):
        for first in (False, True):
            products = Gram(v1 * v1, torch.tensor(0.0), v2 * v2)
            found = tuple(float(k) for k in directions.weights(products, v1, v2, second_first=first))
            world.check(found == wanted, f"lengths {float(v1)}, {float(v2)}: weights {found}")


def of_many_parameters(world: World) -> None:
    """The inner products are summed over parameters."""
    m1, m2 = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])], [torch.tensor([-1.0, 4.0]), torch.tensor([[2.0]])]
    found = tuple(float(p) for p in gram(m1, m2))
    world.check(found == (14.0, 13.0, 21.0), f"<m_1, m_1>, <m_1, m_2>, <m_2, m_2> are {found}")


def printed_bound_grows(world: World) -> None:
    """sqrt(1/T) (1 + sum of T terms, each >= 1) >= sqrt(T): theorem 2's bound, as printed, shows no convergence."""
    T = sympy.Symbol("T", positive=True)
    least = sympy.sqrt(1 / T) * (1 + T)
    world.check(
        sympy.simplify(least - sympy.sqrt(T) - 1 / sympy.sqrt(T)) == 0, "its least value is sqrt(T) + 1/sqrt(T)"
    )
    world.check(sympy.limit(least, T, sympy.oo) == sympy.oo, "it grows without bound")


def printed(products: Gram, v1: Tensor, v2: Tensor, *, second_first: bool) -> tuple[Tensor, Tensor]:
    """Line 13 as printed, for equal moments, whose mean has length v_1: gamma / v_k without the bisector's length."""
    return v1 / v1, v1 / v2


def sign_lost(products: Gram, v1: Tensor, v2: Tensor, *, second_first: bool) -> tuple[Tensor, Tensor]:
    """The projection of an opposed moment with the sign turned."""
    k1, k2 = directions.weights(products, v1, v2, second_first=second_first)
    return (-k1, k2) if second_first else (k1, -k2)


OPPOSED: dict[str, str | int] = {"m1": 2, "m200": "-3/5", "m201": "4/5", "v2": 1}

LEMMAS = (
    Lemma(
        "advibp",
        "where the moments agree the step is the projection of their mean onto their bisector; where they oppose, the "
        "step is orthogonal to the other loss's moment and has <d, m> = |d|^2 with its own, so that it descends for "
        "eta < 2 / K. Theorem 2's printed bound is at least sqrt(T): it grows, and shows no convergence",
        (directions.weights, gram),
        (agreeing(), opposed(False), opposed(True), descends, example, longer, without_a_moment,
         of_many_parameters, printed_bound_grows),
        (
            Twin("line 13 as printed, without the bisector's length", agreeing(printed),
                 {"m1": 1, "m200": 1, "m201": 0, "v2": 1}),
            Twin("the sign of the projection", opposed(False, sign_lost), OPPOSED),
            Twin("the sign of the projection, the second loss first", opposed(True, sign_lost), OPPOSED),
        ),
        f"{SYMBOLS}; {FORMULAS}",
        "real arithmetic; v_k = |m_k|; the plane that the moments span; for descent: moments are the gradients, and "
        "the losses smooth",
        leaves="that training converges; moments that are not finite",
    ),
)  # fmt: skip
