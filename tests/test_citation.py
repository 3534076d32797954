"""The citation's version and licence are those of the package."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_it_says_what_the_package_says() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = dict(re.findall(r"^([\w-]+): (.+)$", text, re.MULTILINE))
    assert found["cff-version"] == "1.2.0"
    assert {name: found[name] for name in ("version", "license")} == {
        name: project[name] for name in ("version", "license")
    }
    assert project["authors"][0]["name"] in text
    assert found["title"].strip('"').startswith(project["name"])
