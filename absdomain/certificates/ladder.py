"""The checker's certificate of each verified image: the cheapest that proves it, whatever domain verified it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from absdomain.branching import Limits, Verdict, decide
from absdomain.certificates.recording import Proofs, Recorder
from absdomain.certificates.write import Proof, body_of
from absdomain.errors import NoCertificate
from absdomain.graph import Graph
from absdomain.region import Interval
from absdomain.spec import margins
from absdomain_check.bounds import Bounds, Cutter
from absdomain_check.checking import Part, Walk
from absdomain_check.form import packed
from absdomain_check.images import Balls, values
from absdomain_check.property import Case

_TREE = {"tree": packed(bytes([0])), "unstable": ""}  # one leaf
Body = dict[str, Any]  # the form of a case


def plain(bounds: Bounds) -> Iterator[Body]:
    """Certificates of one leaf, which need nothing of an image: intervals, then rows over boxes made by either."""
    if bounds.curves:
        yield {**_TREE, "plan": {}, "end": bounds.curves[-1]}
    for plan in ({}, {str(i): None for i in bounds.curves}) if bounds.curves else ({},):
        yield {**_TREE, "plan": plan}
        yield {**_TREE, "plan": plan, "slopes": 0}


@dataclass(frozen=True, eq=False)
class Ladder:
    """Tries certificates from cheap to dear, each on the images that are left."""

    graph: Graph  # the network, as the checker has it
    bounds: Bounds
    balls: Balls
    seconds: float  # that a search may take for one image, and its certificate
    proofs: Proofs  # of a search that verified it

    def climb(self, numbers: Sequence[int], watch: Callable[[int], None]) -> dict[int, Body | str]:
        """For each of these images a certificate, or the reason why there is none; `watch`: how many are done."""
        found: dict[int, Body | str] = {}
        left = list(numbers)
        for body in plain(self.bounds):
            for some in self._alike(left):
                sieve = _Sieve(self.bounds, self.balls.unsafe(some[0]), body)
                sieve.run(*self.balls.ends(some))
                found |= {i: body for b, i in enumerate(some) if b not in sieve.left}
                watch(len(found))
            left = [i for i in left if i not in found]
        for i in left:
            found[i] = self._searched(i)
            watch(len(found))
        return found

    def _alike(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Images of one label together."""
        labels = self.balls.images.labels
        for y in sorted({int(labels[i]) for i in numbers}):
            yield [i for i in numbers if labels[i] == y]

    def _searched(self, number: int) -> Body | str:
        """By slopes, multipliers and splits of the search that verified it, or else of one of its own."""
        until = time.monotonic() + self.seconds
        lower, upper = self.balls.ends([number])
        spec = margins(torch.tensor([int(self.balls.images.labels[number])]), self.balls.outputs)
        box = tuple((Fraction(low), Fraction(high)) for low, high in zip(lower[0], upper[0], strict=True))
        case = Case(box, self.balls.unsafe(number))
        known = self.proofs.of(values(self.balls.images.pixels[number], self.balls.images.white))
        if known is not None:
            with suppress(NoCertificate):
                return body_of(self.bounds, case, Proof(box, spec, known), until)
        record, shape = Recorder(), (1, *self.graph.input.shape)
        region = Interval(*(torch.from_numpy(end).view(shape) for end in (lower, upper)))
        (outcome,) = decide(self.graph, region, spec, limits=Limits(seconds=self.seconds), record=record)
        if outcome.verdict is not Verdict.UNSAT:
            return f"the search for a certificate ended with {outcome.verdict} {outcome.reason}".strip()
        try:
            return body_of(self.bounds, case, Proof(box, spec, record), until)
        except NoCertificate as reason:
            return str(reason)


class _Sieve(Walk):
    """Bounds boxes by a certificate of one leaf; `left` are those that it does not prove."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.left = set[int]()

    def open(self, part: Part, low: float, cutting: Cutter, place: int) -> None:
        self.left.add(part.number)
