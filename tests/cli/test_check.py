"""`absdomain verify --certificate` and `absdomain check`: exit codes, and what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from absdomain.cli.main import app
from absdomain_check.__main__ import main
from tests.checker.networks import around, dense


def test_a_certificate_goes_from_one_command_to_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = dense(1, [3, 8, 2])
    Path("n.onnx").write_bytes(net)
    Path("p.vnnlib").write_bytes(around(net, 1, 3, 2, 0.5, 0.3))
    run = CliRunner()
    found = run.invoke(app, ["verify", "n.onnx", "p.vnnlib", "--certificate", "c.json"])
    assert found.exit_code == 0, found.output
    files = ["--network", "n.onnx", "--property", "p.vnnlib"]
    assert run.invoke(app, ["check", "c.json", *files]).exit_code == 0
    assert main(["c.json", *files, "--grade", "exact"]) == 0
    assert "accepted: unsat, grade exact" in capsys.readouterr().out
    Path("d.json").write_bytes(Path("c.json").read_bytes().replace(b"unsat", b"sat"))
    assert main(["d.json", *files]) == 1
    assert "refused: the digest" in capsys.readouterr().out
    assert main(["none.json", *files]) == 3
    assert main(["c.json", "--network", "n.onnx"]) == 3
    assert run.invoke(app, ["check", "c.json", *files, "--grade", "some"]).exit_code == 3
    Path("e.json").write_text("mine")
    refused = run.invoke(app, ["verify", "n.onnx", "p.vnnlib", "--certificate", "e.json"])
    assert refused.exit_code == 3 and Path("e.json").read_text() == "mine"
