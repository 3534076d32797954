"""What is installed is what stands in the tree, under the one name absdomain."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
FOLDERS: dict[str, str] = SETUPTOOLS["package-dir"]
ROOMS = sorted({folder for folder in FOLDERS.values() if "/" not in folder} - {"absdomain"})


def folder_of(package: str) -> Path:
    """setuptools' rule: the longest mapped ancestor, then the rest of the dotted name."""
    prefix, rest = package, ""
    while prefix not in FOLDERS:
        prefix, _, last = prefix.rpartition(".")
        rest = f"{last}/{rest}"
    return ROOT / FOLDERS[prefix] / rest


def test_the_packages_are_the_folders_that_hold_modules() -> None:
    declared = {folder_of(package).resolve() for package in SETUPTOOLS["packages"]}
    holding = {path.parent.resolve() for top in FOLDERS.values() for path in (ROOT / top).rglob("*.py")}
    assert declared == holding, "pyproject.toml's `packages` and the folders with modules differ"


@pytest.mark.parametrize("package", SETUPTOOLS["packages"])
def test_every_package_has_an_init(package: str) -> None:
    assert (folder_of(package) / "__init__.py").is_file()


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_linked_into_the_package(room: str) -> None:
    assert FOLDERS[f"absdomain.{room}"] == room
    assert os.readlink(ROOT / "absdomain" / room) == f"../{room}", "the link must be relative, for clones"


def test_requirements_have_lower_bounds_only() -> None:
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    for requirement in (requirement for group in groups for requirement in group):
        assert ">=" in requirement, requirement
        assert "<" not in requirement, requirement
        assert "==" not in requirement, requirement


def test_the_installation_is_that_of_this_tree() -> None:
    declared = {
        (group, name, value)
        for group, entries in PROJECT["project"]["entry-points"].items()
        for name, value in entries.items()
    }
    installed = {
        (entry.group, entry.name, entry.value)
        for entry in metadata.distribution("absdomain").entry_points
        if entry.group.startswith("absdomain.")
    }
    assert installed == declared, "the installed entry points are not those of pyproject.toml; run `make install`"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel made from the sdist made from a copy of the tree: whoever installs it sees no more than this."""
    copy, out = tmp_path_factory.mktemp("copy") / "tree", tmp_path_factory.mktemp("dist")
    copy.mkdir()
    for name in ["absdomain", *ROOMS, "pyproject.toml", PROJECT["project"]["readme"], "LICENSE"]:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(copy)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.glob("*.whl")
    return made


def test_a_wheel_brings_one_name_and_all_that_belongs_to_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    version = PROJECT["project"]["version"]
    assert {name.partition("/")[0] for name in names} == {"absdomain", f"absdomain-{version}.dist-info"}
    assert "absdomain/py.typed" in names
    assert f"absdomain-{version}.dist-info/licenses/LICENSE" in names
    modules = {
        f"{package.replace('.', '/')}/{path.name}"
        for package in SETUPTOOLS["packages"]
        for path in folder_of(package).glob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == modules


def test_a_wheel_can_be_imported_without_the_tree(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere.mkdir()
    code = "; ".join([*(f"import {package}" for package in SETUPTOOLS["packages"]), "print(absdomain.__file__)"])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(site)
