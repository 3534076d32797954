"""Hypothesis strategies: ops with weights, branching graphs, regions of every kind, specifications, whole problems.

    @given(laws.strategies.problems())
    def test_mine(problem): ...

All are built from one function of a `random.Random` each (`absdomain.laws.drawing`, `examples`, `problems`), whose
decisions and numbers hypothesis draws and shrinks (`absdomain.laws.choices`). Every tensor is float64, but where a name
says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from hypothesis import strategies as st

from absdomain.graph import Graph
from absdomain.kinds import Op, Shape
from absdomain.laws import drawing, examples, optima
from absdomain.laws.choices import drawn
from absdomain.laws.drawing import MAKERS, MIXTURE, Maker
from absdomain.laws.examples import REGIONS, Example, RegionMaker
from absdomain.laws.problems import AnyDomain
from absdomain.region import Region
from absdomain.spec import Spec


def ops(makers: Sequence[Maker] = MAKERS) -> st.SearchStrategy[tuple[Op, Shape]]:
    """An op of any of these kinds, with weights, and the shape of an argument that suits it."""
    return drawn(lambda rng: drawing.suited(rng, rng.choice(makers)))


def graphs(makers: Sequence[Maker] = MIXTURE, *, size: int | None = None) -> st.SearchStrategy[Graph]:
    """A graph of about `size` ops: residual sums, concatenations, gates, fan-out, dead branches and chains."""
    return drawn(partial(examples.graph, makers=makers, size=size))


def regions(shape: Shape, *, batch: int = 2, makers: Sequence[RegionMaker] = REGIONS) -> st.SearchStrategy[Region]:
    """A region of any kind around points of this shape: wide, narrow, of radius 0, and mixed entry by entry."""
    return drawn(lambda rng: rng.choice(makers)(rng, batch, shape))


def specs(outputs: int, *, batch: int = 2) -> st.SearchStrategy[Spec]:
    """Margins, targets, half-spaces or any functionals of so many outputs."""
    return drawn(lambda rng: examples.spec(rng, batch, outputs))


def problems(
    makers: Sequence[Maker] = MIXTURE, *, batch: int = 2, size: int | None = None
) -> st.SearchStrategy[Example]:
    """A graph, a region of its inputs, and for half of them a specification."""
    return drawn(partial(examples.example, makers=makers, batch=batch, size=size))


def solvable() -> st.SearchStrategy[Example]:
    """A small piecewise-linear network and functionals whose exact ends `absdomain.laws.optima.ends` finds."""
    return drawn(optima.network)


def made_for(
    draw: Callable[[AnyDomain, Random], Example], domain: AnyDomain
) -> st.SearchStrategy[tuple[Example, Random]]:
    """The problems that one law is about (`absdomain.laws.problems`, `rounding`), and chance for its points."""
    return drawn(lambda rng: (draw(domain, rng), Random(rng.getrandbits(16))))
