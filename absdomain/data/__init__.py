"""Labelled images, where their files come from, and their normalisation inside a network."""

from absdomain.data.files import DataError
from absdomain.data.images import canonical, counts, load, names, statistics
from absdomain.data.labelled import Images

__all__ = [
    "DataError",
    "Images",
    "canonical",
    "counts",
    "load",
    "names",
    "statistics",
]
