"""Images of one's own: the arrays of an .npz file, or a folder with a folder of pictures for each class."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from absdomain.data.files import DataError
from absdomain.data.labelled import Floats, Images
from absdomain.errors import needing

SPLITS = ("train", "test")
_ARRAYS = "arrays images and labels, or x_train, y_train, x_test and y_test"
_PICTURES = (".png", ".bmp", ".jpg", ".jpeg", ".pgm", ".ppm", ".tif", ".tiff", ".webp")


def named(name: str) -> bool:
    """Whether this names a file or folder of one's own, and no public data set."""
    return name.lower().endswith(".npz") or "/" in name or Path(name).is_dir()


def load(name: str, split: str) -> Images:
    """{ (x_i, y_i) } of "train" or "test".

    A file has arrays `images` (N, *shape), in the shape that networks take, and `labels` (N,), whole numbers from 0,
    which are both splits; or x_train, y_train, x_test and y_test. Images are bytes, or floats in [0, 1]. A folder has
    pictures of one size in CLASS/*.png, or in train/CLASS/*.png and test/CLASS/*.png; classes count in the order of
    their names, and pixels are (1, H, W) where all are grey, (3, H, W) otherwise.

    Errors: DataError with the file and the remedy; MissingExtra for a folder without Pillow.
    """
    if split not in SPLITS:
        raise DataError(f"{name} has no split {split!r}; it has {', '.join(SPLITS)}")
    path = Path(name)
    if path.is_dir():
        return _folder(path, split)
    if not path.is_file():
        raise DataError(f"{name}: no such file or folder; give an .npz file with {_ARRAYS}, or a folder of pictures")
    return _arrays(path, split)


def _arrays(path: Path, split: str) -> Images:
    try:
        with np.load(path, allow_pickle=False) as file:
            both = {"images", "labels"} <= set(file.files)
            pixels, labels = (file[key] for key in (("images", "labels") if both else (f"x_{split}", f"y_{split}")))
    except (OSError, KeyError, ValueError, AttributeError, TypeError) as reason:
        raise DataError(f"{path}: no file of images ({reason}); write {_ARRAYS} by numpy.savez") from reason
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or len(labels) != len(pixels) or not len(labels):
        told = f"{pixels.dtype} {pixels.shape} and {labels.dtype} {labels.shape}"
        raise DataError(f"{path}: images are (N, *shape), labels whole numbers (N,), N > 0; it has {told}")
    return _made(str(path), split, pixels, labels.astype(np.int64), int(labels.max()) + 1)


def _made(origin: str, split: str, pixels: Any, labels: Any, classes: int) -> Images:
    if labels.min() < 0 or classes < 2:
        raise DataError(f"{origin}: labels are whole numbers from 0, of 2 classes or more; mend the labels")
    marked = torch.from_numpy(labels)
    if pixels.dtype == np.uint8:
        return Images(torch.from_numpy(pixels), marked, classes, origin, split)
    if pixels.dtype.kind != "f":
        raise DataError(f"{origin}: images are bytes or floats, got {pixels.dtype}; convert them")
    floats = torch.from_numpy(pixels).to(torch.get_default_dtype())
    if not bool(floats.isfinite().all()):
        raise DataError(f"{origin}: a pixel is NaN or infinite; replace it")
    return Floats(floats, marked, classes, origin, split, white=1)


@cache
def _listed(folder: Path) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """(classes, files), both in the order of their names."""
    files = sorted(p for p in folder.glob("*/*") if p.suffix.lower() in _PICTURES)
    return tuple(sorted({p.parent.name for p in files})), tuple(files)


def _folder(path: Path, split: str) -> Images:
    place = path / split if (path / split).is_dir() else path
    classes, files = _listed(place)
    if len(classes) < 2:
        raise DataError(f"{place}: {len(classes)} folders with pictures; give one for each class, as in CLASS/1.png")
    with needing("data", "a folder of pictures"):
        from PIL import Image
    pictures = []
    for file in files:
        try:
            with Image.open(file) as picture:
                pictures.append(picture.convert("RGB"))
        except OSError as reason:
            raise DataError(f"{file}: no picture ({reason}); replace it, or move it away") from reason
        if pictures[-1].size != pictures[0].size:
            raise DataError(f"{file}: {pictures[-1].size} pixels where the first has {pictures[0].size}; resize it")
    pixels = np.stack([np.asarray(picture) for picture in pictures]).transpose(0, 3, 1, 2)
    grey = bool((pixels[:, :1] == pixels).all())
    labels = np.array([classes.index(file.parent.name) for file in files], np.int64)
    return _made(str(path), split, np.ascontiguousarray(pixels[:, :1] if grey else pixels), labels, len(classes))
