"""Hypothesis strategies: ops with weights, branching graphs, regions of every kind, specifications, whole problems.

    @given(laws.strategies.problems())
    def test_mine(problem): ...

All are built from one function of a `random.Random` each (`absdomain.laws.drawing`, `absdomain.laws.examples`), whose
decisions hypothesis draws and shrinks. Every tensor is float64.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from absdomain.graph import Graph
from absdomain.kinds import Op, Shape
from absdomain.laws import drawing, examples
from absdomain.laws.drawing import MAKERS, MIXTURE, Maker
from absdomain.laws.examples import REGIONS, Example, RegionMaker
from absdomain.region import Region
from absdomain.spec import Spec

_chance = st.randoms(use_true_random=False)


def ops(makers: Sequence[Maker] = MAKERS) -> st.SearchStrategy[tuple[Op, Shape]]:
    """An op of any of these kinds, with weights, and the shape of an argument that suits it."""
    return st.tuples(_chance, st.sampled_from(makers)).map(lambda drawn: drawing.suited(*drawn))


def graphs(makers: Sequence[Maker] = MIXTURE, *, size: int | None = None) -> st.SearchStrategy[Graph]:
    """A graph of about `size` ops: residual sums, concatenations, gates, fan-out, dead branches and chains."""
    return _chance.map(lambda rng: examples.graph(rng, makers=makers, size=size))


def regions(shape: Shape, *, batch: int = 2, makers: Sequence[RegionMaker] = REGIONS) -> st.SearchStrategy[Region]:
    """A region of any kind around points of this shape: wide, narrow, of radius 0, and mixed entry by entry."""
    return st.tuples(_chance, st.sampled_from(makers)).map(lambda drawn: drawn[1](drawn[0], batch, shape))


def specs(outputs: int, *, batch: int = 2) -> st.SearchStrategy[Spec]:
    """Margins, targets, half-spaces or any functionals of so many outputs."""
    return _chance.map(lambda rng: examples.spec(rng, batch, outputs))


def problems(
    makers: Sequence[Maker] = MIXTURE, *, batch: int = 2, size: int | None = None
) -> st.SearchStrategy[Example]:
    """A graph, a region of its inputs, and for half of them a specification."""
    return _chance.map(lambda rng: examples.example(rng, makers=makers, batch=batch, size=size))
