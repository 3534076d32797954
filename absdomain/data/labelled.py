"""Labelled images: bytes, as the public data sets are kept, or floats, as people have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from absdomain.data.files import DataError


@dataclass(frozen=True, eq=False)
class Images:
    """{ (x_i, y_i) : x_i = pixels_i / white in [0, 1]^(C, H, W), y_i in 0..classes-1 }, kept as bytes."""

    pixels: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64
    classes: int
    name: str
    split: str
    white: int = 255  # the byte that means 1.0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> tuple[Tensor, Tensor]:
        """(x, y) of the rows named by an index, a slice or an index tensor; x in torch's default dtype."""
        return self.floats(self.pixels[rows]), self.labels[rows]

    def floats(self, pixels: Tensor) -> Tensor:
        """pixels / white, in torch's default dtype."""
        return pixels.to(torch.get_default_dtype()).div_(self.white)

    @property
    def images(self) -> Tensor:
        """(N, C, H, W) all images as floats in [0, 1]: converted at each access, so take it once or use batches."""
        return self.floats(self.pixels)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image."""
        return tuple(self.pixels.shape[1:])

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The images in order, `size` at a time; the last batch may be smaller."""
        for first in range(0, len(self), size):
            yield self[first : first + size]

    def select(self, rows: Tensor, split: str) -> Images:
        """The named rows (N',) as a data set of their own."""
        return replace(self, pixels=self.pixels[rows], labels=self.labels[rows], split=split)

    def holdout(self, count: int, seed: int) -> tuple[Images, Images]:
        """(rest, held out): `count` rows drawn without replacement, the same for the same seed; both in file order."""
        if not 0 <= count < len(self):
            raise DataError(
                f"cannot hold out {count} of the {len(self)} images of {self.name}/{self.split}; ask for fewer"
            )
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(self)))
        rest, held = order[count:].sort().values, order[:count].sort().values
        return self.select(rest, self.split), self.select(held, "validation")


@dataclass(frozen=True, eq=False)
class Floats(Images):
    """{ (x_i, y_i) }: images of any shape, kept as the floats that they are."""

    pixels: Tensor  # (N, *shape)

    def floats(self, pixels: Tensor) -> Tensor:
        """As they are."""
        return pixels
