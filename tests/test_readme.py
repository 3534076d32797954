"""What the README says is so: its code runs, its commands are understood, its table is that of the registry."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from torch import nn

import absdomain
from absdomain import Guarantee, parse, registry
from absdomain.branching import Branching
from absdomain.cli import main
from absdomain.domain.expression import ALIASES, COMBINATORS, SEARCHES
from absdomain.domain.expression import RULES as SLOPES
from absdomain.lowering.table import RULES
from absdomain.relations import slopes
from absdomain.relations.search import Ascent
from absdomain.trainers import read
from tests.written import Written

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert found, f"the README has no {language} block: is this test reading the right file?"
    return found


PYTHON = blocks("python")
MODULES = {match[1]: block for block in PYTHON if (match := re.match(r"# mine/(\w+)\.py\n", block))}
CHECKS = next(block for block in PYTHON if "check_domain(" in block)
FIRST = PYTHON[0]  # trains and certifies
USE = [block for block in PYTHON[1:] if block not in (*MODULES.values(), CHECKS)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package made of the README's modules, registered by its TOML block, as pip would leave it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "mine").mkdir()
    (folder / "mine" / "__init__.py").touch()
    for name, code in MODULES.items():
        (folder / "mine" / f"{name}.py").write_text(code)
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (toml,) = blocks("toml")
    entries = re.sub(r'project\.entry-points\."(.*)"', r"\1", toml).replace('"', "")
    (info / "entry_points.txt").write_text(entries)
    return folder


@pytest.fixture
def mine(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package on this process's path."""
    monkeypatch.syspath_prepend(site)
    rules = dict(RULES)
    yield
    RULES.clear()
    RULES.update(rules)
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def test_the_first_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    short = FIRST.replace("epochs=60", "epochs=1, images=200")
    assert short != FIRST
    names: dict[str, Any] = {}
    exec(compile(short, "README.md", "exec"), names)
    assert len(capsys.readouterr().out.splitlines()) == 361 == 1 + len(names["found"])


@pytest.mark.slow
def test_the_first_example_verifies_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(compile(FIRST, "README.md", "exec"), names)
    assert capsys.readouterr().out.count(" verified box\n") > 250
    assert names["found"].summary.verified_error == pytest.approx(16, abs=2)  # threads and versions round otherwise


def test_the_lines_that_bound_a_model_run(capsys: pytest.CaptureFixture[str]) -> None:
    first, *rest = USE
    statements = [line for line in first.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(statements) <= 10, "ten lines are promised"
    names: dict[str, Any] = {}
    for block in (first, *rest):
        exec(compile(block, "README.md", "exec"), names)
    lower, model, region, y = names["trace"].lower, names["model"], names["region"], names["y"]
    assert lower.shape == (8, 9)
    values = torch.stack([model(x) for x in region.sample(50)])
    others = torch.arange(10) != y[:, None]
    margins = values.gather(2, y.expand(50, 8)[..., None]) - values
    assert (lower <= margins[:, others].view(50, 8, 9) + 1e-5).all(), "as its comment says"
    assert len(capsys.readouterr().out.splitlines()) >= 8, "a verdict for each image"


def test_the_network_that_is_written_by_hand_has_the_bounds_that_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (block,) = (block for block in USE if "networkx.DiGraph()" in block)
    exec(
        compile("import torch, absdomain\nfrom absdomain.domains import Box, DeepPoly\n" + block, "README.md", "exec"),
        {},
    )
    printed = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]
    assert len(printed) == 3
    assert capsys.readouterr().out.splitlines() == printed


def test_what_it_says_of_layer_names_holds() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10))
    x = torch.rand(2, 1, 8, 8)
    trace = absdomain.domains.Box().propagate(absdomain.to_graph(model, x), absdomain.Linf(x, 0.1), keep=True)
    assert trace.at("1").lower.shape == (2, 50)


def rows() -> list[list[str]]:
    """The table of domains, cell by cell."""
    table = README.partition("## Domains")[2].partition("\n\n`&`")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| `")
    ]


def test_the_table_of_domains_is_the_registry_s() -> None:
    namespace = {**vars(absdomain), **vars(absdomain.domains), **vars(slopes)}
    namespace |= {"Ascent": Ascent, "Branching": Branching}
    written, aliases = "", set()
    for text, python, names, what in rows():
        domain = parse(text.strip("`"))
        assert domain == eval(python.strip("`"), namespace), text
        assert parse(str(domain)) == domain
        assert (domain.guarantee is Guarantee.SOUND) == (domain.guarantee.name not in what)
        written += text.lower()
        for alias in re.findall(r"`(.*?)`", names):
            assert parse(alias) == domain, alias
            aliases.add(alias)
    assert aliases == set(ALIASES)
    for name in (*registry.names("domains"), *COMBINATORS.keys() - {"meet"}, *SEARCHES, "&", "guided"):
        assert name.lower().replace("-", "_") in written, f"{name} is missing in the table"
    rules = re.search(r"`slopes` is one of (.*?\(the default\))", README, re.DOTALL)
    assert rules is not None
    assert re.findall(r"`(.*?)`", rules[1]) == list(SLOPES)


def signatures() -> list[str]:
    text = README.partition("Regions are sets")[2].partition("\n\n")[0]
    return re.findall(r"`(\w+)\(", text)


def test_the_regions_and_specifications_exist() -> None:
    regions = {name for name in vars(absdomain) if isinstance(getattr(absdomain, name), type)} & set(signatures())
    assert {"Linf", "L2", "L1", "Interval", "Clipped", "Spec"} == regions
    assert hasattr(absdomain, "ReferenceSpace")
    assert {"margins", "targeted", "halfspaces"} == set(signatures()) - regions
    for name in signatures():
        assert name in absdomain.__all__


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_are_understood(line: str) -> None:
    program, name, *arguments = shlex.split(line)
    assert program == "absdomain"
    command = typer.main.get_command(main.app).commands[name]  # type: ignore[attr-defined]
    given = command.make_context(name, arguments).params
    for group in ("network", "preset"):
        if given.get(group):
            registry.find(f"{group}s", given[group])  # type: ignore[arg-type]
    for preset in given.get("presets") or ():
        registry.find("presets", preset)
    if given.get("trainer"):
        read(given["trainer"])
    for text in [given["domain"]] if isinstance(given.get("domain"), str) else given.get("domain") or ():
        parse(text)


def test_the_trainers_are_all_named() -> None:
    named = re.findall(r"`(.*?)`", README.partition("One loop trains by")[2].partition(", each with")[0])
    assert sorted(named) == registry.names("trainers")


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"`?make (\w+)", README)
    assert {"demo", "test", "help"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def headings(text: str) -> set[str]:
    """The places in a page of Markdown that a link may name, as GitHub makes them of its headings."""
    lines = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in lines}


def test_the_files_it_links_to_exist() -> None:
    for target in re.findall(r"\]\((?!http)(.*?)\)", README):
        name, _, place = target.partition("#")
        assert (ROOT / name).exists(), target
        assert not place or place in headings((ROOT / name).read_text()), target


@pytest.mark.usefixtures("mine")
def test_the_activation_and_the_domain_keep_the_laws() -> None:
    fewer = CHECKS.replace("check_domain(AF1())", "check_domain(AF1(), examples=3)")
    assert fewer != CHECKS
    exec(compile(fewer, "README.md", "exec"), {})


@pytest.mark.usefixtures("mine")
def test_the_activation_and_the_domain_are_found() -> None:
    x = torch.rand(3, 4)
    model = Written(lambda m, x: m.second(torch.asinh(m.first(x))), first=nn.Linear(4, 5), second=nn.Linear(5, 2))
    trace = parse("box & af1").propagate(absdomain.to_graph(model, x), absdomain.Linf(x, 0.5))
    values = torch.stack([model(p) for p in absdomain.Linf(x, 0.5).sample(50)])
    assert (trace.lower <= values + 1e-5).all()
    assert (values <= trace.upper + 1e-5).all()


@pytest.mark.usefixtures("mine")
def test_the_objective_serves_a_loop_of_one_s_own() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    objective = importlib.import_module("mine.noise").Noise(model)
    objective.set(eps=0.1, kappa=1.0)
    objective(torch.rand(6, 4), torch.randint(2, (6,))).loss.backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.slow
def test_the_trainer_is_found_by_name_from_the_command_line(site: Path, tmp_path: Path) -> None:
    program, out = Path(sys.executable).with_name("absdomain"), tmp_path / "run"
    command = [program, "train", "--data", "digits", "--trainer", "noise", "--epochs", "2", "--out", out]
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2
    assert json.loads((out / "config.json").read_text())["recipe"]["trainer"] == "noise"
    promised = re.findall(r"`([\w.]+)`", README.partition("A run's folder has")[2].partition("`certify` writes")[0])
    assert promised
    for name in promised:
        assert (out / name).exists(), name
