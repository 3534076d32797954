"""Certificates: what is needed to compute a bound again, and nothing that has to be believed.

A certificate of `unsat` has the hashes of the network's and the property's bytes and, case by case, a plan (how the
boxes of activations are made: always recomputed), a tree of decisions (halved inputs, signs of pre-activations) and at
its leaves slopes, weights of rows, and the multipliers of the path. One of `sat` has the exact point. The form is that
of the checker, `absdomain_check.form`, a distribution of its own, of which this package is a user like any other: what
is written here has been bounded by it before.

Whatever proved a property (Box, DeepPoly with any slopes, alpha-CROWN, Zonotope, Dual, LP, Exact, `&`, `guided`, Mix,
and the search), the certificate has this one form. Leaves of a search on activations are written as they were closed;
where the checker's own bound does not prove one, or a domain's proof is none of slopes, slopes are found by ascent, and
by branching on, until it does. What cannot be written is said (`NoCertificate`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from absdomain.certificates.write import Proof, Writer

# loaded at first use: the checker brings the readers of files, which `verify` without a certificate does without
_LAZY = {"Proof": "write", "Writer": "write"}

__all__ = ["Proof", "Writer"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"absdomain.certificates.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'absdomain.certificates' has no attribute {name!r}")
