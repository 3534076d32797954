"""In which arithmetic bounds are computed: that of their tensors' own dtype, not a coarser one that torch may choose.

Rounding is allowed for by the dtype (`absdomain.rounding`); an autocast to bfloat16, with its 8 bits, or TF32, with
11, would break bounds by far more, and say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from torch import Tensor


def own_dtype(like: Tensor) -> AbstractContextManager[object]:
    """Where an autocast is active on the tensor's device, a context without it."""
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

    Torch's own choice is no for products and yes for convolutions. Where it is allowed, float32 bounds are estimates;
    those of `certify` are float64, for which there is no such thing.
    """
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
