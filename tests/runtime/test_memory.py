"""What would not fit in memory: refused with the node, the size and what could be done."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from absdomain import Linf, parse
from absdomain.domains import Box, Zonotope
from absdomain.errors import TooLarge
from absdomain.kinds import Nonlinear
from absdomain.linear import Bounds
from absdomain.region import Region
from absdomain.runtime import memory
from tests.domains.test_oracles import BALL_1, EXAMPLE_1

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Greedy(Box):
    """Box, with more memory than there is."""

    def relax(
        self, op: Nonlinear, args: tuple[Region | Bounds, ...], boxes: tuple[Bounds, ...] | None
    ) -> Region | Bounds:
        raise RuntimeError(self.says)

    says: str = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 3221225472 bytes. Error code 12"


@pytest.mark.parametrize(
    ("says", "size"),
    [
        (Greedy.says, "3.0 GiB"),
        ("CUDA out of memory. Tried to allocate 512.00 MiB. GPU 0 has a total capacity of 8 GiB", "0.5 GiB"),
        ("CUDA out of memory. Tried to allocate 40.00 GiB. GPU 0 has a total capacity of 8 GiB", "40.0 GiB"),
    ],
)
def test_an_allocator_that_fails_is_told_with_the_node_and_the_remedy(says: str, size: str) -> None:
    relaxed = next(node.name for node in EXAMPLE_1.nodes if isinstance(node.op, Nonlinear))
    with pytest.raises(TooLarge, match=f"at '{relaxed}': {size} more are needed.*crown-ibp.*a smaller batch"):
        Greedy(says=says).propagate(EXAMPLE_1, BALL_1)


def test_an_error_of_another_kind_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="sizes do not fit"):
        Greedy(says="sizes do not fit").propagate(EXAMPLE_1, BALL_1)


def test_torchs_own_allocator_is_understood() -> None:
    with pytest.raises(TooLarge, match=r"here: 32768\.0 GiB more are needed"), memory.named(lambda: "here"):
        torch.empty(2**43)


def test_the_bounds_of_the_output_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Tensor:
        raise RuntimeError(Greedy.says)

    trace = parse("deeppoly").propagate(EXAMPLE_1, BALL_1, keep=True)
    monkeypatch.setattr(Linf, "minimum", full)
    name = EXAMPLE_1.output.name
    for ask in (lambda: trace.lower, lambda: trace.upper, lambda: trace.at(name)):
        with pytest.raises(TooLarge, match=f"deeppoly at .*'{name}': 3.0 GiB"):
            ask()


def test_what_does_not_fit_is_refused_before_it_is_allocated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       4096000 kB\nMemAvailable:    1048576 kB\n", encoding="ascii")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    assert memory.available(CPU) == 2**30
    memory.needed(2**30, CPU, "as much as there is")
    with pytest.raises(TooLarge, match=r"more than there is takes 1\.0 GiB, and 1\.0 GiB are free; take a domain"):
        memory.needed(2**30 + 1, CPU, "more than there is")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "none")
    assert memory.available(CPU) == float("inf")


@pytest.mark.parametrize("most", [3, 7, 15])
def test_zonotopes_are_asked_for_before_they_are_made(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Example 1 has two inputs and two neurons, so that two inputs take 4 numbers, and fresh symbols as many again."""
    asked: list[int] = []

    def needed(size: int, device: torch.device, what: str) -> None:
        asked.append(size)
        if size > most:
            raise TooLarge(what)

    monkeypatch.setattr(memory, "needed", needed)
    with pytest.raises(TooLarge, match=r"zonotope at '.*': a zonotope of 2 inputs and symbols over 2 entries"):
        Zonotope().propagate(EXAMPLE_1, BALL_1)
    assert asked == [2 * 2 * BALL_1.centre.element_size()]
