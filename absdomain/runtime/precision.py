"""Bounds are computed in their tensors' own dtype, not in a coarser one that torch may choose.

The allowance for rounding is that of the dtype (`absdomain.rounding`). An autocast to bfloat16, with its 8 bits, or
TF32, with 11, would change bounds by far more, without any warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from torch import Tensor


def own_dtype(like: Tensor) -> AbstractContextManager[object]:
    """A context in which no autocast is active on the tensor's device."""
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


@contextmanager
def no_autocast() -> Iterator[None]:
    """A context without any autocast, for work on tensors of devices not yet known."""
    with ExitStack() as left:
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                left.enter_context(torch.autocast(kind, enabled=False))
        yield


def set_tf32(allowed: bool) -> None:
    """Whether float32 products and convolutions on CUDA may be computed in TF32, in the whole process.

    By default torch allows it for convolutions and not for products. Where it is allowed, float32 bounds are estimates;
    `certify` computes in float64, which TF32 does not touch.
    """
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
