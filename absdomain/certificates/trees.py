"""Trees of certificates from the leaves of a search: which entry was decided first, is found again from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from absdomain.certificates.recording import Leaf
from absdomain_check.form import LEAF, SIGN, Path, Tree

Written = Callable[[Leaf, Path], Tree]


def tree_of(leaves: Sequence[Leaf], written: Written, path: Path = (), before: Path = ()) -> Tree:
    """A tree whose leaves are these, below what `path` has decided (of which the leaves know `before` alone).

    The first decision is one that all leaves have made; below it the same holds of both sides. Where a side has no leaf
    at all, a bare one stands, whose bound may fail.
    """
    root = Tree(path=path)
    pending = [(root, list(leaves), {entry for entry, _ in before})]
    while pending:
        node, some, done = pending.pop()
        counts = Counter(entry for leaf in some for entry in leaf.signs if entry not in done)
        chosen = next((entry for entry, count in counts.items() if count == len(some)), None)
        if chosen is None:
            if len(some) == 1:
                made = written(some[0], node.path)
                node.kind, node.slopes, node.weights, node.multipliers = (
                    made.kind, made.slopes, made.weights, made.multipliers
                )  # fmt: skip
            else:
                node.kind = LEAF
            continue
        node.kind, node.place = SIGN, chosen
        for sign in (-1, 1):
            kid = Tree(path=(*node.path, (chosen, sign)))
            node.kids.append(kid)
            pending.append((kid, [leaf for leaf in some if leaf.signs[chosen] == sign], done | {chosen}))
    return root


def bytes_of_slopes(slopes: NDArray[np.uint8]) -> bytes:
    """Bytes v with slopes (v + [v > 127]) / 256, of 256ths."""
    return np.where(slopes > 128, slopes - 1, np.minimum(slopes, 127)).astype(np.uint8).tobytes()


def bytes_of_multipliers(values: Sequence[float]) -> bytes | None:
    """float16 numbers in units of a power of two, after the byte that has it; None for zeros alone."""
    most = max(values, default=0.0)
    if not most > 0:
        return None
    scale = min(127, max(-128, ceil(log2(most))))
    return bytes([scale + 128]) + (np.array(values) / 2.0**scale).astype("<f2").tobytes()


def bytes_of_weights(weights: NDArray[np.float64]) -> bytes:
    """255ths of the largest, which is not 0."""
    return (np.maximum(weights, 0) / weights.max() * 255).round().astype(np.uint8).tobytes()
