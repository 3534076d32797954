"""Errors that more than one part of the library raises."""

from __future__ import annotations


class UnsupportedOp(NotImplementedError):
    """An operation, or a use of one, for which the table has no rule; says which, where, and what could be done."""
