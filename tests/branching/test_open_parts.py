"""A queue of parts gives those of the least bounds, each once, whatever came in between."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from absdomain.branching.open_parts import OpenParts, Queue


@dataclass(frozen=True, eq=False)
class Numbered(OpenParts):
    """Parts that know their numbers."""

    bound: Tensor
    number: Tensor

    def select(self, index: Tensor) -> Numbered:
        return Numbered(self.bound[index], self.number[index])

    def with_more(self, *others: Numbered) -> Numbered:
        parts = (self, *others)
        return Numbered(torch.cat([p.bound for p in parts]), torch.cat([p.number for p in parts]))


@given(st.lists(st.tuples(st.lists(st.integers(-9, 9), max_size=6), st.integers(1, 5)), min_size=1, max_size=12))
def test_it_is_a_sorted_list(turns: list[tuple[list[int], int]]) -> None:
    """In each turn some are added and some taken."""
    queue, plain, known = Queue(Numbered(torch.zeros(0), torch.zeros(0, dtype=torch.long))), dict[int, int](), 0
    for added, taken in turns:
        numbers = range(known, known + len(added))
        queue.add(Numbered(torch.tensor(added, dtype=torch.float32), torch.tensor(list(numbers), dtype=torch.long)))
        plain |= dict(zip(numbers, added, strict=True))
        known += len(added)
        assert len(queue) == len(plain)
        assert queue.least == min(plain.values(), default=torch.inf)
        if plain:
            found = queue.take(taken)
            assert sorted(found.bound.tolist()) == sorted(plain.values())[:taken]
            assert all(
                plain.pop(number) == bound
                for number, bound in zip(found.number.tolist(), found.bound.tolist(), strict=True)
            )


def test_what_is_taken_is_not_held() -> None:
    """A block of which less than half is open is copied without the rest."""
    queue = Queue(Numbered(torch.arange(100.0), torch.arange(100)))
    for _ in range(9):
        queue.take(10)
    assert sum(len(block) for block, _ in queue._blocks) <= 2 * len(queue) == 20
