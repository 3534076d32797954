"""What docs/training.md says of methods is so: every method and option is there, with its defaults and its recipe."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from absdomain import parse
from absdomain.cli import main
from absdomain.registry import find, names
from absdomain.trainers import read
from absdomain.trainers.options import hints
from absdomain.trainers.times import short

ROOT = Path(__file__).parents[1]
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
TRAINING = DOCS["training.md"]


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    text = re.split(r"^## ", TRAINING, flags=re.MULTILINE)
    (own,) = (part for part in text if part.startswith(section + "\n"))
    lines = [line for line in own.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]


def code(cell: str) -> list[str]:
    return re.findall(r"`(.*?)`", cell)


def test_every_method_has_a_row_with_the_numbers_of_its_recipe() -> None:
    told = {}
    for name, _, loss, domain, *numbers in rows("Methods"):
        told[name.strip("`")] = (loss, domain.strip("`"), *numbers)
    assert set(told) == set(names("trainers"))
    for name, (loss, *numbers) in told.items():
        recipe = read(name).template("mnist")
        assert loss
        phases = (short(recipe.warmup), short(recipe.ramp))
        assert numbers == [recipe.domain, f"{recipe.eps:g}", str(recipe.epochs), *phases, str(recipe.batch)], name


def test_every_option_has_a_row_with_its_default() -> None:
    told: dict[str, dict[str, str]] = {name: {} for name in names("trainers")}
    for option, default, methods, _ in rows("Options"):
        for name in code(methods):
            assert option.strip("`") not in told[name], f"{name}: {option} twice"
            told[name][option.strip("`")] = default.strip("`")
    for name, options in told.items():
        method = read(name)
        assert list(options) or method.settings is None, name
        assert set(options) == (set() if method.settings is None else set(hints(type(method.settings)))), name
        for option, default in options.items():
            assert read(f"{name}({option}={default})") == method, f"{name}: {option} is not {default}"


def test_the_names_of_attacks_and_weights_are_said() -> None:
    from absdomain.trainers.attacks import ATTACKS
    from absdomain.trainers.kappa import KAPPAS
    from absdomain.trainers.stabilise import INITIALISATIONS

    for name in (*ATTACKS, *KAPPAS, *INITIALISATIONS):
        assert f"`{name}" in TRAINING, name
    (attacks,) = re.findall(r"Attacks are (.*?)They are", TRAINING, re.DOTALL)
    for text in code(attacks):
        if text != "drops":
            assert read(f"advibp(attack={text})") == read(f"advibp(attack={text.partition('(')[0]})"), "its defaults"


def test_costs_are_told_of_every_method() -> None:
    assert {row[0].strip("`") for row in rows("Cost of a step")} == set(names("trainers"))


def commands() -> list[str]:
    blocks = [block for text in DOCS.values() for block in re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.M)]
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("line", commands())
def test_the_commands_are_understood(line: str) -> None:
    program, name, *arguments = shlex.split(line)
    assert program == "absdomain"
    command = typer.main.get_command(main.app).commands[name]  # type: ignore[attr-defined]
    given = command.make_context(name, arguments).params
    for preset in [given["preset"]] if given.get("preset") else given.get("presets") or ():
        find("presets", preset)
    if given.get("trainer"):
        read(given["trainer"])
    for text in [given["domain"]] if isinstance(given.get("domain"), str) else given.get("domain") or ():
        parse(text)


def test_inline_methods_and_domains_can_be_read() -> None:
    for text in re.findall(r"--domain \"(.*?)\"", TRAINING):
        parse(text)
    for text in re.findall(r"`((?:ibp|advibp|singleprop|wong-kolter)\(.*?\))`", TRAINING):
        read(text)


def test_the_files_they_link_to_exist() -> None:
    for text in DOCS.values():
        for target in re.findall(r"\]\((?!http)(.*?)\)", text):
            path, _, heading = target.partition("#")
            if path.startswith("generated/"):  # written when the site is built; tests/test_site.py knows which
                continue
            file = ROOT / "docs" / path
            assert file.exists(), target
            headings = re.findall(r"^#+ (.*)$", file.read_text() if path and heading else text, re.MULTILINE)
            assert not heading or heading in {h.lower().replace(" ", "-") for h in headings}, target
