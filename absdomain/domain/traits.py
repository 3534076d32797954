"""What a domain's bounds promise, and what the domain can do, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from absdomain.guarantee import Guarantee


@dataclass(frozen=True)
class Traits:
    """What may be relied on; the defaults are those of a domain that computes sound bounds and nothing more."""

    guarantee: Guarantee = Guarantee.SOUND
    relational: bool = False  # keeps relations between activations, so that it is exact on affine graphs
    monotone: bool = False  # theorem: bounds over a part of a region lie within those over the region
    differentiable: bool = True  # bounds have the gradients of their values
    solved: bool = False  # bounds are a solver's, to its tolerance

    @staticmethod
    def combine(*parts: Traits, relational: bool) -> Traits:
        """The traits of a domain whose bounds come from all of these parts.

        The weakest guarantee; gradients if all parts have them; a solver's tolerance if any part has one. Monotone
        parts need not make a monotone combination. Only the combination knows which parts' relations its bounds keep.
        """
        guarantee, differentiable, solved = Guarantee.SOUND, True, False
        for part in parts:  # a loop: torch.compile does not trace min over a generator
            guarantee = min(guarantee, part.guarantee)
            differentiable = differentiable and part.differentiable
            solved = solved or part.solved
        return Traits(guarantee, relational, False, differentiable, solved)
