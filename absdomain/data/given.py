"""Images and labels as people have them: tensors, arrays, data sets, loaders, and the names of public data sets."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from absdomain.data.images import load
from absdomain.data.labelled import Floats, Images

Array = NDArray[Any]
Samples = Tensor | Array | Dataset[Any] | DataLoader[Any] | Images | str | tuple[Any, Any]
_Pair = tuple[Tensor, Tensor | None]


@singledispatch
def samples(given: object, labels: Any = None, *, caller: str = "certify", split: str = "test") -> _Pair:
    """(images (N, *shape), labels (N,) int64 or None): of a data set or a loader of pairs, its own labels.

    A text is the name of a public data set, of which `split` is taken. `caller` stands in errors.

    Errors: TypeError for what is none of these; ValueError where labels come twice; DataError for an unknown name.
    """
    came = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
    kinds = "a tensor, an array, a data set or a loader"
    raise TypeError(f"{caller}: images are {kinds}, got {came}; torch.stack makes one tensor of several")


@samples.register
def _(given: Tensor, labels: Any = None, *, caller: str = "certify", split: str = "test") -> _Pair:
    return given, _labels(labels)


@samples.register
def _(given: np.ndarray, labels: Any = None, *, caller: str = "certify", split: str = "test") -> _Pair:
    return torch.from_numpy(given), _labels(labels)


@samples.register
def _(given: DataLoader, labels: Any = None, *, caller: str = "certify", split: str = "test") -> _Pair:
    parts = list(given)
    if not parts:
        raise ValueError(f"{caller}: the loader is empty; give one with images")
    if isinstance(parts[0], Tensor):
        return torch.cat(parts), _labels(labels)
    _own_labels(labels, caller, "the loader")
    return torch.cat([part[0] for part in parts]), _labels(torch.cat([part[1] for part in parts]))


@samples.register
def _(given: Dataset, labels: Any = None, *, caller: str = "certify", split: str = "test") -> _Pair:
    loader: DataLoader[Any] = DataLoader(given, batch_size=256, collate_fn=default_collate)
    return samples(loader, labels, caller=caller, split=split)


@samples.register
def _(given: Images, labels: Any = None, *, caller: str = "certify", split: str = "test") -> _Pair:
    _own_labels(labels, caller, given.name)
    return given.images, given.labels


@samples.register
def _(given: str, labels: Any = None, *, caller: str = "certify", split: str = "test") -> _Pair:
    return samples(load(given, split), labels, caller=caller, split=split)


@samples.register
def _(given: tuple, labels: Any = None, *, caller: str = "certify", split: str = "test") -> _Pair:
    if len(given) != 2:
        raise TypeError(f"{caller}: a pair (images, labels) is needed, got a tuple of {len(given)}")
    _own_labels(labels, caller, "the pair")
    return samples(*given, caller=caller)


def labelled(given: Samples, caller: str) -> Images:
    """Images with labels, to train on: of a name the training images, of a pair (images, labels) what it has.

    Labels are not compared with the number of classes, which is one more than the largest.

    Errors: those of `samples`; ValueError for images or labels that cannot be trained on.
    """
    if isinstance(given, Images):
        return given
    if isinstance(given, str):
        return load(given, "train")
    images, labels = samples(given, caller=caller)
    if labels is None:
        raise ValueError(f"{caller}: labels are missing; give (images, labels), or a data set or loader of pairs")
    if not images.is_floating_point():
        remedy = "divide bytes by 255, as in images.float() / 255"
        raise ValueError(f"{caller}: images are floats, got {images.dtype}; {remedy}")
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1] or not len(labels):
        told = f"{tuple(images.shape)} and {tuple(labels.shape)} of {labels.dtype}"
        raise ValueError(f"{caller}: images are (N, *shape), labels whole numbers (N,), N > 0; got {told}")
    infinite = ~images.flatten(1).isfinite().all(1)
    for name, bad in (("a pixel that is NaN or infinite", infinite), ("a label below 0", labels < 0)):
        if bool(bad.any()):
            raise ValueError(f"{caller}: image {int(bad.nonzero()[0])} has {name}")
    classes = int(labels.max()) + 1
    return Floats(images.detach().cpu(), labels.cpu(), classes, "given", "train", white=1)


def _own_labels(labels: Any, caller: str, whose: str) -> None:
    if labels is not None:
        raise ValueError(f"{caller}: {whose} has labels of its own; leave `labels` out")


def _labels(given: Any) -> Tensor | None:
    """Whole numbers of any width as int64; others as they are, for the caller to refuse."""
    if given is None:
        return None
    found = torch.as_tensor(given)
    whole = not (found.is_floating_point() or found.is_complex() or found.dtype is torch.bool)
    return found.long() if whole else found
