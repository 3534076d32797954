"""Of images that stay unknown: which layer loosens the bound most, and a domain that proves them, if one is near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from absdomain.certification.looseness import looseness, proving, selected
from absdomain.certification.question import Answer, Question
from absdomain.certification.verdict import Reason, Verdict
from absdomain.domain import AnyDomain

_LOOSE = (Reason.LOOSE, Reason.TIMEOUT, Reason.ROUNDING)  # tighter bounds would help


@dataclass(frozen=True, eq=False)
class Unproved:
    """The answer of the last domain that was asked of a batch, about the samples in these rows of it."""

    domain: AnyDomain
    rows: Tensor  # (R,)
    question: Question  # about these samples
    answer: Answer
    enough: Tensor  # (R, K), what bounds have to exceed, or with `ties` to reach
    ties: bool

    def explained(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """The batch's verdicts; those of unknown images have `layer` and `helps`. It changes no other word of them.

        It costs a linear bound of one row over the layer bounds that the domain has found. A search for better lines
        takes some twenty of them, and is made where half of what is lost would be enough for a proof.
        """
        places = [k for k, row in enumerate(self.rows.tolist()) if verdicts[row].reason in _LOOSE]
        found = list(verdicts)
        if not places:
            return found
        index = torch.tensor(places, device=self.rows.device)
        part, boxes = self.question.select(index), selected(self.answer.boxes, index)
        row = part.spec.weakest(self.answer.decision.lower[index])
        lost = looseness(part, boxes, row, search=False)
        limit = self.enough[index].gather(1, row.unsqueeze(1)).squeeze(1)
        near = lost.value + lost.bound > 2 * limit
        helps = dict(zip(index[near].tolist(), self._helps(index[near], row[near], limit[near]), strict=True))
        for sample, place in enumerate(places):
            row_of = int(self.rows[place])
            found[row_of] = replace(found[row_of], layer=lost.loosest(sample), helps=helps.get(place))
        return found

    def _helps(self, index: Tensor, row: Tensor, limit: Tensor) -> list[str | None]:
        """A domain for each of these samples; all rows are asked where the one on which the answer hangs is proved."""
        helps: list[str | None] = [None] * len(index)
        if not len(index):
            return helps
        bound = looseness(self.question.select(index), selected(self.answer.boxes, index), row).bound
        proved = (bound >= limit if self.ties else bound > limit).nonzero().squeeze(1)
        there = index[proved]
        if len(there):
            part, boxes, enough = self.question.select(there), selected(self.answer.boxes, there), self.enough[there]
            named = proving(part, boxes, enough, self.domain, ties=self.ties)
            for sample, name in zip(proved.tolist(), named, strict=True):
                helps[sample] = name
        return helps
