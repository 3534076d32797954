"""Work in a child process ends when its limits say so, and when its parent dies."""

import os
import signal
import sys
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

from absdomain.runtime.limited import Died, OutOfMemory, OutOfTime, limited

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and forks")


def test_what_the_work_returns_comes_back() -> None:
    assert limited(partial(sum, range(10))) == 45
    large = limited(lambda: "x" * 10_000_000, seconds=60)
    assert len(large) == 10_000_000


def test_time_holds_within_a_step() -> None:
    began = time.monotonic()
    with pytest.raises(OutOfTime):
        limited(lambda: time.sleep(60), seconds=0.2)
    assert time.monotonic() - began < 5


def test_memory_is_limited() -> None:
    def hungry() -> int:
        held = []
        while True:
            held.append(bytearray(os.urandom(1 << 20)) * 20)

    held = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**30
    with pytest.raises(OutOfMemory, match="GiB"):
        limited(hungry, seconds=60, memory=held + 0.2)


def test_a_crash_is_told() -> None:
    with pytest.raises(Died, match="exit code 7"):
        limited(lambda: os._exit(7))
    with pytest.raises(Died, match="exit code -9"):
        limited(lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    told = tmp_path / "child"

    def child() -> None:
        told.write_text(str(os.getpid()))
        time.sleep(60)

    parent = get_context("fork").Process(target=limited, args=(child,))
    parent.start()
    while not told.exists() or not told.read_text():
        time.sleep(0.02)
    parent.kill()
    parent.join()
    until = time.monotonic() + 10
    while _alive(int(told.read_text())):
        assert time.monotonic() < until
        time.sleep(0.02)


def _alive(process: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
