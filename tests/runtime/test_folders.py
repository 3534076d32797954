"""A folder of ours has a record of what was written in it; whatever else is in it stays."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from absdomain.runtime import folders
from absdomain.runtime.folders import Kind, Output
from absdomain.runtime.writing import WriteError, _temporary

PLAIN = Kind("test", earlier=lambda folder: (folder / "ours").exists())
OTHER = Kind("trial", earlier=lambda folder: False)


def record(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / ".absdomain").read_text().splitlines()]


def test_a_new_folder_is_recorded_before_its_files(tmp_path: Path) -> None:
    output = PLAIN.claim(tmp_path / "a/b")
    assert record(output.path) == [{"format": "absdomain folder 1", "kind": "test"}]
    output.write("f", b"one")
    output.write("f", b"two")
    output.write("f", b"one")
    assert [row["file"] for row in record(output.path)[1:]] == ["f", "f"]  # each content once
    assert (output.path / "f").read_bytes() == b"one"
    assert PLAIN.claim(tmp_path / "a/b") == output


def test_a_folder_that_holds_nothing_is_taken(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    (tmp_path / _temporary("f")).write_bytes(b"of a process that was killed")
    (tmp_path / ".absdomain").touch()  # killed before its first line
    PLAIN.claim(tmp_path).write("log", b"text")


@pytest.mark.parametrize("make", [
    lambda path: path.write_bytes(b"x"), Path.mkdir, lambda path: path.symlink_to("missing"), os.mkfifo,
])  # fmt: skip
def test_a_folder_that_holds_anything_is_not(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "theirs")
    for attempt in (PLAIN.allow, PLAIN.claim):
        with pytest.raises(WriteError, match=rf"{tmp_path}: holds theirs, and nothing says .*; give a new or empty"):
            attempt(tmp_path)
    assert not (tmp_path / ".absdomain").exists()


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    PLAIN.claim(tmp_path).write("f", b"one")
    before = record(tmp_path)
    with pytest.raises(WriteError, match=rf"{tmp_path}: is of a test, so no trial goes in here; give another folder"):
        OTHER.claim(tmp_path)
    assert record(tmp_path) == before
    assert PLAIN.has(tmp_path)
    assert not OTHER.has(tmp_path)
    assert not OTHER.has(tmp_path / "missing")


def test_a_folder_of_a_version_without_records_keeps_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "ours").write_bytes(b"old")
    (tmp_path / "below").mkdir()
    output = PLAIN.claim(tmp_path)
    output.write("ours", b"new")
    assert [row.get("file") for row in record(tmp_path)] == [None, "ours", "ours"]
    (tmp_path / "later").write_bytes(b"theirs")
    with pytest.raises(WriteError, match="later: absdomain did not write this"):
        output.write("later", b"new")


@pytest.mark.parametrize("theirs", [b"no record\n", b"{}\n", b'{"format": "absdomain folder 2"}\n', b"\0"])
def test_a_record_of_others_is_left_as_it_is(tmp_path: Path, theirs: bytes) -> None:
    (tmp_path / ".absdomain").write_bytes(theirs)
    with pytest.raises(WriteError, match=r"\.absdomain: not a record of this version's; give another folder"):
        PLAIN.claim(tmp_path)
    assert (tmp_path / ".absdomain").read_bytes() == theirs


def test_a_file_that_was_changed_is_not_written(tmp_path: Path) -> None:
    output = PLAIN.claim(tmp_path)
    output.write_json("f", {"a": 1})
    (tmp_path / "f").write_bytes(b"theirs")
    (tmp_path / "g").write_bytes(b"theirs")
    for name in ("f", "g"):
        for attempt in (lambda: output.write(name, b"new"), lambda: PLAIN.allow(tmp_path, "e", name)):  # noqa: B023
            with pytest.raises(WriteError, match=rf"{name}: absdomain did not write this"):
                attempt()
        assert (tmp_path / name).read_bytes() == b"theirs"
    (tmp_path / "f").unlink()
    output.write("f", b"new")


def test_a_kill_between_the_record_and_the_file_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = PLAIN.claim(tmp_path)
    output.write("f", b"one")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folders, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            output.write("f", b"two")
    assert (tmp_path / "f").read_bytes() == b"one"
    output.write("f", b"three")
    assert (tmp_path / "f").read_bytes() == b"three"


def test_a_torn_line_of_the_record_is_no_other(tmp_path: Path) -> None:
    output = PLAIN.claim(tmp_path)
    output.write("f", b"one")
    path = tmp_path / ".absdomain"
    path.write_bytes(path.read_bytes() + b'{"file": "f", "sha')
    output.write("f", b"two")
    output.write("f", b"three")
    assert (tmp_path / "f").read_bytes() == b"three"


def test_without_its_record_nothing_is_written(tmp_path: Path) -> None:
    output = PLAIN.claim(tmp_path)
    (tmp_path / ".absdomain").unlink()
    with pytest.raises(WriteError, match=r"its \.absdomain is gone, .*; run the same command again"):
        output.write("f", b"one")


def test_two_commands_with_one_folder(tmp_path: Path) -> None:
    """Of one kind, both write whole files; of two kinds, one is refused before it has written any."""
    errors: list[Exception] = []

    def work(kind: Kind, name: str) -> None:
        try:
            for k in range(20):
                kind.claim(tmp_path / "one").write("both", b"%d" % k)
                kind.claim(tmp_path / "one").write(name, b"%d" % k)
        except WriteError as error:
            errors.append(error)

    def together(*jobs: tuple[Kind, str]) -> None:
        threads = [threading.Thread(target=work, args=job) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    together((PLAIN, "first"), (PLAIN, "second"))
    assert not errors
    assert all((tmp_path / "one" / name).read_bytes() == b"19" for name in ("both", "first", "second"))
    together((PLAIN, "first"), (OTHER, "third"))
    assert len(errors) == 1
    assert not (tmp_path / "one/third").exists()


def test_what_cannot_be_a_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("missing")
    for name in ("file", "link"):
        with pytest.raises(WriteError, match=rf"{name}: not a folder, and none can be made; give another"):
            PLAIN.claim(tmp_path / name)
    with pytest.raises(WriteError, match=r"nothing can be written in .*file"):
        PLAIN.claim(tmp_path / "file/below")
    with pytest.raises(WriteError, match=r"/proc/self/out: nothing can be written in /proc/self; mend that, or give"):
        PLAIN.claim(Path("/proc/self/out"))  # where nobody may, root neither
    monkeypatch.setattr(os, "access", lambda path, mode: True)  # as some file systems say
    with pytest.raises(WriteError, match=r"/proc/self/out: not a folder, and none can be made \(.*\); give another"):
        PLAIN.claim(Path("/proc/self/out"))


def test_a_link_to_a_folder_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to("disk")
    assert PLAIN.claim(tmp_path / "runs/r") == Output(tmp_path / "runs/r")
    PLAIN.claim(tmp_path / "runs/r").write("f", b"one")
    assert (tmp_path / "disk/r/f").read_bytes() == b"one"
