"""The command line does what its help says, resumes, and fails in one line."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from typer.testing import CliRunner

from absdomain import Guarantee
from absdomain.certification import CASCADE
from absdomain.cli.console import keep_memory
from absdomain.cli.main import app
from absdomain.cli.options import Domains
from absdomain.domain import Decision, Traits, expression
from absdomain.domains import Box
from absdomain.report import study

RUN = ["--epochs", "2", "--network", "mlp-2x100", "--seed", "3"]
FAST = ["--steps", "3", "--restarts", "1", "--curve", "0", "--subset", "40"]


def call(*args: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, f"exit code {result.exit_code}\n{result.stdout}\n{result.stderr}"
    return result


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ABSDOMAIN_DATA", raising=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "r"
    call("train", "--data", "digits", *RUN, "--eps", "0.05", "--out", folder)
    return folder


# --- help and list ----------------------------------------------------------------------------------------------------


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "command",
    [[], *([name] for name in ("train", "certify", "bounds", "verify", "radius", "supports", "demo", "list"))],
    ids=" ".join,
)
def test_every_command_has_help(command: list[str]) -> None:
    text = call(*command, "--help").stdout
    assert "Usage" in text
    assert "malloc" in text or command


def test_the_default_domains_are_told_as_they_are() -> None:
    assert get_args(Domains)[1].help.endswith(f"Default: {', '.join(CASCADE)}.")


def test_list_names_what_is_installed() -> None:
    text = call("list").stdout
    for name in ("box", "deeppoly", "fast-lin", "crown-ibp-B", "gowal-small", "pure-ibp", "cifar10", "digits-demo"):
        assert name in text
    domains = call("list", "domains").stdout
    assert "gowal-small" not in domains
    assert "[z - v, z + v] around the nominal z" in domains  # no markup


# --- train, certify, bounds -------------------------------------------------------------------------------------------


def test_training_writes_a_whole_folder_and_resumes(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"config.json", "metrics.jsonl", "model.safetensors", "training.png"} <= names
    model = (run / "model.safetensors").read_bytes()
    again = call("train", "--data", "digits", *RUN, "--eps", "0.05", "--out", run)
    assert (run / "model.safetensors").read_bytes() == model
    assert "trained" in again.stdout
    recipe = json.loads((run / "config.json").read_text())["recipe"]
    assert (recipe["seed"], recipe["network"], recipe["eps"], recipe["trainer"]) == (3, "mlp-2x100", 0.05, "crown-ibp")


def test_training_shows_its_progress_on_stderr(tmp_path: Path) -> None:
    result = call("train", "--data", "digits", "--trainer", "natural", "--network", "mlp-2x100", "--epochs", "2")
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch("digits-mlp-2x100-natural-eps0-seed0-[0-9a-f]{6}", folder.name)
    assert "2/2" in result.stderr
    assert "error held out: clean" in result.stderr
    assert re.search(r"^train: .* on digits, .*epochs, seed 0, in ", result.stderr, re.MULTILINE)
    assert re.search(r"^trained \d+ epochs in \d+ s; error held out: clean", result.stderr, re.MULTILINE)
    assert "held out" not in result.stdout
    call("certify", folder, *FAST, code=1)  # which eps?
    call("certify", folder, *FAST, "--eps", "0.01", "--steps", "0")


def test_certify_prints_json_alone_and_writes_a_whole_folder(run: Path, tmp_path: Path) -> None:
    result = call("certify", run, "--json", *FAST, "--curve", "5", "--out", tmp_path / "c")
    results = json.loads(result.stdout)
    assert results["clean_error"] <= results["pgd_error"] <= results["verified_error"] <= 100
    assert set(results["domains"]) == {"box", "box & deeppoly(slopes=zero)", "box & deeppoly"}
    assert all(error >= results["verified_error"] for error in results["domains"].values())
    assert (results["samples"], results["eps"], results["data"], results["clip"]) == (40, 0.05, "digits", True)
    expected = {
        ".absdomain",
        "config.json",
        "verdicts.jsonl",
        "results.json",
        "curve.json",
        "radii.json",
        "layers.json",
        "errors.png",
        "widths.png",
        "finished.json",
    }
    assert {path.name for path in (tmp_path / "c").iterdir()} == expected
    assert json.loads((tmp_path / "c" / "results.json").read_text()) == results
    curve = json.loads((tmp_path / "c" / "curve.json").read_text())
    assert [p["eps"] for p in curve] == pytest.approx([0.05 * k / 4 for k in range(7)])
    assert curve[0]["clean_error"] == curve[0]["verified_error"]  # at radius 0 every sound domain is exact


def test_certify_resumes_and_each_question_has_its_folder(run: Path) -> None:
    first = json.loads(call("certify", run, "--json", *FAST).stdout)
    file = Path(first["folder"]) / "verdicts.jsonl"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])  # killed
    assert json.loads(call("certify", run, "--json", *FAST).stdout) == first
    assert file.read_bytes() == content
    other = json.loads(call("certify", run, "--json", *FAST, "--domain", "box").stdout)
    assert other["folder"] != first["folder"]
    assert other["domains"] == {"box": first["domains"]["box"]}
    refused = call("certify", run, *FAST, "--eps", "0.04", "--out", first["folder"], code=1)
    assert "another configuration" in refused.stderr
    assert "region" in refused.stderr


def test_a_certification_that_is_done_answers_from_its_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["certify", run, *FAST, "--domain", "box", "--domain", "fast-lin"]
    first, told = call(*asked), json.loads(call(*asked, "--json").stdout)
    folder = Path(told["folder"])
    with monkeypatch.context() as alone:
        for name in ("load", "certify", "judged"):
            alone.setattr(study, name, lambda *_, **__: pytest.fail("it was certified again"))
        again = call(*asked)
        assert again.stdout == first.stdout and "is done" in again.stderr
        assert json.loads(call(*asked, "--json").stdout) == told
        call(*asked, "--report")
    assert (folder / "report.html").is_file()
    changes = {"verdicts.jsonl": b"", "widths.png": None, "finished.json": None}
    for name, content in changes.items():  # whatever is not as it was is made again
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
        assert "is done" not in call(*asked).stderr, name
        assert "is done" in call(*asked).stderr and (folder / name).stat().st_size > 1, name
    assert "is done" not in call(*asked, "--curve", "3").stderr
    assert "is done" not in call(*asked, "--curve", "3", "--certificates").stderr


def test_a_certification_of_other_weights_is_not_done(run: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(run, tmp_path / "mine", ignore=shutil.ignore_patterns("certified"))
    call("certify", mine, *FAST, "--domain", "box")
    assert "is done" in call("certify", mine, *FAST, "--domain", "box").stderr
    weights = load_file(mine / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, mine / "model.safetensors")
    assert "another configuration" in call("certify", mine, *FAST, "--domain", "box", code=1).stderr


def test_certify_prints_a_table_with_the_domains_as_the_user_spells_them(run: Path) -> None:
    text = call("certify", run, *FAST, "--domain", "Fast-Lin", "--domain", "ibp & deeppoly", "--cascade").stdout
    for word in ("clean", "PGD", "verified by any", "40 images"):
        assert word in text
    text = call("certify", run, *FAST, "--domain", "Fast-Lin", "--count-ties", "--margin", "0.1", "--no-clip").stdout
    assert "verified by Fast-Lin" in text


def test_bounds_shows_layers_and_margins(run: Path, tmp_path: Path) -> None:
    text = call("bounds", run, "--index", "5", "--domain", "box", "--plot", tmp_path / "w.png").stdout
    for word in ("input", "Dense", "ReLU", "1x8x8", "mean width", "rival class", "image 5"):
        assert word in text
    assert (tmp_path / "w.png").stat().st_size > 1000


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    net = nn.Linear(64, 10)
    arch = json.dumps({"layers": "flatten fc64>10", "input": [1, 8, 8], "dataset": "digits"})
    content = {"W0": net.weight.detach().numpy(), "b0": net.bias.detach().numpy(), "arch": np.array(arch)}
    np.savez(tmp_path / "theirs.npz", **content)
    return tmp_path / "theirs.npz"


def test_others_weights_are_certified_and_bounded(weights: Path) -> None:
    results = json.loads(call("certify", "--weights", weights, "--eps", "0.01", "--json", *FAST).stdout)
    assert results["network"] == "theirs"
    assert results["folder"].startswith("runs/theirs/certified/eps0.01-")
    errors = set(results["domains"].values())
    assert len(errors) == 1  # on an affine network every domain is exact
    assert results["pgd_error"] <= errors.pop()
    assert "Dense" in call("bounds", "--weights", weights, "--eps", "0.01").stdout


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train"], "Give --data .* or a --preset"),
        (["train", "--data", "minst"], "unknown data set 'minst', .*; did you mean mnist"),
        (["train", "--data", "digits", "--network", "crown-ibp-Z"], "did you mean crown-ibp-"),
        (["train", "--data", "digits", "--trainer", "magic"], "no trainer is registered as 'magic'"),
        (["train", "--data", "digits", "--lr", "-1"], "lr: -1.0 cannot be used"),
        (["train", "--data", "digits", "--device", "warp"], "--device warp: cannot be used here"),
        (["train", "--data", "mnist", "--data-dir", "nowhere"], "nowhere: not a folder"),
        (["train", "--preset", "nope"], "no preset is registered as 'nope'"),
        (["certify"], "either RUN, the folder of a training, or --weights"),
        (["certify", "nowhere"], "nowhere: holds no config.json"),
        (["certify", "--weights", "nowhere.npz", "--eps", "0.1"], "nowhere.npz: no such file"),
        (["certify", "--weights", ".", "--eps", "0.1"], r"\.: is a folder; give the npz file in it"),
        (["certify", "THEIRS"], "Give --eps"),
        (["certify", "RUN", "THEIRS"], "either RUN"),
        (["certify", "RUN", "--domain", "boks"], "no domain is called 'boks'"),
        (["certify", "RUN", "--domain", "box &"], "'box &'"),
        (["certify", "RUN", "--domain", "box", "--domain", "ibp"], "same domain is given twice"),
        (["certify", "RUN", "--data", "mnist", "--data-dir", "DATA"], r"does not take images of \(1, 28, 28\)"),
        (["bounds", "RUN", "--index", "360"], "digits has test images 0..359"),
        (["list", "things"], "list things: there are domains"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_told_in_one_line(args: list[str], message: str, run: Path, weights: Path, tmp_path: Path) -> None:
    places = {"RUN": [str(run)], "THEIRS": ["--weights", str(weights)], "DATA": [str(mnist(tmp_path / "data"))]}
    result = call(*[word for arg in args for word in places.get(arg, [arg])], code=1)
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert re.search(message, lines[-1]), lines[-1]
    assert "Traceback" not in result.stderr


def mnist(folder: Path) -> Path:
    """A folder with an MNIST test set of three black images."""
    folder.mkdir(parents=True)
    images = np.zeros((3, 28, 28), np.uint8)
    (folder / "t10k-images-idx3-ubyte").write_bytes(
        b"\0\0\x08\x03" + np.array([3, 28, 28], ">i4").tobytes() + images.tobytes()
    )
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + np.array([3], ">i4").tobytes() + b"\0\0\0")
    return folder


def test_options_of_the_wrong_type_are_refused(run: Path) -> None:
    result = call("certify", run, "--eps", "-1", code=2)
    assert "--eps" in result.stderr


def test_what_cannot_be_read_is_told_before_the_work_is_announced(run: Path) -> None:
    for option, value in (("--domain", "crwn"), ("--attack", "pdg(steps=2)")):
        told = call("certify", run, option, value, code=1).stderr
        assert value[:3] in told and "test images" not in told


def test_debug_shows_the_traceback(run: Path) -> None:
    for args in (["--debug", "certify", run, "--domain", "boks"], ["certify", run, "--domain", "boks", "--debug"]):
        result = CliRunner().invoke(app, [str(arg) for arg in args])
        assert isinstance(result.exception, ValueError)


@dataclass(frozen=True)
class Guess(Box):
    """A domain that promises nothing."""

    traits = Traits(Guarantee.HEURISTIC)


@dataclass(frozen=True)
class Liar(Box):
    """A domain whose lower bounds are too high."""

    def decide(self, e: Any, groups: Tensor | None = None) -> Decision:
        return Decision(super().decide(e).lower + 100)


def test_a_heuristic_domain_is_refused_and_marked(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(expression.COMBINATORS, "guess", Guess)
    result = call("certify", run, *FAST, "--domain", "box.guided(by=guess)", code=1)
    assert "HEURISTIC, not SOUND" in result.stderr
    assert not list(run.glob("certified/*/results.json")) or result.stdout == ""
    assert "(heuristic)" in call("bounds", run, "--domain", "guess").stdout


def test_an_unsound_domain_has_an_exit_code_of_its_own(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(expression.COMBINATORS, "liar", Liar)
    result = call("certify", run, *FAST, "--domain", "liar", code=3)
    assert "liar claims" in result.stderr


def test_an_interruption_says_how_to_go_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "study", interrupted)
    assert "the same command again" in call("certify", run, *FAST, code=130).stderr


def test_a_failure_of_ours_is_named_as_such(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("verdict")

    monkeypatch.setattr(study, "study", broken)
    assert "KeyError: 'verdict' (run again with --debug" in call("certify", run, *FAST, code=1).stderr


def test_memory_thresholds_of_the_user_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("mallopt was looked up")

    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    monkeypatch.setattr("ctypes.CDLL", forbidden)
    keep_memory()


# --- slow -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_demo_trains_certifies_and_draws(tmp_path: Path) -> None:
    text = call("demo").stdout
    assert "verified by box & deeppoly" in text
    assert (tmp_path / "runs" / "demo" / "training.png").exists()
    results = json.loads(next((tmp_path / "runs" / "demo").glob("certified/*/results.json")).read_text())
    assert results["samples"] == 360
    assert results["clean_error"] < 10
    assert results["verified_error"] < 40


@pytest.mark.slow
def test_a_certification_that_is_killed_at_any_moment_goes_on(run: Path, tmp_path: Path) -> None:
    def command(folder: str) -> list[str]:
        given = [*FAST[:-2], "--batch", "10", "--json", "--domain", "box & deeppoly", "--out", tmp_path / folder]
        return [sys.executable, "-m", "absdomain.cli", "certify", *map(str, [run, *given])]

    whole = subprocess.run(command("whole"), capture_output=True, text=True, check=True).stdout
    kills = 0
    for moment in torch.linspace(1, 8, 10).tolist():
        process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.wait()
    resumed = subprocess.run(command("killed"), capture_output=True, text=True, check=True).stdout
    assert kills > 0
    assert json.loads(resumed) == json.loads(whole) | {"folder": str(tmp_path / "killed")}
    texts = [(tmp_path / name / "verdicts.jsonl").read_bytes() for name in ("whole", "killed")]
    assert texts[0] == texts[1]


DATA = Path(os.environ.get("ABSDOMAIN_DATA", "no folder"))
SALMAN = DATA / "models" / "salman_LPD_MLP_B_0.1.npz"


@pytest.mark.slow
@pytest.mark.skipif(not SALMAN.exists(), reason="ABSDOMAIN_DATA names no folder with models/salman_LPD_MLP_B_0.1.npz")
def test_a_published_network_has_its_published_errors() -> None:
    """Salman et al. 2019, MLP-B at eps 0.1 on all 10,000 images: clean 4.09, PGD 13.39, exact 14.45, Fast-Lin 18.32."""
    args = ["--weights", SALMAN, "--data", "mnist", "--data-dir", DATA, "--eps", "0.1", "--curve", "0", "--json"]
    results = json.loads(call("certify", *args, "--domain", "fast-lin").stdout)
    assert results["samples"] == 10_000
    assert results["clean_error"] == pytest.approx(4.09)
    assert results["domains"]["fast-lin"] == pytest.approx(18.32)
    assert 13.2 <= results["pgd_error"] <= 14.45
