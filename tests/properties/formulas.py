"""Random formulas over a network of two inputs and three outputs, and random points."""

from fractions import Fraction

from hypothesis import strategies as st

from absdomain.properties.box import Range
from absdomain.properties.declared import Declared, Network
from absdomain.properties.formula import Comparison, Formula, Relation, conjunction, disjunction
from absdomain.properties.polynomial import INPUT, ONE, OUTPUT, Polynomial, Variable

X = Declared("N", INPUT, "X", (2,))
Y = Declared("N", OUTPUT, "Y", (3,))
NETWORK = Network("N", (X,), (Y,))
VARIABLES = [X.variable(i) for i in range(2)] + [Y.variable(i) for i in range(3)]

numbers = st.builds(lambda n, places: Fraction(n, 10**places), st.integers(-30, 30), st.integers(0, 2))


def polynomials(degree: int = 1) -> st.SearchStrategy[Polynomial]:
    """Up to three terms and a constant; never a number alone."""
    monomials = st.lists(st.sampled_from(VARIABLES), min_size=1, max_size=degree).map(lambda m: tuple(sorted(m)))
    nonzero = numbers.filter(bool)
    terms = st.dictionaries(monomials, nonzero, min_size=1, max_size=3)
    return st.builds(lambda found, offset: Polynomial({**found, ONE: offset}), terms, numbers)


def formulas(degree: int = 1, relations: tuple[Relation, ...] = tuple(Relation)) -> st.SearchStrategy[Formula]:
    """Comparisons under `and` and `or`."""
    comparisons = st.builds(Comparison, polynomials(degree), st.sampled_from(relations))
    return st.recursive(
        comparisons,
        lambda inner: st.builds(
            lambda join, parts: join(parts),
            st.sampled_from([conjunction, disjunction]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        max_leaves=8,
    )


def boxed(formula: Formula, size: int = 2) -> tuple[Formula, ...]:
    """With both inputs in [-size, size]."""
    ends = [
        Comparison(Polynomial({(v,): Fraction(sign), ONE: Fraction(-size)}), Relation.AT_MOST)
        for v in VARIABLES[:2]
        for sign in (1, -1)
    ]
    return (*ends, formula)


points = st.lists(
    st.one_of(numbers, st.integers(-2, 2).map(Fraction)), min_size=len(VARIABLES), max_size=len(VARIABLES)
).map(lambda values: dict(zip(VARIABLES, values, strict=True)))


def at(point: dict[Variable, Fraction]) -> dict[str, list[Fraction]]:
    """The values by tensor."""
    return {"X": [point[v] for v in VARIABLES[:2]], "Y": [point[v] for v in VARIABLES[2:]]}


def inside(found: Range, value: Fraction) -> bool:
    """Whether a number is in the range, as it is written."""
    low, high = found
    assert low is not None and high is not None
    above = value > low.value if low.strict else value >= low.value
    return above and (value < high.value if high.strict else value <= high.value)
