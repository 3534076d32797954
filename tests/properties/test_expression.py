"""Python expressions: what they mean, how they print, and what they refuse."""

import pickle
from fractions import Fraction

import networkx
import pytest
import torch
from hypothesis import given

from absdomain import Graph, PropertyError, unsafe, variables
from absdomain.ops import Dense
from absdomain.properties import Property, Variables, all_of, any_of
from absdomain.properties.decimals import exact, from_number, from_text, to_text
from absdomain.properties.formula import And, Formula, Or, Relation
from absdomain.vnnlib import parse_property
from tests.properties.formulas import NETWORK, at, boxed, formulas, numbers, points


def net(inputs: int = 2, outputs: int = 3) -> Graph:
    digraph: networkx.DiGraph[str] = networkx.DiGraph()
    digraph.add_node("x", shape=(inputs,))
    digraph.add_node(
        "y", op=Dense(torch.arange(inputs * outputs).reshape(1, outputs, inputs) / 8, torch.zeros(1, outputs))
    )
    digraph.add_edge("x", "y")
    return Graph(digraph)


@pytest.fixture
def named() -> tuple[Variables, ...]:
    return variables(net())


def test_expressions_are_formulas(named: tuple[Variables, ...]) -> None:
    x, out = named
    formula = (out[0] - out[1] > 0.1) | (2 * out[2] <= 1 + x[0]) & (x[1] != 3)
    assert str(formula) == "(or (> (- Y[0] Y[1]) 0.1) (and (>= (- X[0] (* 2 Y[2])) -1) (!= X[1] 3)))"
    assert isinstance(formula, Or)
    assert isinstance(formula.parts[1], And)
    assert formula == (out[0] > out[1] + Fraction(1, 10)) | ((out[2] + out[2] <= x[0] + 1) & (x[1] != 3))
    assert ~~formula == formula


def test_a_float_is_the_decimal_that_is_written(named: tuple[Variables, ...]) -> None:
    (comparison,) = (named[1][0] <= 0.1).comparisons()
    assert comparison.term.offset == Fraction(-1, 10)
    assert from_number(1e-5) == Fraction(1, 100_000)
    assert from_number(torch.tensor(0.1)) == exact(torch.tensor(0.1))[0] == Fraction(13421773, 2**27)


def test_absolute_values(named: tuple[Variables, ...]) -> None:
    _, out = named
    assert (abs(out[0] - out[1]) <= 1) == (out[0] - out[1] <= 1) & (out[1] - out[0] <= 1)
    assert (abs(out[0]) > 1) == (out[0] > 1) | (-out[0] > 1)


def test_products_and_powers(named: tuple[Variables, ...]) -> None:
    _, out = named
    assert str(out[0] * out[1] - out[2] ** 2 >= 0) == "(>= (* Y[0] Y[1]) (* Y[2] Y[2]))"
    assert str((out[0] + 1) * (out[0] - 1) <= 0) == "(<= (* Y[0] Y[0]) 1)"


def test_thirds_are_compared_three_times(named: tuple[Variables, ...]) -> None:
    _, out = named
    assert str(out[0] / 3 <= Fraction(1, 7)) == "(<= (* 7 Y[0]) 3)"


def test_bounds_of_all_entries() -> None:
    x, _ = variables(net(2))
    assert x.between(0, torch.tensor([1.0, 0.5])) == (x[0] >= 0) & (x[0] <= 1) & (x[1] >= 0) & (x[1] <= Fraction(1, 2))
    assert x.between(torch.tensor([[0, 0.5]]), 1) == x.between([0, 0.5], 1)  # a batch of one, as models take it
    with pytest.raises(ValueError, match=r"ends of shape \(3,\) do not fit \(2,\)"):
        x.between(torch.zeros(3), 1)
    assert x.between([0, 0.5], 1) == (x[0] >= 0) & (x[0] <= 1) & (x[1] >= Fraction(1, 2)) & (x[1] <= 1)


@pytest.mark.parametrize("use", [bool, lambda f: f and f, lambda f: not f, lambda f: 1 if f else 0])
def test_a_formula_is_no_bool(use, named: tuple[Variables, ...]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError, match="join formulas by & and"):
        use(named[1][0] <= 1)
    with pytest.raises(TypeError, match="chaining"):
        assert 0 <= named[1][0] <= 1


def test_what_is_no_term_is_refused(named: tuple[Variables, ...]) -> None:
    _, out = named
    with pytest.raises(TypeError):
        out[0] + "1"
    with pytest.raises(TypeError):
        assert out[0] <= None
    with pytest.raises(ValueError, match="nan"):
        assert out[0] <= float("nan")
    with pytest.raises(TypeError):
        hash(out[0])
    with pytest.raises(PropertyError, match="outside"):
        out[3]
    with pytest.raises(PropertyError, match=r"1 indices|2 of the 1"):
        out[0, 0]
    with pytest.raises(PropertyError, match="degree 17"):
        out[0] ** 17
    other = variables(net(), network="f")[1]
    with pytest.raises(PropertyError, match="network f"):
        unsafe(other[0] <= 0, net())


def test_a_list_of_formulas(named: tuple[Variables, ...]) -> None:
    _, out = named
    assert any_of([out[i] >= out[2] for i in range(2)]) == (out[0] >= out[2]) | (out[1] >= out[2])
    assert all_of([out[0] >= 0]) == (out[0] >= 0)


@given(numbers)
def test_decimals_come_back(number: Fraction) -> None:
    assert from_text(to_text(number)) == number


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-5", Fraction(1, 10**5)), ("-.5", Fraction(-1, 2)), ("+3.", Fraction(3)), ("1E2", Fraction(100)),
     ("0.1", Fraction(1, 10)), ("", None), (".", None), ("1e", None), ("nan", None), ("1_0", None), ("0x1", None)],
)  # fmt: skip
def test_decimals(text: str, value: Fraction | None) -> None:
    assert from_text(text) == value


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "9" * 2000])
def test_endless_numbers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="digits"):
        from_text(text)


@given(formulas(degree=3))
def test_what_is_printed_is_read_back(formula: Formula) -> None:
    stated = Property((NETWORK,), boxed(formula))
    assert parse_property(stated.text()) == stated
    assert pickle.loads(pickle.dumps(stated)) == stated


@given(formulas(relations=(Relation.AT_MOST, Relation.BELOW)))
def test_version_1_is_read_back(formula: Formula) -> None:
    stated = Property((NETWORK,), boxed(formula))
    assert parse_property(stated.text("1.0")) == stated


@given(formulas(degree=2), points)
def test_not_is_the_complement(formula: Formula, point) -> None:  # type: ignore[no-untyped-def]
    assert formula.holds(point.__getitem__) != (~formula).holds(point.__getitem__)


def test_version_1_has_no_products() -> None:
    _, out = variables(net())
    for formula in (out[0] * out[1] <= 0, out[0] == 1):
        with pytest.raises(ValueError, match="print it as 2"):
            unsafe(formula, net()).text("1.0")


@given(formulas(), points)
def test_a_property_holds_as_its_formula(formula: Formula, point) -> None:  # type: ignore[no-untyped-def]
    assert Property((NETWORK,), (formula,)).holds(at(point)) == formula.holds(point.__getitem__)


def test_infinities_are_in_no_unsafe_set() -> None:
    _, out = variables(net())
    stated = unsafe(out[0] >= 0, net())
    assert stated.holds({"Y": [1.0, 0.0, 0.0]})
    for wrong in (float("inf"), float("nan")):
        assert not stated.holds({"Y": [wrong, 0.0, 0.0]})
        assert not stated.holds({"Y": torch.tensor([wrong, 0.0, 0.0])})


def test_terms_are_told() -> None:
    x, _ = variables(net())
    assert repr(x[0] * x[1] / 3 - 1) == "Term(-1 + 1/3 X[0] X[1])"
    assert repr(x) == "Variables(X [2] of N)"
