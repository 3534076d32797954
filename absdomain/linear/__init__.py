"""Intervals, and linear functionals of an activation."""

from absdomain.linear.bounds import Bounds, Ends
from absdomain.linear.rows import Rows

__all__ = [
    "Bounds",
    "Ends",
    "Rows",
]
