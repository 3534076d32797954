"""The peak of the tensors that a piece of work holds."""

import torch
from torch import Tensor

from absdomain.runtime.allocation import peak_bytes

KIB = torch.zeros(128, dtype=torch.float64)  # 1024 bytes


def test_what_is_held_at_once_counts_once() -> None:
    def one_after_the_other() -> Tensor:
        x = KIB + 1
        x = x + 1  # two at once
        return x + 1

    def all_at_once() -> list[Tensor]:
        return [KIB + k for k in range(5)]

    assert peak_bytes(one_after_the_other) == 2048
    assert peak_bytes(all_at_once) == 5120


def test_views_and_what_was_given_do_not_count() -> None:
    assert peak_bytes(lambda: KIB.view(2, 64)[0]) == 0
    assert peak_bytes(lambda: (KIB + 1).view(2, 64)[0].unsqueeze(0)) == 1024


def test_a_view_keeps_its_storage() -> None:
    def keeping() -> list[Tensor]:
        kept = (KIB + 1)[:1]
        return [kept, KIB + 2]

    assert peak_bytes(keeping) == 2048


def test_what_a_graph_of_gradients_holds_counts() -> None:
    x = KIB.clone().requires_grad_()
    assert peak_bytes(lambda: x.exp().exp().exp().sum()) >= 3 * 1024
