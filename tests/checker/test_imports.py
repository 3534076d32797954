"""The checker shares nothing with what it checks: it imports numpy, onnx, python-flint, and its own files."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "checker" / "absdomain_check"
ALLOWED = {"numpy", "onnx", "flint", "absdomain_check", *sys.stdlib_module_names}


def test_it_imports_nothing_of_ours_and_no_torch() -> None:
    files = sorted(FOLDER.glob("*.py"))
    assert len(files) > 5, f"{FOLDER} has {files}: is this test reading the right folder?"
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong = {name.partition(".")[0] for name in names} - ALLOWED
            assert not wrong, f"{file.name} imports {wrong}"
            assert not isinstance(node, ast.ImportFrom) or node.level == 0


def test_it_runs_without_them() -> None:
    code = "import absdomain_check, sys; sys.exit(bool({'torch', 'absdomain'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=FOLDER.parent, check=True, timeout=60)
