"""What the checker sets aside for rounding, in symbols: a machine, gamma_n, and facts that add up to certificates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np

from absdomain.proofs.kernel.machine import Machine, Model, value
from absdomain.proofs.kernel.polynomial import Poly
from absdomain.proofs.kernel.world import World
from absdomain_check import ball, bounds
from absdomain_check.ball import gamma, largest


@contextmanager
def machine(world: World) -> Iterator[Model]:
    """The checker on a machine with the unit roundoff u, and no numbers below the normal ones."""
    model = Model(world)
    with patch.object(ball, "U", model.paid(model.u)), patch.object(ball, "ETA", 0), patch.object(bounds, "TINY", 0):
        yield model


def known(model: Model, n: int) -> Poly:
    """gamma_n, of which it is proved that gamma_n >= n u + n^2 u^2 and, to be used, that gamma_n <= 1 / 4."""
    world, u, found = model.world, model.u, value(gamma(n))
    world.prove(found * (1 - n * u) - n * u, "gamma_n >= n u / (1 - n u)")
    if world.values is None:
        ratio = world.quotient(n * u, 1 - n * u)
        world.derive(ratio, "n u / (1 - n u) >= 0")
        world.times(u, ratio)
        world.derive(ratio - n * u, "n u / (1 - n u) >= n u")
        world.times(u, ratio - n * u)
        world.derive(found - n * u - n * n * u * u, "gamma_n >= n u + n^2 u^2")
        world.derive(1 - 4 * found, "gamma_n <= 1 / 4")
        world.derive(found, "gamma_n >= 0")
    return found


class Paying:
    """A point z of a box, and what is recalled of errors and allowances, so that a sum of facts is the certificate."""

    def __init__(self, model: Model) -> None:
        self.model, self.world = model, model.world
        low, high, z = (model.number(name) for name in ("low", "high", "z"))
        self.z = z.value
        self.world.assume(self.z - low.value)
        self.world.assume(high.value - self.z)
        self.box = np.array([[low]], dtype=object), np.array([[high]], dtype=object)
        self.most = value(largest(self.box)[0, 0])
        for end in (self.most + self.z, self.most - self.z):
            self.world.derive(end, "|z| is at most the largest")
        self.world.derive(self.most, "the largest is >= 0")

    def size(self, x: Machine) -> Poly:
        """|x|, which is >= 0."""
        found = abs(x).value
        self.world.derive(found, "|x| >= 0")
        return found

    def errors(self, *factors: tuple[Poly, ...]) -> None:
        """Recall u e >= 0, and that times factors, for the two ends e of every rounding; and u (size |z| +- d z)."""
        for d, size in self.model.errors:
            for sign in (1, -1):
                end = size + sign * d
                for more in ((), *factors):
                    self.world.times(self.model.u, end, *more)
                    self.world.times(self.model.u, self.model.u, end, *more)
                self.world.times(self.model.u, end, self.most + sign * self.z)
                self.world.times(self.model.u, end, self.most - sign * self.z)

    def allowed(self, sizes: tuple[Poly, ...], g: Poly, n: int) -> None:
        """Recall that the product of sizes is >= 0, times 1, u and u^2, and times gamma_n and what is known of it."""
        u = self.model.u
        for factors in ((g - n * u - n * n * u * u,), (), (1 - 4 * g,), (g,), (g, 1 - 64 * u)):
            self.world.times(*sizes, *factors)
            self.world.times(*sizes, u, *factors)
            self.world.times(*sizes, u, u, *factors)

    def claim(self, p: Poly, what: str) -> None:
        """p >= 0 is a sum of what is supposed, proved and recalled."""
        self.world.check(self.world.known(p), what)
