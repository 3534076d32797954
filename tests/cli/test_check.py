"""`absdomain verify --certificate`, `certify --certificates` and `absdomain check`: exit codes, and what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from absdomain.cli.check import _files_of
from absdomain.cli.main import app
from absdomain_check.__main__ import main
from tests.checker.networks import around, dense
from tests.checker.pictures import data_set


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


@pytest.mark.filterwarnings("ignore:mnist/test")
def test_certificates_of_images_go_from_one_command_to_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data_set(tmp_path, 1, 12, side=28, classes=3)
    rng = np.random.default_rng(0)
    weights = {
        "W0": rng.standard_normal((8, 784)) / 28,
        "b0": np.zeros(8),
        "W1": rng.standard_normal((3, 8)),
        "b1": np.zeros(3),
    }
    arch = '{"layers": "flatten fc784>8 relu fc8>3", "input": [1, 28, 28], "dataset": "mnist"}'
    np.savez("net.npz", arch=np.array(arch), **{name: t.astype(np.float32) for name, t in weights.items()})
    run = CliRunner()
    asked = ["certify", "--weights", "net.npz", "--data-dir", ".", "--eps", "0.001", "--domain", "box", "--curve", "0",
             "--steps", "0", "--out", "out"]  # fmt: skip
    found = run.invoke(app, [*asked, "--certificates"])
    assert found.exit_code == 0 and "certificates of" in found.output, found.output
    refused = run.invoke(app, [*asked, "--certificates", "--executed", "float32"])
    assert refused.exit_code != 0
    counts = found.output.partition("certificates of ")[2].split()
    checked = run.invoke(app, ["check", "out", "--data-dir", "."])
    assert checked.exit_code == 0, checked.output
    assert main(["out", "--data-dir", "."]) == 0
    told = capsys.readouterr().out
    assert f"{counts[0]} are verified, {counts[3]} falsified" in told and "at eps 0.001 within [0, 1]" in told
    assert int(counts[0]) > 0 and "network.onnx alone, grade ball" in told
    assert main(["out", "--network", "out/certificates/network.onnx", "--property", "p"]) == 3
    assert main(["out"]) == 3 and main(["MNIST", "--data-dir", "."]) == 3
    data_set(tmp_path, 2, 12, side=28, classes=3)
    assert main(["out", "--data-dir", "."]) == 1
    assert "refused: the certificates are of another data set" in capsys.readouterr().out


def test_where_the_public_files_of_images_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of digits, scikit-learn's own; of others, the folder of the environment; without any the checker asks for it."""
    place = tmp_path / "certificates"
    place.mkdir()
    (place / "images.jsonl").touch()
    monkeypatch.setenv("ABSDOMAIN_DATA", "elsewhere")
    for name, wanted in (("digits", "digits.csv.gz"), ("mnist", "")):
        (place / "manifest.json").write_text(json.dumps({"data": {"name": name}}))
        found = _files_of(tmp_path)
        assert found is not None
        assert (found / wanted).is_file() if wanted else found == Path("elsewhere")
    monkeypatch.delenv("ABSDOMAIN_DATA")
    assert _files_of(tmp_path) is None
