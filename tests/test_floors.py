"""The house: which room may import which, read from the sources, lazy and typing imports included.

A room is a folder or a file directly in `absdomain/`. A file imports its own room and rooms on lower floors; nothing
imports in a circle, neither rooms nor files.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
# From the ground up. On a floor of several rooms none imports another.
FLOORS = (
    {"errors"},
    {"runtime", "data", "linear", "guarantee", "registry", "values"},
    {"kinds"},
    {"ops", "region"},
    {"graph"},
    {"spec"},
    {"attack", "properties", "rounding"},
    {"lowering", "relations", "vnnlib"},
    {"domain"},
    {"reference", "certification", "domains", "networks"},
    {"branching"},
    {"certificates"},
    {"laws", "trainers"},
    {"proofs"},
    {"report"},
    {"cli", "renamed"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
TOP = ("domains", "networks", "trainers", "proofs")  # folders beside `absdomain/`, installed inside it
# `import absdomain` must do without these: each is loaded where it is used.
HEAVY = {
    "absdomain_check", "cvxpy", "flint", "hypothesis", "matplotlib", "onnx", "pooch", "rich", "safetensors", "scipy",
    "sklearn", "sympy", "typer",
}  # fmt: skip


@cache
def files() -> dict[str, Path]:
    """The library's files by their dotted names; the links from `absdomain/` to the top folders are not followed."""
    own = [path for path in (ROOT / "absdomain").rglob("*.py") if path.relative_to(ROOT).parts[1] not in TOP]
    tops = [path for room in TOP for path in (ROOT / room).rglob("*.py")]
    return {_dotted(path): path for path in sorted(own + tops)}


def _dotted(path: Path) -> str:
    parts = [part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__"]
    return ".".join(parts if parts[0] == "absdomain" else ["absdomain", *parts])


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """The dotted names that a file may import: `from a import b` may mean a.b, so both count."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                parents = package.split(".")
                above = parents[: len(parents) - level + 1] if level else []
                base = ".".join([*above, *([module] if module else [])])
                yield base
                yield from (f"{base}.{alias.name}" for alias in names)


@cache
def arrows() -> nx.DiGraph:
    """Who imports whom, file by file; the face, which names everything, is left out."""
    found = nx.DiGraph()
    for name, path in files().items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        known = set(imports(ast.parse(path.read_text()), package)) & set(files())
        # of `from absdomain.graph import graph` the file counts; the package, where a name of its own is asked for
        deepest = {one for one in known if not any(other.startswith(f"{one}.") for other in known)}
        found.add_edges_from((name, other) for other in deepest if "absdomain" not in (name, other))
    return found


def room(name: str) -> str:
    return name.split(".")[1]


def between_rooms() -> nx.DiGraph:
    found = nx.DiGraph((room(a), room(b)) for a, b in arrows().edges if room(a) != room(b))
    found.add_nodes_from(map(room, set(files()) - {"absdomain"}))
    return found


def test_the_reader_of_imports_sees_every_spelling() -> None:
    code = "import absdomain.domains.box\nfrom absdomain import trainers\ndef f():\n    from ..networks import mlp\n"
    found = set(imports(ast.parse(code), "absdomain.proofs"))
    assert {"absdomain.domains.box", "absdomain.trainers", "absdomain.networks", "absdomain.networks.mlp"} <= found


def test_every_room_has_a_floor() -> None:
    assert set(FLOOR) == {room(name) for name in files() if name != "absdomain"}


def test_rooms_import_lower_floors_alone() -> None:
    wrong = [f"{a} imports {b}" for a, b in arrows().edges if room(a) != room(b) and FLOOR[room(a)] <= FLOOR[room(b)]]
    assert not wrong, f"{'; '.join(wrong)}: move what is shared down, or hand it over as an argument"


@pytest.mark.figures
def test_nothing_imports_in_a_circle() -> None:
    for graph in (arrows(), between_rooms()):
        circles = [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]
        assert not circles, f"{circles} import each other"
    rooms = between_rooms()
    print(f"{len(files())} files, {len(rooms)} rooms on {len(FLOORS)} floors, {rooms.number_of_edges()} arrows")


def words(tree: ast.AST) -> Iterator[str]:
    """Every identifier, and every string that is a whole word (so not docstrings)."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.Constant(value=str(word)):
                yield word
            case ast.alias(name=word):
                yield from word.split(".")


def op_names() -> set[str]:
    bodies = [node for path in (ROOT / "absdomain" / "ops").rglob("*.py") for node in ast.parse(path.read_text()).body]
    return {node.name for node in bodies if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}


def test_no_domain_names_an_operation() -> None:
    ops = op_names()
    assert len(ops) > 5, f"absdomain/ops defines only {ops}: is this test reading the right file?"
    for path in (ROOT / "domains").rglob("*.py"):
        tree = ast.parse(path.read_text())
        assert "absdomain.ops" not in set(imports(tree, "absdomain.domains")), f"{path.name} imports absdomain.ops"
        named = ops & set(words(tree))
        assert not named, f"domains/{path.name} names {named}; a domain knows the kinds of operations, none of them"


PROBE = """
import json, sys
import torch
before = set(sys.modules)
import absdomain
USED
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


@pytest.mark.parametrize("used", ["", "absdomain.certify, absdomain.verify, absdomain.decide, absdomain.estimate"])
def test_importing_the_library_loads_none_of_what_is_used_in_places(used: str) -> None:
    """`python -m benchmarks startup` measures the time that this keeps small."""
    probe = [sys.executable, "-c", PROBE.replace("USED", used)]
    out = subprocess.run(probe, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    loaded = HEAVY & set(json.loads(out))
    assert not loaded, f"`import absdomain` loads {sorted(loaded)}; import them where they are used"
