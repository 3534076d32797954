"""Branch and bound: multipliers of what a branch knows only lower a bound, and both sides of a threshold are all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from absdomain.branching import climb
from absdomain.branching.target import with_means
from absdomain.linear import Rows
from absdomain.ops import ReLU
from absdomain.proofs.kernel.exact import assume, prove, prove_zero, reals
from absdomain.proofs.kernel.world import World
from absdomain.proofs.lemma import SYMBOLS, Check, Lemma, Twin
from absdomain.spec import Spec

Held = Callable[..., Any]


def multipliers(held: Held = climb._held) -> Check:
    """<c, f(z)> = <c', z> + d on the branch s (z - t) >= 0: the pull with multipliers s stays below it."""

    def check(world: World) -> None:
        z, t, s = (reals(world, name, 2, 1, 2) for name in "zts")
        c, pulled, d = reals(world, "c", 1, 2, 1, 2), reals(world, "p", 1, 2, 1, 2), reals(world, "d", 1, 2)
        assume(world, s * (z - t))
        for constant in (d, None):
            seen: dict[Any, Tensor] = {}
            pull = held(ReLU(), lambda rows, k=constant: ((Rows.of(pulled),), k), (s,), (t,), seen)
            (less,), gained = pull(Rows.of(c))
            offset = torch.zeros(1, 2, dtype=torch.float64) if constant is None else constant
            value = (pulled * z).sum((2, 3)) + offset
            rest = value - (less.data * z).sum((2, 3)) - gained
            prove(world, rest, "<c', z> + d is at least the row with multipliers")
            prove_zero(world, next(iter(seen.values())) - c[0], "the rows that are noted are those that came")
        (less,), gained = held(ReLU(), lambda rows: ((Rows.of(pulled),), d), (s * 0,), (t,), None)(Rows.of(c))
        prove_zero(world, less.data - pulled, "no multiplier changes nothing")
        prove_zero(world, gained - d, "no multiplier adds nothing")

    return check


def means(world: World) -> None:
    """Where no row of a group is positive, none of the rows that are added is: they are means of its rows."""
    rows = reals(world, "r", 1, 3)
    spec = with_means(Spec(torch.eye(3, dtype=torch.float64).unsqueeze(0), torch.zeros(1, 3).double(), GROUPS))
    assert spec.groups is not None
    world.check(spec.groups.tolist() == [0, 0, 1, 0], f"groups {spec.groups.tolist()}")
    assume(world, -rows)
    prove(world, -(spec.C[0] * rows).sum(1), "an added row is positive only if one of its group is")
    prove_zero(world, (spec.C[0, :3] * rows).sum(1) - rows[0], "the first rows are those of the property")


GROUPS = torch.tensor([0, 0, 1])


def doubled(op: Any, pull: Any, signed: Any, ends: Any, seen: Any) -> Any:
    """The threshold's part counts twice."""
    return climb._held(op, pull, signed, tuple(2 * t for t in ends), seen)


LEMMAS = (
    Lemma(
        "branching",
        "on s (z - t) >= 0 the row c - s over z with the constant <s, t> bounds the row c from below; means that are "
        "added to a property's groups are positive only if one of their rows is",
        (climb._held, with_means),
        (multipliers(), means),
        (Twin("the threshold counts twice", multipliers(doubled),
              {f"{name}{k}0{n}": int(k + n == 0) for name in "zts" for k in range(2) for n in range(2)}
              | {f"{name}0{k}0{n}": 0 for name in "cp" for k in range(2) for n in range(2)} | {"d00": 0, "d01": 0}),),
        SYMBOLS,
        leaves="how slopes, multipliers and what is split are chosen (any serve); cuts of boxes, which tests hold; "
               "rounding, which `Climb.evaluated` subtracts",
    ),
)  # fmt: skip
