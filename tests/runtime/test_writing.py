"""A file is written where nothing is lost, whole or not at all."""

import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from absdomain.runtime import pictures
from absdomain.runtime.writing import (
    WriteError,
    _temporary,
    as_json,
    is_temporary,
    keyed,
    present,
    remove,
    replace,
    vacant,
)


def never(content: bytes) -> bool:
    return False


def marked(content: bytes) -> bool:
    return content.startswith(b"ours")


@pytest.mark.parametrize("old", [None, b"", b"o", b"ours, ", b"ours, new", b"ours, old and longer"])
def test_what_is_not_there_or_begins_alike_or_is_ours_is_written(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "a" / "new folder" / "f"
    if old is not None:
        path.parent.mkdir(parents=True)
        path.write_bytes(old)
    replace(path, b"ours, new", marked)
    assert path.read_bytes() == b"ours, new"
    assert [found.name for found in path.parent.iterdir()] == ["f"]


@pytest.mark.parametrize("old", [b"theirs", b"new, and more", b"\0", b"new\n"])
def test_what_others_wrote_is_refused(tmp_path: Path, old: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(old)
    for attempt in (lambda: replace(path, b"new", never), lambda: vacant(path, never)):
        with pytest.raises(WriteError, match=rf"{path}: absdomain did not write this.*; move it away"):
            attempt()
    remove(path, never)
    assert path.read_bytes() == old


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"ours, too")
    (tmp_path / "link").symlink_to("theirs")
    (tmp_path / "nowhere").symlink_to("missing")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "nowhere", "folder", "pipe"):
        path = tmp_path / name
        for attempt in (lambda: replace(path, b"new", marked), lambda: vacant(path, marked), lambda: present(path)):  # noqa: B023
            with pytest.raises(WriteError, match=rf"{path}: is a link or no plain file.*; move it away"):
                attempt()
        remove(path, marked)
    assert (tmp_path / "theirs").read_bytes() == b"ours, too"
    assert {path.name for path in tmp_path.iterdir()} == {"theirs", "link", "nowhere", "folder", "pipe"}


@pytest.mark.parametrize("place", ["file/f", "file/deep/f"])
def test_where_nothing_can_be_made_is_said_at_once(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=rf"{place}: nothing can be written in .*file; mend that, or give"):
        vacant(tmp_path / place, never)
    with pytest.raises(WriteError, match=rf"{place}: cannot be written .*give another place"):
        replace(tmp_path / place, b"new", never)


def test_a_folder_without_permission_is_told() -> None:
    """Of one in which root may not write either."""
    with pytest.raises(WriteError, match=r"/proc/self/f: nothing can be written in /proc/self; mend that"):
        vacant(Path("/proc/self/f"), never)
    with pytest.raises(WriteError, match="/proc/self/f: cannot be written"):
        replace(Path("/proc/self/f"), b"new", never)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_bytes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "f"
    path.write_bytes(b"ours, old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(WriteError, match=rf"{path}: cannot be written \(No space left on device\)"):
            replace(path, b"ours, new", marked)
    assert path.read_bytes() == b"ours, old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_bytes_are_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"same")
    before = path.stat()
    replace(path, b"same", never)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_reader_sees_one_whole_content(tmp_path: Path) -> None:
    contents, path, seen = [b"ours" + bytes([k]) * 100_000 for k in range(2)], tmp_path / "f", set()
    replace(path, contents[0], marked)

    def write() -> None:
        for k in range(40):
            replace(path, contents[k % 2], marked)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        seen.add(path.read_bytes())
    writer.join()
    assert seen <= set(contents)


def test_names_of_temporaries_prove_themselves() -> None:
    for name in ("state.json", "x" * 240, "a b\nc", ".hidden"):
        made = _temporary(name)
        assert is_temporary(Path(made))
        assert len(made.encode()) < 256
        assert made != _temporary(name)
    made = _temporary("f")
    digit = "0" if made[-5] != "0" else "1"
    for name in (".f.tmp", "f", ".f.0123456789abcdef.tmp", made[:-5] + digit + ".tmp", made[1:], "." + made):
        assert not is_temporary(Path(name))


def test_json_is_known_by_its_keys() -> None:
    ours = keyed(("a", "b"))
    assert ours(as_json({"a": 1, "b": 2}))
    assert ours(as_json([{"a": 1, "b": 2}, {"b": 1, "a": None}]))
    for value in ({"a": 1}, {"a": 1, "b": 2, "c": 3}, [], [{"a": 1, "b": 2}, {"a": 1}], [1], 1, None, "a"):
        assert not ours(as_json(value))
    assert not ours(b"\xff{")
    assert not ours(b"")


def test_our_pictures_say_so() -> None:
    figure = Figure()
    assert pictures.drawn(pictures.encoded(figure))
    assert pictures.drawn(pictures.encoded(figure, "svg"))
    unsigned = pictures.encoded(figure, "svg").replace(b"absdomain", b"matplotlib")
    for theirs in (unsigned, pictures.encoded(figure, "pdf"), b"", b"tEXtSoftware\0absdomain"):
        assert not pictures.drawn(theirs)
    with pytest.raises(ValueError, match="xyz"):
        pictures.encoded(figure, "xyz")


ROOT = Path(__file__).parents[2]
WRITES = re.compile(
    r"""open\([^)\n]*["'][rb]?[waxb]*[wax+]|write_(text|bytes)|\.(unlink|rename|mkdir|rmdir|touch|truncate|tofile)\("""
    r"|os\.(replace|remove)|rmtree|shutil|savefig|save_file|(torch|np|numpy)\.save\w*\(|to_csv"
)
WRITERS = {
    "absdomain/certification/journal.py": "appends to a file with its header, removes parts that have it",
    "absdomain/runtime/folders.py": "makes folders, appends to their records",
    "absdomain/runtime/pictures.py": "into memory",
    "absdomain/runtime/writing.py": "all else",
    "trainers/run/checkpoints.py": "removes temporaries, which prove themselves",
    "trainers/run/folder.py": "the lock, which stays empty; the metrics, of which it drops a torn row of its own",
}


def test_nothing_else_writes() -> None:
    """Who writes goes through `replace` or an `Output`, or stands here with the reason why it loses nothing."""
    rooms = ("absdomain", "domains", "networks", "trainers", "proofs", "benchmarks", "examples")
    sources = {path for room in rooms for path in (ROOT / room).rglob("*.py") if not path.parent.is_symlink()}
    found = {str(path.relative_to(ROOT)) for path in sources if WRITES.search(path.read_text())}
    assert found == set(WRITERS)


@pytest.mark.parametrize("line", [
    'open(path, "w")', "open(path, 'ab')", 'path.open("r+b")', 'path.open(mode="x")', "path.write_text(x)", "p.mkdir()",
    "os.replace(a, b)", "figure.savefig(p)", "torch.save(x, p)", "p.unlink(missing_ok=True)",
])  # fmt: skip
def test_the_reader_of_sources_sees_every_way_to_write(line: str) -> None:
    assert WRITES.search(line)
    assert not WRITES.search('with tarfile.open(archive) as tar: text.replace("a", "w"); open(path, "rb"); open(p)')
