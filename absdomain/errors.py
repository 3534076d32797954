"""Errors that more than one part of the library raises."""

from __future__ import annotations


class UnsupportedOp(NotImplementedError):
    """An operation, or a use of one, for which the table has no rule; says which, where, and what could be done."""


class InvalidFile(ValueError):
    """A file is not what it says it is: which one, where in it, what was found, and what could be done."""


class MissingExtra(ImportError):
    """A library that a part of this one needs is not installed; says which, and how to install it."""
