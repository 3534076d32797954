"""The normal form: the same set, as boxes and rows; what is empty, endless or explodes."""

import time

import pytest
from hypothesis import given

from absdomain import PropertyError
from absdomain.properties import Normal, Property, normal
from absdomain.properties.formula import Formula, Relation
from absdomain.vnnlib import parse_property
from tests.properties.formulas import NETWORK, VARIABLES, boxed, formulas, points
from tests.properties.formulas import inside as within

HEAD = "\n".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0", "Y_1", "Y_2"))
BOX = "\n".join(f"(assert ({sign} {x} {value}))" for x in ("X_0", "X_1") for sign, value in ((">=", -2), ("<=", 2)))


def of(*asserted: str, box: str = BOX) -> Normal:
    return normal(parse_property("\n".join([HEAD, box, *(f"(assert {one})" for one in asserted)])))


def inside(found: Normal, point: dict) -> bool:  # type: ignore[type-arg]
    """Whether the point is in one of the cases, strict ends and rows being strict."""
    return any(
        all(within(case.box.of(v), point[v]) for v in found.inputs)
        and any(all(_low(row, point) for row in rows) for rows in case.conjunctions)
        for case in found.cases
    )


def _low(row, point) -> bool:  # type: ignore[no-untyped-def]
    value = row.term.value(point.__getitem__)
    return value < 0 or (value == 0 and not row.strict)


@given(formulas(degree=2), points)
def test_it_is_the_same_set(formula: Formula, point) -> None:  # type: ignore[no-untyped-def]
    stated = boxed(formula)
    found = normal(Property((NETWORK,), stated))
    same = all(point[v] == point[found.shared[v]] for v in found.shared)
    assert (same and inside(found, point)) == all(one.holds(point.__getitem__) for one in stated)


@given(formulas(relations=(Relation.AT_MOST, Relation.BELOW, Relation.UNEQUAL)))
def test_the_order_means_nothing(formula: Formula) -> None:
    stated = boxed(formula)
    assert normal(Property((NETWORK,), stated)) == normal(Property((NETWORK,), stated[::-1]))


def test_bounds_are_intersected() -> None:
    found = of("(<= X_0 1)", "(and (<= X_0 1.5) (> X_1 0))", "(<= Y_0 0)")
    (case,) = found.cases
    assert [str(case.box.of(v)) for v in found.inputs] == ["[-2, 1]", "(0, 2]"]
    assert [[str(row) for row in rows] for rows in case.conjunctions] == [["(<= Y[0] 0)"]]


def test_boxes_of_one_property_share_their_rows() -> None:
    boxes = "(or (and (<= X_0 -1) (>= X_1 1)) (and (>= X_0 1) (<= X_1 -1)) (>= X_0 1.5))"
    found = of(boxes, "(or (<= Y_0 Y_1) (<= Y_0 Y_2))")
    assert len(found.cases) == 3
    assert all(case.conjunctions is found.cases[0].conjunctions for case in found.cases)
    assert len(found.cases[0].conjunctions) == 2


def test_an_or_over_one_box_is_one_case() -> None:
    (case,) = of("(or (and (<= Y_0 0) (<= Y_1 0)) (<= Y_2 0))").cases
    assert sorted(map(len, case.conjunctions)) == [1, 2]


def test_mixed_alternatives_have_boxes_of_their_own() -> None:
    found = of("(or (and (<= X_0 0) (<= Y_0 0)) (and (>= X_0 0) (>= Y_0 0)) (and (<= X_0 0) (<= Y_1 0)))")
    assert [len(case.conjunctions) for case in found.cases] == [2, 1]


def test_rows_over_inputs_are_rows() -> None:
    (case,) = of("(<= (+ X_0 X_1) 1)", "(<= Y_0 (* 2 X_0))").cases
    assert len(case.conjunctions[0]) == 2


@pytest.mark.parametrize(
    ("asserted", "reason"),
    [
        ("(>= X_0 3)", "X_0 is to be in [3, 2]"),
        ("(> X_0 2)", "X_0 is to be in (2, 2]"),
        ("(or (>= X_0 3) (<= X_1 -3))", "X_1 is to be in [-2, -3]"),
        ("(>= (+ X_0 X_1) 5)", "no input of the box has"),
        ("(> (+ X_0 X_1) 4)", "no input of the box has"),
        ("(<= 1 0)", "compares numbers alone"),
        ("(< 1 1)", "compares numbers alone"),
    ],
)
def test_what_is_empty_is_dropped_with_the_reason(asserted: str, reason: str) -> None:
    found = of(asserted, "(<= Y_0 0)")
    assert found.cases == ()
    assert any(reason in one for one in found.dropped), found.dropped


@pytest.mark.parametrize("asserted", ["(<= (+ X_0 X_1) -4)", "(= (- X_0 X_1) 4)", "(>= X_0 2)", "(= X_1 -2)"])
def test_a_corner_is_not_empty(asserted: str) -> None:
    found = of(asserted, "(<= Y_0 0)")
    assert len(found.cases) == 1 and not found.dropped


def test_what_is_true_changes_nothing() -> None:
    assert of("(and (<= 1 1) (< 0 1) (= 1 1))", "(<= Y_0 0)") == of("(<= Y_0 0)")


def test_one_empty_alternative_leaves_the_others() -> None:
    found = of("(or (and (>= X_0 3) (<= Y_0 0)) (<= Y_1 0))")
    assert len(found.cases) == 1
    assert len(found.dropped) == 1


def test_equalities_of_inputs_are_substitutions() -> None:
    found = of("(= X_1 X_0)", "(<= (- X_0 X_1) Y_0)", "(<= X_1 1)")
    (case,) = found.cases
    assert found.inputs == (VARIABLES[0],)
    assert str(case.box.of(VARIABLES[0])) == "[-2, 1]"
    assert [str(row) for row in case.conjunctions[0]] == ["(>= Y[0] 0)"]


@pytest.mark.parametrize(
    "asserted", ["(= (+ X_0 X_1) 0)", "(= (* 2 X_0) X_1)", "(<= X_0 X_1)", "(!= X_0 X_1)", "(= X_0 (+ X_1 1))"]
)
def test_other_relations_of_inputs_are_rows(asserted: str) -> None:
    found = of(asserted, "(<= Y_0 0)")
    assert found.shared == {}
    assert all(len(rows) > 1 for case in found.cases for rows in case.conjunctions)


def test_bounds_follow_from_rows() -> None:
    ends = "(assert (and (>= X_0 0) (<= X_0 1)))"
    (case,) = of("(<= (- X_1 X_0) 0.5)", "(<= (- X_0 X_1) 0.25)", "(<= Y_0 0)", box=ends).cases
    assert str(case.box.of(VARIABLES[1])) == "[-0.25, 1.5]"


@pytest.mark.parametrize(
    ("box", "line", "side"),
    [("", 2, "upper"), ("(assert (and (<= X_0 1) (>= X_0 0) (<= X_1 1)))", 2, "lower"),
     ("(assert (and (<= X_0 1) (>= X_0 0) (>= X_1 1)))", 2, "upper")],
)  # fmt: skip
def test_an_endless_input_is_an_error_at_its_declaration(box: str, line: int, side: str) -> None:
    with pytest.raises(PropertyError, match=f"has no {side} bound") as raised:
        of("(or (and (<= X_0 1) (<= Y_0 0)) (<= Y_1 0))", box=box)
    assert (raised.value.line, raised.value.column) == (line, 16)


def test_explosions_are_refused_at_once() -> None:
    each = [f"(or (<= Y_0 {i}) (<= Y_1 {i}) (<= Y_2 {i}))" for i in range(40)]
    start = time.process_time()
    with pytest.raises(PropertyError, match="split the property") as raised:
        of(*each)
    assert raised.value.line is not None
    assert time.process_time() - start < 5


def test_many_boxes_and_many_rows_are_no_explosion() -> None:
    boxes = " ".join(f"(and (>= X_0 {i / 1000}) (<= X_0 {i / 1000 + 0.001}))" for i in range(1000))
    rows = " ".join(f"(<= Y_0 {i})" for i in range(1000))
    found = of(f"(or {boxes})", f"(or {rows})")
    assert len(found.cases) == len(found.cases[0].conjunctions) == 1000


def test_unequal_is_two_alternatives() -> None:
    (case,) = of("(!= Y_0 1)").cases
    assert [[row.strict for row in rows] for rows in case.conjunctions] == [[True], [True]]
    (case,) = of("(== Y_0 1)").cases
    assert len(case.conjunctions[0]) == 2
