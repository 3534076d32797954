"""A file is data: whatever is done to it, a property or one kind of error comes out, soon."""

import gzip
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from absdomain import PropertyError, read_property
from absdomain.properties import Normal, normal
from absdomain.vnnlib import parse_property
from tests.held import peak
from tests.vnnlib.test_read import ONE, TWO

DATA = Path(os.environ.get("ABSDOMAIN_DATA", "no folder")) / "vnnlib"
Change = Callable[[random.Random, str], str]
BITS = [
    "(",
    ")",
    "[",
    "]",
    '"',
    ";",
    "-",
    ".",
    "e",
    "9",
    " ",
    "\n",
    "\0",
    "é",
    "(assert ",
    "(or ",
    "(and ",
    "1e9",
    "X_0",
]


def cut(draw: random.Random, text: str) -> str:
    return text[: draw.randrange(len(text) + 1)]


def flip(draw: random.Random, text: str) -> str:
    at = draw.randrange(len(text))
    return text[:at] + chr(ord(text[at]) ^ 1 << draw.randrange(7)) + text[at + 1 :]


def insert(draw: random.Random, text: str) -> str:
    at = draw.randrange(len(text) + 1)
    return text[:at] + draw.choice(BITS) * draw.choice([1, 1, 2, 50]) + text[at:]


def delete(draw: random.Random, text: str) -> str:
    at = draw.randrange(len(text))
    return text[:at] + text[at + draw.choice([1, 1, 5, 40]) :]


def repeat(draw: random.Random, text: str) -> str:
    at = draw.randrange(len(text))
    part = text[at : at + draw.choice([5, 50, 500])]
    return text[:at] + part * draw.choice([2, 20]) + text[at:]


def swap(draw: random.Random, text: str) -> str:
    words = re.split(r"(\s+)", text)
    a, b = draw.randrange(len(words)), draw.randrange(len(words))
    words[a], words[b] = words[b], words[a]
    return "".join(words)


CHANGES: list[Change] = [cut, flip, insert, delete, repeat, swap]


def outcome(text: str) -> str:
    """How many cases, or that it is an error, which has a place in the text; anything else is the test's failure."""
    start, held = time.process_time(), peak()
    caught: PropertyError | None = None
    cases = 0
    try:
        found = parse_property(text)
        assert parse_property(found.text()) == found
        cases = len(normal(found).cases)
    except PropertyError as error:
        caught = error
    assert time.process_time() - start < 20, text[:1000]
    assert peak() - held < 1, text[:1000]  # GiB
    if caught is None:
        return f"{cases} cases"
    assert caught.message
    if caught.line is not None and caught.column is not None:
        lines = text.split("\n")
        assert 1 <= caught.line <= len(lines), str(caught)
        assert 1 <= caught.column <= len(lines[caught.line - 1]) + 1, str(caught)
    return "error"


def tried(texts: list[str], count: int, seed: int) -> Counter[str]:
    draw = random.Random(seed)
    told: Counter[str] = Counter()
    for _ in range(count):
        text = draw.choice(texts)
        for _ in range(draw.choice([1, 1, 1, 2, 5])):
            text = draw.choice(CHANGES)(draw, text) or " "
        told[outcome(text)] += 1
    return told


def harmless(draw: random.Random, text: str) -> str:
    """The same meaning: asserts in another order, other white space, comments, decimals written otherwise."""
    lines = re.sub(r"(?m);.*$", "", text).split("\n")
    forms = [form for form in re.split(r"\n(?=\((?:assert|declare|vnnlib))", "\n".join(lines)) if form.strip()]
    stated = [form for form in forms if form.lstrip().startswith("(assert")]
    others = [form for form in forms if not form.lstrip().startswith("(assert")]
    draw.shuffle(stated)
    text = "\n".join(others + stated)
    text = re.sub(r"(?<=[\s(])(-?)(\d+)\.(\d+)(?=[\s)])", lambda m: _decimal(draw, *m.groups()), text)
    text = re.sub(r"[()]", lambda m: draw.choice(["", " ", "\t"]) + m[0] + draw.choice(["", " ", "\n"]), text)
    return text.replace("\n", draw.choice(["\n", "\r\n", " ; a comment ( )\n"]))


def _decimal(draw: random.Random, sign: str, whole: str, part: str) -> str:
    return draw.choice([f"{sign}{whole}.{part}000", f"{sign}00{whole}.{part}", f"{sign}{whole}{part}e-{len(part)}"])


def same(text: str, draw: random.Random) -> None:
    assert _form(harmless(draw, text)) == _form(text)


def _form(text: str) -> Normal:
    return normal(parse_property(text))


BOX = "(assert (and (<= A[0,0] 1) (>= A[0,0] -1) (<= A[0,1] 0.25) (>= A[0,1] 0.125)))"
BOXES = "(assert (or (and (<= X_1 1.0) (>= X_1 0.50)) (and (<= X_1 -1.5) (>= X_1 -2) (<= Y_0 X_1))))"
TEXTS = [ONE, TWO + BOX, "\n".join([*ONE.split("\n")[:7], BOXES, *ONE.split("\n")[7:8], "(assert (< Y_0 Y_1))"])]


def test_changed_files_end_in_a_property_or_an_error() -> None:
    told = tried(TEXTS, 400, seed=0)
    assert told["error"] > 100 and told["1 cases"] + told["2 cases"] > 20, told  # both happen


@pytest.mark.parametrize("text", TEXTS)
def test_a_change_that_means_nothing_changes_nothing(text: str) -> None:
    for seed in range(20):
        same(text, random.Random(seed))


real = pytest.mark.skipif(not DATA.is_dir(), reason="ABSDOMAIN_DATA names no folder with vnnlib/")


def texts(largest: int) -> list[str]:
    """The real files up to a size."""
    found = []
    for path in sorted(DATA.rglob("*.vnnlib*")):
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
        if len(text) <= largest:
            found.append(text)
    return found


@real
@pytest.mark.slow
@pytest.mark.figures
@pytest.mark.timeout(3600)
def test_ten_thousand_changed_real_files() -> None:
    """Most of them small, so that it ends in minutes."""
    told = tried(texts(10_000), 9_500, seed=1) + tried(texts(1 << 20), 500, seed=2)
    print("changed VNN-LIB files:", dict(told))
    assert told["error"] > 1000 and told["1 cases"] > 100


@real
@pytest.mark.slow
def test_changes_of_real_files_that_mean_nothing() -> None:
    for number, text in enumerate(texts(1 << 20)):
        same(text, random.Random(number))


@real
@pytest.mark.slow
@pytest.mark.figures
def test_gzipped_files_that_are_broken(tmp_path: Path) -> None:
    draw = random.Random(0)
    told: Counter[str] = Counter()
    for path in sorted(DATA.rglob("*.vnnlib.gz")):
        data = path.read_bytes()
        for _ in range(4):
            at = draw.randrange(len(data))
            broken = (
                data[:at]
                if draw.random() < 0.3
                else data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]
            )
            changed = tmp_path / "changed.vnnlib.gz"
            changed.write_bytes(broken)
            try:
                read_property(changed)
                told["read"] += 1
            except PropertyError:
                told["error"] += 1
    print("broken gzipped files:", dict(told))
