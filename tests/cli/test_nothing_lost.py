"""No command writes, replaces or removes what is not provably the library's, whatever `--out` names."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from absdomain.report import polytope
from tests.cli.test_cli import call

TRAIN = ["train", "--data", "toy", "--trainer", "natural", "--eps-eval", "0.05", "--epochs", "2"]
ASK = ["--steps", "0", "--curve", "0", "--domain", "box", "--eps", "0.05"]
FILES = {
    "notes.txt": b"an afternoon's work",
    "checkpoint.pt": b"\x80\x02theirs",
    "checkpoint-best.safetensors": b"theirs",
    "model.safetensors": b"theirs",
    "metrics.jsonl": b'{"epoch": 1, "loss": 0.5}\n',
    "verdicts.jsonl": b"no newline",
    "config.json": b'{"model_type": "bert"}\n',
    "results.json": b'{"accuracy": 0.9}\n',
    "state.json": b"{}\n",
    "training.png": b"\x89PNG\r\n\x1a\ntheirs",
    "table.md": b"| a | b |\n",
    "toy.json": b"[]\n",
    "layers.json": b'[{"name": "conv1"}]\n',
    ".absdomain": b"theirs\n",
}
COMMANDS = {
    "train": [*TRAIN, "--out", "DIR"],
    "certify": ["certify", "RUN", *ASK, "--out", "DIR"],
    "inspect": ["inspect", "RUN", "--out", "DIR"],
    "sweep": ["sweep", "digits-demo", "--budget", "0.02", "--no-cost", "--out", "DIR"],
    "toy": ["toy", "--out", "DIR", "--epochs", "1", "--moment", "1"],
    "demo": ["demo", "--out", "DIR"],
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ABSDOMAIN_DATA", raising=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "r"
    call(*TRAIN, "--out", folder)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A finished run of the test's own."""
    return shutil.copytree(trained, tmp_path / "run")


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their content, and the targets of links."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def refused(folder: Path, *args: object) -> str:
    """What a command says that ends in an error of one line and leaves every file below the folder as it is."""
    before = tree(folder)
    text = call(*args, code=1).stderr
    assert tree(folder) == before
    assert text.strip().splitlines()[-1].startswith("error: ")
    return " ".join(text.split())


# --- folders of others ------------------------------------------------------------------------------------------------


CASES = [(command, name) for command in ("train", "certify") for name in FILES]  # those that are often given a folder
CASES += [(command, name) for command in COMMANDS for name in ("notes.txt", "results.json")]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("command", "name"), dict.fromkeys(CASES))
def test_a_folder_with_a_file_of_the_users_is_left_as_it_is(
    command: str, name: str, trained: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / name).write_bytes(FILES[name])
    said = refused(theirs, *({"DIR": theirs, "RUN": trained}.get(word, word) for word in COMMANDS[command]))
    assert str(theirs) in said
    assert "give a" in said or "use another folder" in said or "move it away" in said


@pytest.mark.sampled(3)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_where_a_folder_belongs_is_left_as_it_is(command: str, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"theirs")
    for place in ("file", "file/below"):
        said = refused(tmp_path, *({"DIR": place, "RUN": trained}.get(word, word) for word in COMMANDS[command]))
        assert "file" in said


@pytest.mark.sampled(3)
@pytest.mark.parametrize("command", ["certify", "inspect", "sweep", "toy"])
def test_no_command_writes_into_a_run(command: str, run: Path) -> None:
    said = refused(run, *({"DIR": run, "RUN": run}.get(word, word) for word in COMMANDS[command]))
    assert f"{run}: is of a training, so no " in said
    (run / ".absdomain").unlink()  # as a version without records left it
    refused(run, *({"DIR": run, "RUN": run}.get(word, word) for word in COMMANDS[command]))
    call(*TRAIN, "--out", run)
    call("certify", run, *ASK, "--out", run / "inside")
    assert (run / "inside" / "results.json").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "training.png", "metrics.jsonl"])
def test_a_folder_where_a_file_belongs_is_left_as_it_is(run: Path, name: str) -> None:
    (run / name).unlink()
    (run / name).mkdir()
    (run / name / "notes.txt").write_text("theirs")
    assert name in refused(run, *TRAIN, "--out", run)


def test_no_training_begins_in_a_certification(run: Path) -> None:
    call("certify", run, *ASK, "--out", "c")
    assert "is of a certification, so no training goes in here; give another folder" in refused(
        Path("c"), *TRAIN, "--out", "c"
    )


def test_new_and_empty_folders_are_taken(trained: Path) -> None:
    Path("empty").mkdir()
    Path("empty/log").touch()  # where the shell sends what a command says
    call("certify", trained, *ASK, "--out", "empty")
    call("certify", trained, *ASK, "--out", "a/new/one")
    assert Path("empty/log").read_bytes() == b""


# --- files of others in a folder of ours ------------------------------------------------------------------------------


def test_a_training_keeps_what_users_put_beside_its_files(tmp_path: Path) -> None:
    run = tmp_path / "r"
    call(*TRAIN, "--out", run)
    (checkpoint,) = run.glob("checkpoint-*.safetensors")
    kept = {"checkpoint-best.safetensors": checkpoint.read_bytes(), "checkpoint-0123456789abcdef.safetensors": b"x"}
    kept |= {".checkpoint-0123.tmp": b"y", ".lock": b"z", "checkpoint-best.pt": b""}
    shutil.rmtree(run)
    call("train", *TRAIN[1:-1], 1, "--out", run)
    for name in ("metrics.jsonl", "state.json", "model.safetensors", "training.png", checkpoint.name):
        (run / name).unlink(missing_ok=True)  # of one epoch, to train again
    for stale in run.glob("checkpoint-*"):
        stale.unlink()
    for name, content in kept.items():
        (run / name).write_bytes(content)
    call("train", *TRAIN[1:-1], 1, "--out", run)
    assert {name: (run / name).read_bytes() for name in kept} == kept


@pytest.mark.sampled(3)
@pytest.mark.parametrize("rest", [b"a note", b"a note\n", b'{"epoch": 2, "x": 1}\n{"epoch": 3}\n', b'{"epoch": 7, '])
def test_metrics_with_lines_of_others_are_left_as_they_are(run: Path, rest: bytes) -> None:
    state = json.loads((run / "state.json").read_text())
    (run / "state.json").write_text(json.dumps(state | {"epoch": 1}))
    rows = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "state.json").write_text(json.dumps(state | {"epoch": 1, "metrics_size": len(rows[0])}))
    (run / "metrics.jsonl").write_bytes(rows[0] + rest)
    (run / "model.safetensors").unlink()
    assert "metrics.jsonl: behind the" in refused(run, *TRAIN, "--out", run)
    (run / "metrics.jsonl").write_bytes(rows[0] + b'{"epoch": 2, "st')  # killed while it wrote
    call(*TRAIN, "--out", run)
    assert len((run / "metrics.jsonl").read_bytes().splitlines()) == 2


def test_a_changed_picture_is_no_longer_ours(run: Path) -> None:
    (run / "training.png").write_bytes(b"a better one")
    assert "training.png: absdomain did not write this" in refused(run, *TRAIN, "--out", run)
    (run / "training.png").unlink()
    call(*TRAIN, "--out", run)


def test_a_link_is_not_replaced(run: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    (run / "training.png").unlink()
    (run / "training.png").symlink_to(tmp_path / "theirs")
    assert "training.png: is a link" in refused(tmp_path, *TRAIN, "--out", run)
    assert (run / "training.png").is_symlink()


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["results.json", "config.json"])
def test_changed_results_are_no_longer_ours(trained: Path, name: str) -> None:
    call("certify", trained, *ASK, "--out", "c")
    file = Path("c") / name
    file.write_bytes(file.read_bytes() + b"my own remarks")
    assert f"{name}: absdomain did not write this" in refused(Path("c"), "certify", trained, *ASK, "--out", "c")
    file.rename("elsewhere")
    call("certify", trained, *ASK, "--out", "c")
    assert file.exists()


def test_compare_and_matrix_leave_others_files_in_a_run(run: Path) -> None:
    compare = ["compare", run, run, *ASK[:2], *ASK[4:], "--json"]
    matrix = ["matrix", run, "--subset", "3", *ASK[:2], *ASK[4:]]
    call(*compare)
    call(*matrix)
    folders = [path.parent for path in run.glob("certified/*/verdicts.jsonl")]
    assert len(folders) == 3  # one of compare's, two of matrix's
    for folder in folders:
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "notes.txt").write_text("theirs")
    for command in (compare, matrix):
        assert "notes.txt, and nothing says that absdomain made it" in refused(run, *command)


# --- single files -----------------------------------------------------------------------------------------------------

SINGLE: dict[str, list[Any]] = {
    "matrix": ["matrix", "RUN", "--subset", "3", *ASK[:2], *ASK[4:], "--out", "FILE"],
    "bounds": ["bounds", "RUN", "--eps", "0.05", "--domain", "box", "--plot", "FILE"],
}


@pytest.mark.parametrize("command", SINGLE)
def test_a_file_of_others_is_left_as_it_is(command: str, run: Path, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    Figure().savefig(tmp_path / "their.png")
    (tmp_path / "list.json").write_text('[{"run": "mine"}]')
    (tmp_path / "text").write_text("theirs")
    (tmp_path / "link.png").symlink_to("text")
    (tmp_path / "folder").mkdir()
    for name in ("their.png", "list.json", "text", "link.png", "folder", "run/config.json", "text/below"):
        places = {"RUN": run, "FILE": tmp_path / name}
        assert name.split("/")[0] in refused(tmp_path, *(places.get(word, word) for word in SINGLE[command]))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("command", SINGLE)
def test_a_file_of_ours_is_written_again(command: str, run: Path, tmp_path: Path) -> None:
    ask = [{"RUN": run, "FILE": tmp_path / "new/f.png"}.get(word, word) for word in SINGLE[command]]
    call(*ask)
    content = (tmp_path / "new/f.png").read_bytes()
    call(*ask, "--domain", "crown")
    assert (tmp_path / "new/f.png").read_bytes() != content


def test_fuzz_writes_nothing(tmp_path: Path) -> None:
    call("fuzz", "--domain", "box", "--examples", "3")
    assert tree(tmp_path) == {}


# --- folders of versions without records ------------------------------------------------------------------------------


@pytest.mark.sampled(3)
@pytest.mark.parametrize("command", ["train", "certify", "inspect", "toy"])
def test_folders_of_former_versions_are_gone_on_with(
    command: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polytope, "SIDE", 13)  # the toy's picture need not be fine
    ask = [{"DIR": tmp_path / "out", "RUN": trained}.get(word, word) for word in COMMANDS[command]]
    call(*ask)
    for record in (tmp_path / "out").rglob(".absdomain"):
        record.unlink()
    before = tree(tmp_path)
    call(*ask)
    after = tree(tmp_path)
    assert before.keys() <= after.keys()
    assert {name for name in after.keys() - before.keys() if not name.endswith(".absdomain")} == set()
