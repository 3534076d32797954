"""Real properties, and the conformance cases of the standard, as far as they are at hand."""

import csv
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from absdomain import PropertyError, read_property
from absdomain.properties import normal
from absdomain.vnnlib import parse_property

DATA = Path(os.environ.get("ABSDOMAIN_DATA", "no folder")) / "vnnlib"
CASES = Path(os.environ.get("ABSDOMAIN_VNNLIB_CASES", "no folder"))
pytestmark = [pytest.mark.slow, pytest.mark.figures]


@pytest.mark.skipif(not DATA.is_dir(), reason="ABSDOMAIN_DATA names no folder with vnnlib/")
def test_every_instance_is_read() -> None:
    """Each at most 0.6 s of processor time; each is printed in both versions and read back."""
    spent = []
    for row in csv.DictReader((DATA / "instances.csv").open()):
        start = time.process_time()
        found = read_property(DATA / row["vnnlib"])
        form = normal(found)
        spent.append(time.process_time() - start)
        rows = [len(rows) for case in form.cases for rows in case.conjunctions]
        print(
            f"{spent[-1]:.3f} s, {len(form.cases)} boxes, {len(rows)} conjunctions, {sum(rows)} rows: {row['vnnlib']}"
        )
        assert form.cases and not form.dropped
        assert parse_property(found.text()) == parse_property(found.text("1.0")) == found
    print(f"{len(spent)} properties in {sum(spent):.2f} s, at most {max(spent):.3f} s")
    assert max(spent) < 0.6


@pytest.mark.skipif(not CASES.is_dir(), reason="ABSDOMAIN_VNNLIB_CASES names no folder of VNN-LIB 2 files")
def test_conformance_cases_are_read() -> None:
    told: Counter[str] = Counter()
    for path in sorted(CASES.rglob("*.vnnlib")):
        found = read_property(path)
        assert parse_property(found.text()) == found, path
        told["read"] += 1
        try:
            normal(found)
            told["supported"] += 1
        except PropertyError as error:
            print(error)
    print("conformance cases:", dict(told))
    assert told["supported"] >= 0.99 * told["read"] > 0
