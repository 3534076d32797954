"""Dependencies point one way: the rooms import the core and themselves, the core imports no room.

Read from the sources, so that an import inside a function counts too.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("domains", "networks", "trainers", "proofs")
# What each room may import beside the core. Proofs import what they prove; all other rooms stand alone.
ALLOWED = {room: {room} for room in ROOMS} | {"proofs": {"proofs", "domains", "trainers"}}
# `import absdomain` must do without these: each is loaded where it is used.
HEAVY = {
    "cvxpy", "hypothesis", "matplotlib", "pooch", "rich", "safetensors", "scipy", "sklearn", "sympy", "typer",
}  # fmt: skip


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


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


def rooms_imported(source: str, package: str) -> set[str]:
    parts = [name.split(".") for name in imports(ast.parse(source), package)]
    inside = {part[1] for part in parts if part[0] == "absdomain" and len(part) > 1}
    return {room for room in ROOMS if room in inside or any(part[0] == room for part in parts)}


def words(tree: ast.AST) -> Iterator[str]:
    """Every identifier, and every string that is a whole word (so not docstrings)."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.Constant(value=str(word)):
                yield word
            case ast.alias(name=word):
                yield from word.split(".")


def test_the_reader_of_imports_sees_every_spelling() -> None:
    code = "import absdomain.domains.box\nfrom absdomain import trainers\ndef f():\n    from ..networks import mlp\n"
    found = set(imports(ast.parse(code), "absdomain.proofs"))
    assert {"absdomain.domains.box", "absdomain.trainers", "absdomain.networks", "absdomain.networks.mlp"} <= found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_the_core_and_itself(room: str) -> None:
    assert sources(room), f"{room}/ has no source"
    for path in sources(room):
        package = ".".join(["absdomain", *path.relative_to(ROOT).parent.parts])
        foreign = rooms_imported(path.read_text(), package) - ALLOWED[room]
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}; a room may import only the core and itself"


CORE = sorted((ROOT / "absdomain").glob("*.py"))


# The command line may import everything. The package's face is read below: it names the rooms for type checkers only.
FREE = ("cli", "__init__")


@pytest.mark.parametrize("path", [path for path in CORE if path.stem not in FREE], ids=lambda p: p.stem)
def test_the_core_imports_no_room(path: Path) -> None:
    foreign = rooms_imported(path.read_text(), "absdomain")
    assert not foreign, f"absdomain/{path.name} imports {foreign}; take a value, or a name for the registry"


def test_the_package_loads_no_room_until_it_is_asked_for() -> None:
    tree = ast.parse((ROOT / "absdomain" / "__init__.py").read_text())
    run = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in set(words(node.test)))]
    assert not rooms_imported(ast.unparse(ast.Module(run, [])), "absdomain")


def test_no_room_knows_the_command_line() -> None:
    for path in [path for room in ROOMS for path in sources(room)]:
        found = set(imports(ast.parse(path.read_text()), "absdomain"))
        assert "absdomain.cli" not in found, f"{path.relative_to(ROOT)} imports the command line"


def op_names() -> set[str]:
    bodies = [node for path in sources("absdomain/ops") for node in ast.parse(path.read_text()).body]
    return {node.name for node in bodies if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}


def test_no_domain_names_an_operation() -> None:
    ops = op_names()
    assert len(ops) > 5, f"absdomain/ops defines only {ops}: is this test reading the right file?"
    for path in sources("domains"):
        tree = ast.parse(path.read_text())
        assert "absdomain.ops" not in set(imports(tree, "absdomain.domains")), f"{path.name} imports absdomain.ops"
        named = ops & set(words(tree))
        assert not named, f"domains/{path.name} names {named}; a domain knows the kinds of operations, none of them"


PROBE = """
import json, sys, time
import torch
started, before = time.process_time(), set(sys.modules)
import absdomain
seconds, new = time.process_time() - started, set(sys.modules) - before
print(json.dumps([seconds, sorted({name.partition(".")[0] for name in new})]))
"""


@pytest.fixture(scope="module")
def added() -> tuple[float, set[str]]:
    """What `import absdomain` adds to `import torch`: seconds of processor time, and top-level modules."""
    out = subprocess.run([sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    seconds, modules = json.loads(out)
    return seconds, set(modules)


def test_importing_the_library_loads_none_of_what_is_used_in_places(added: tuple[float, set[str]]) -> None:
    loaded = HEAVY & added[1]
    assert not loaded, f"`import absdomain` loads {sorted(loaded)}; import them where they are used"


def test_importing_the_library_adds_at_most_half_a_second_to_torch(added: tuple[float, set[str]]) -> None:
    assert added[0] < 0.5, f"`import absdomain` takes {added[0]:.2f} s of processor time beyond `import torch`"
