"""What docs/properties.md shows runs, and prints what it says."""

import re
from pathlib import Path

import pytest

from absdomain.vnnlib import parse_property

TEXT = (Path(__file__).parents[2] / "docs" / "properties.md").read_text()


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for code in re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE):
        exec(code, names)
    printed = capsys.readouterr().out
    assert printed.startswith("(vnnlib-version <2.0>)")
    assert parse_property(str(names["question"])) == names["question"]
    assert re.search(r"tensor\(\[True\]\)\nFalse\n", printed), printed
