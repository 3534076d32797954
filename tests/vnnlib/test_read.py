"""Reading VNN-LIB 1.0 and 2: what is read, and errors with line and column."""

import gzip
import time
from fractions import Fraction
from pathlib import Path

import pytest

from absdomain import PropertyError, read_property
from absdomain.properties import Property, normal
from absdomain.properties.formula import Or, Relation
from absdomain.vnnlib import parse_property, source

ONE = """; a comment; with (parentheses
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(declare-const Y_1 Real)

(assert (<= X_0 0.1)) ; and another
(assert (>= X_0 -1e-5))
(assert (and (<= X_1 (- 3)) (>= X_1 (- (* 2 -2.5) 1))))
(assert (or (and (>= Y_0 Y_1)) (and (<= (+ Y_0 (* 2.0 Y_1) X_0) .5) (< Y_1 3.))))
"""
TWO = """(vnnlib-version <2.0>)
(declare-network f
    (declare-input X float32 [1,2])
    (declare-hidden H float32 [3] "node \\"1\\"/out")
    (declare-output Y float32 []))
(declare-network g (isomorphic-to f)
    (declare-input A float32 [1, 2])
    (declare-output B float32 []))
(assert (<= X[0,0] 0.1))
(assert (and (>= X [0, 0] -1) (== X[0,1] A[0,1]) (!= Y B) (> (* Y Y 2) H[2])))
"""


def test_version_1() -> None:
    found = parse_property(ONE)
    assert found.version == "1.0"
    assert [tensor.shape for tensor in found.tensors.values()] == [(2,), (2,)]
    first, second, third, fourth = found.assertions
    assert [c.term.offset for c in (*first.comparisons(), *second.comparisons())] == [
        Fraction(-1, 10), Fraction(-1, 100_000)
    ]  # fmt: skip
    assert [c.term.offset for c in third.comparisons()] == [3, -6]
    assert isinstance(fourth, Or)
    assert [c.relation for c in fourth.comparisons()] == [Relation.AT_MOST, Relation.AT_MOST, Relation.BELOW]


def test_version_2() -> None:
    found = parse_property(TWO)
    assert [network.name for network in found.networks] == ["f", "g"]
    assert found.networks[1].isomorphic_to == "f"
    assert found.tensors["H"].node == 'node "1"/out'
    assert found.tensors["Y"].shape == ()
    assert [str(c) for c in found.assertions[1].comparisons()] == [
        "(>= X[0] -1)", "(== X[1] A[1])", "(!= Y[0] B[0])", "(< H[2] (* 2 Y[0] Y[0]))"
    ]  # fmt: skip
    assert parse_property(found.text()) == found


@pytest.mark.parametrize("text", [ONE, TWO])
def test_what_means_nothing_changes_nothing(text: str) -> None:
    found = parse_property(text)
    for old, new in [("\n", " \r\n\t ; x \n"), ("(", " ( "), (")", " ) "), ("0.1", "1.0e-1"), ("-1", "-001.")]:
        assert parse_property(text.replace(old, new)) == found


def test_smt_lib_around_it() -> None:
    text = "(set-logic QF_LRA)(set-info :x (y))" + ONE.replace("(declare-const X_0 Real)", "(declare-fun X_0 () Real)")
    assert parse_property(text + "(check-sat)(get-model)(exit)") == parse_property(ONE)


def test_files_may_be_gzipped(tmp_path: Path) -> None:
    plain, packed = tmp_path / "p.vnnlib", tmp_path / "q.vnnlib"
    plain.write_text(ONE)
    plain.write_bytes(b"\xef\xbb\xbf; \xff is no UTF-8\r\n" + ONE.encode())
    assert read_property(plain) == parse_property(ONE)
    packed.write_bytes(gzip.compress(ONE.encode()))  # whatever its name is
    assert read_property(plain) == read_property(packed) == parse_property(ONE)
    packed.write_bytes(gzip.compress(ONE[:50].encode()) + gzip.compress(ONE[50:].encode()) + bytes(7))
    assert read_property(packed) == parse_property(ONE)


@pytest.mark.parametrize(
    ("data", "fragment"),
    [
        (gzip.compress(ONE.encode())[:-20], "ends in the middle"),
        (b"\x1f\x8b" + b"nonsense" * 9, "begins like a gzip file"),
        (gzip.compress(ONE.encode()) + b"more", "begins like a gzip file"),
        (b"(assert \xff", "no number"),
        (b"\x08\x08\x12\x07pytorch", "is this the ONNX file"),
        (b"", "empty"),
        (b"; nothing\n", "empty"),
    ],
)
def test_broken_files(tmp_path: Path, data: bytes, fragment: str) -> None:
    path = tmp_path / "broken.vnnlib"
    path.write_bytes(data)
    with pytest.raises(PropertyError, match=fragment) as raised:
        read_property(path)
    assert raised.value.path == str(path)


def test_a_small_file_does_not_unpack_to_all_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "LARGEST", 1 << 16)
    path = tmp_path / "bomb.vnnlib.gz"
    path.write_bytes(gzip.compress(b" " * (1 << 24)))
    with pytest.raises(PropertyError, match="unpacks to more"):
        read_property(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_property(tmp_path / "nothing.vnnlib")


HEAD = "(declare-const X_0 Real)\n(declare-const Y_0 Real)\n"
OUT = "(declare-output B real [2]))"
NET = "(vnnlib-version <2.0>)\n(declare-network f (declare-input X real [2]) (declare-output Y real [2,2]))\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "fragment"),
    [
        (HEAD + "(assert (<= X_1 0))", 3, 13, "'X_1' is no number, and no name"),
        (HEAD + "(assert\n  (<= X_0 nan))", 4, 11, "'nan'"),
        (HEAD + "(assert (<= X_0 inf))", 3, 17, "'inf'"),
        (HEAD + "(assert (<= X_0 1/3))", 3, 17, "'1/3'"),
        (HEAD + "(assert (<= X_0 1e9999999))", 3, 17, "digits"),
        (HEAD + "(assert (<= X_0))", 3, 9, "takes 2 arguments, it has 1"),
        (HEAD + "(assert (<= X_0 1 2))", 3, 9, "it has 3"),
        (HEAD + "(assert (and))", 3, 9, "1 or more"),
        (HEAD + "(assert (or (<= X_0 1) X_0))", 3, 9, "argument 2 of `or` is to be a formula"),
        (HEAD + "(assert (<= (and (<= X_0 1)) 1))", 3, 9, "is to be a term"),
        (HEAD + "(assert (/ X_0 2))", 3, 10, "'/' is no operator"),
        (HEAD + "(assert ((<= X_0 2)))", 3, 10, "no operator"),
        (HEAD + "(assert X_0)", 3, 9, "this is a term"),
        (HEAD + "(assert (<= X_0 2)", 3, 19, "the text ends"),
        (HEAD + "(assert (<= X_0 2", 3, 18, "the text ends"),
        (HEAD + "(assert (<=", 3, 12, "the text ends"),
        (HEAD + "(assert (<= X_0 2)))", 3, 20, "is expected"),
        (HEAD + "(assert (<= X_0 \"a\"))", 3, 17, "no number"),
        (HEAD + "(assert (<= X_0 2)) junk", 3, 21, "'junk'"),
        (HEAD + f"(assert (<= (* {'X_0 ' * 17}) 1))", 3, 13, "degree"),
        (HEAD + "(declare-const X_0 Real)", 3, 16, "declared twice"),
        (HEAD + "(declare-const X_2 Real)", 1, 16, "X_1 is not declared"),
        (HEAD + "(declare-const X_99999999 Real)", 1, 16, "X_1 is not declared"),
        (HEAD + "(declare-const X_01 Real)", 3, 16, "no name"),
        (HEAD + "(declare-const Z_0 Real)", 3, 16, "no name"),
        (HEAD + "(declare-const Y_1 Int)", 3, 20, "'Int'"),
        (HEAD + "(assume (<= X_0 2))", 3, 2, "declare-const or assert"),
        ("(declare-const X_0 Real)", 1, 25, "no Y_0"),
        ("X_0", 1, 1, "'X_0'"),
        ("(vnnlib-version <1.0>)", 1, 17, "version <1.0>"),
        ("(vnnlib-version 2.0)", 1, 17, "version 2.0"),
        ("(vnnlib-version <2.0>)", 1, 23, "no network"),
        (NET + "(assert (<= X[2] 0))", 3, 13, "outside"),
        (NET + "(assert (<= X 0))", 3, 13, "that name an entry"),
        (NET + "(assert (<= Y[0] 0))", 3, 13, "1 of the 2 indices"),
        (NET + "(assert (<= Y[0,-1] 0))", 3, 13, "whole numbers"),
        (NET + "(assert (<= Y[0.0,1] 0))", 3, 13, "whole numbers"),
        (NET + "(assert (<= Z[0] 0))", 3, 13, "'Z'"),
        (NET + "(assert (<= X[0 0))", 3, 14, "whole numbers in brackets"),
        (NET + "(assert (<= X[0] 1))\n(declare-network g (declare-input A real [2]) " + OUT, 4, 18,
         "after an assertion"),
        (NET + "(declare-network f (declare-input A real [2]) " + OUT, 3, 18, "declared twice"),
        (NET + "(declare-network g (declare-input X real [2]) " + OUT, 3, 35, "declared twice"),
        (NET + "(declare-network g (equal-to h) (declare-input A real [2]) " + OUT, 3, 30, "no network"),
        (NET + "(declare-network g (equal-to f) (declare-input A real [3]) " + OUT, 3, 18, "differ"),
        (NET + "(declare-network g (equal-to f) (isomorphic-to f) (declare-input A real [2]) " + OUT, 3, 48,
         "one other at most"),
        (NET + "(declare-network g (declare-input A int8 [2]) " + OUT, 3, 37, "nothing sound"),
        (NET + "(declare-network g (declare-input A string [2]) " + OUT, 3, 37, "nothing sound"),
        (NET + "(declare-network g (declare-input A real [0]) " + OUT, 3, 42, "no entry"),
        (NET + "(declare-network g (declare-input A real [99999999,99999999]) " + OUT, 3, 42, "memory"),
        (NET + "(declare-network g (declare-input A real [2] initialized) " + OUT, 3, 46, "initialized"),
        (NET + "(declare-network g (declare-input A real [2]))", 3, 18, "an input and an output"),
        (NET + "(declare-network g (declare-input A real [2]) (declare-hidden H real [2]) " + OUT, 3, 73,
         "in quotes"),
        (NET + "(declare-network g (declare-input A float16 [2]) (declare-output B float32 [2]))\n"
         "(assert (<= A[0] B[0]))", 4, 9, "float16 and float32"),
    ],
)  # fmt: skip
def test_errors_have_a_place(text: str, line: int, column: int, fragment: str) -> None:
    with pytest.raises(PropertyError, match=fragment) as raised:
        parse_property(text)
    assert (raised.value.line, raised.value.column) == (line, column), str(raised.value)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("opening", ["(", "(- ", "(and ", "(or (and ", "(assert ", "(not "])
def test_any_depth_of_parentheses_ends_in_an_error(opening: str) -> None:
    for closing in ("", "(<= X_0 0)" + ")" * 100_001):
        start = time.process_time()
        with pytest.raises(PropertyError):
            parse_property(HEAD + "(assert " + opening * 100_000 + closing)
        assert time.process_time() - start < 5


def test_deep_sums_are_read() -> None:
    text = HEAD + "(assert (<= " + "(+ 1 " * 9000 + "X_0" + ")" * 9000 + " 0))"
    (assertion,) = parse_property(text).assertions
    assert [c.term.offset for c in assertion.comparisons()] == [9000]


def test_a_declared_shape_costs_nothing_before_it_is_used() -> None:
    text = (NET + "(assert (<= X[0] 1))").replace("[2]", "[1000000,100000]", 1).replace("X[0]", "X[0,0]")
    found = parse_property(text)
    with pytest.raises(PropertyError, match=r"X\[0,0\] has no lower|X\[0,1\] has no upper"):
        normal(found)


@pytest.mark.slow
def test_a_hundred_thousand_assertions_take_seconds() -> None:
    declared = "".join(f"(declare-const X_{i} Real)\n" for i in range(3000)) + "(declare-const Y_0 Real)\n"
    bounds = "".join(
        f"(assert (<= X_{i % 3000} {1 + i / 7}))\n(assert (>= X_{i % 3000} {-i / 9}))\n" for i in range(50_000)
    )
    start = time.process_time()
    found = parse_property(declared + bounds + "(assert (<= Y_0 0))")
    assert len(normal(found).inputs) == 3000
    assert time.process_time() - start < 10
    assert isinstance(found, Property)


def test_the_text_of_a_property_in_the_place_of_its_path_is_told() -> None:
    with pytest.raises(PropertyError, match="parse_property reads that"):
        read_property("(assert (>= Y_0 1))")
