"""Images and labels as people have them: tensors, arrays, data sets and loaders."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

Array = NDArray[Any]
Samples = Tensor | Array | Dataset[Any] | DataLoader[Any]


@singledispatch
def samples(given: object, labels: Any = None) -> tuple[Tensor, Tensor | None]:
    """(images (N, *shape), labels (N,) int64 or None): of a data set or a loader of pairs, its own labels.

    Errors: TypeError for what is none of these; ValueError where labels come twice.
    """
    came = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
    kinds = "a tensor, an array, a data set or a loader"
    raise TypeError(f"certify: images are {kinds}, got {came}; torch.stack makes one tensor of several")


@samples.register
def _(given: Tensor, labels: Any = None) -> tuple[Tensor, Tensor | None]:
    return given, _labels(labels)


@samples.register
def _(given: np.ndarray, labels: Any = None) -> tuple[Tensor, Tensor | None]:
    return torch.from_numpy(given), _labels(labels)


@samples.register
def _(given: DataLoader, labels: Any = None) -> tuple[Tensor, Tensor | None]:
    parts = list(given)
    if not parts:
        raise ValueError("certify: the loader is empty, so that there is nothing to certify")
    if isinstance(parts[0], Tensor):
        return torch.cat(parts), _labels(labels)
    if labels is not None:
        raise ValueError("certify: the loader has labels of its own; leave `labels` out")
    return torch.cat([part[0] for part in parts]), _labels(torch.cat([part[1] for part in parts]))


@samples.register
def _(given: Dataset, labels: Any = None) -> tuple[Tensor, Tensor | None]:
    return samples(DataLoader(given, batch_size=256, collate_fn=default_collate), labels)


def _labels(given: Any) -> Tensor | None:
    """Whole numbers of any width as int64; others as they are, for the caller to refuse."""
    if given is None:
        return None
    found = torch.as_tensor(given)
    whole = not (found.is_floating_point() or found.is_complex() or found.dtype is torch.bool)
    return found.long() if whole else found
