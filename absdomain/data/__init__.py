"""Labelled images, where their files come from, and their normalisation inside a network."""

from absdomain.data.files import DataError
from absdomain.data.images import Images, canonical, load, names, statistics

__all__ = [
    "DataError",
    "Images",
    "canonical",
    "load",
    "names",
    "statistics",
]
