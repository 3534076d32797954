"""What verdicts depend on, as JSON values: a file of verdicts is continued only where all of them are the same."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch import Tensor

from absdomain.certification.judge import Judge
from absdomain.region import Region
from absdomain.values import digest


def configuration(judge: Judge, images: Tensor) -> dict[str, Any]:
    """All that determines the verdicts on these images: the region, the domains, the attack, the network, the data."""
    return {
        "region": _described(judge.question.region),
        "domains": [str(domain) for domain in judge.domains],
        "every": judge.every,
        "attack": None if judge.attack is None else str(judge.attack),
        "seed": judge.seed,
        "dtype": str(judge.question.region.centre.dtype),
        "margin": judge.margin,
        "strict": judge.strict,
        "model": digest(repr(judge.original), dict(judge.original.state_dict())),
        "graph": digest(judge.question.frozen),  # what is certified, whatever the module's class and attributes
        **judge.asked.told(images),
        "samples": len(images),
        **({} if judge.executed is None else {"executed": str(judge.executed)}),
    }


def _described(region: Region) -> dict[str, Any]:
    """The regions of all images: their kind, their numbers, and a fingerprint of all that they are."""
    held = {f.name: getattr(region, f.name) for f in fields(region) if f.init}  # type: ignore[arg-type]  # a dataclass
    numbers = {name: v for name, v in held.items() if isinstance(v, int | float | str | tuple | None)}
    return {"kind": type(region).__name__, **numbers, "all": digest(region)}
