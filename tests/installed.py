"""A third party's package, installed as pip installs any, and commands that run where it is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ABSDOMAIN = Path(sys.executable).with_name("absdomain")


def install(package: Path, work: Path) -> Path:
    """A folder of packages with this one in it, without any network; absdomain itself stays where it is."""
    copy, target = work / "source", work / "site"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, "--target", str(target), str(copy)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def run(site: Path, *command: str | Path) -> str:
    """What the command prints where the packages of `site` are installed."""
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(part) for part in command], env=environment, cwd=site.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
