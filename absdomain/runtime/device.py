"""Which device a command works on."""

from __future__ import annotations

import os

import torch

AUTO = "auto"


def chosen(name: str) -> str:
    """The torch device of that name; "auto" is CUDA where there is some, else the CPU. ValueError where it is not.

    Apple's mps has no double precision, in which certificates are computed: it is never chosen, and refused by name.
    Of several processes on a machine, which torchrun starts, each takes a CUDA device of its own.
    """
    found = name if name != AUTO else "cuda" if torch.cuda.is_available() else "cpu"
    if found == "cuda" and "TORCHELASTIC_RUN_ID" in os.environ:
        found = _own_cuda(int(os.environ["LOCAL_RANK"]))
    try:
        torch.zeros((), device=found, dtype=torch.float64)
    except (RuntimeError, AssertionError, TypeError) as reason:
        raise ValueError(f"--device {name}: cannot be used here ({reason}); use cpu, or auto") from reason
    return found


def _own_cuda(rank: int) -> str:
    count = torch.cuda.device_count()
    if rank >= count:
        raise ValueError(
            f"--device cuda: process {rank + 1} on a machine with {count} CUDA devices; "
            "start at most so many by --nproc-per-node, or use --device cpu"
        )
    torch.cuda.set_device(rank)
    return f"cuda:{rank}"
