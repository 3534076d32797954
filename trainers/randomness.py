"""Domains with random parts: another draw for every step, and the same domain without them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from absdomain.domain import AnyDomain, changed
from absdomain.trainers.schedules import Moment


def drawn(domain: AnyDomain, seed: int, at: Moment) -> AnyDomain:
    """The domain whose random parts, as dual(projections=50), draw for this step of the training of this seed."""
    draw = np.random.default_rng((seed, at.step)).integers(2**32)  # torch's generator heeds no more bits
    return throughout(domain, "seed", int(draw))


def exact(domain: AnyDomain) -> AnyDomain:
    """The domain without random projections."""
    return throughout(domain, "projections", None)


def throughout(domain: AnyDomain, name: str, value: Any) -> AnyDomain:
    """The domain with the value in every part that has a field of that name; itself where none has."""

    def given(part: AnyDomain) -> AnyDomain:
        return replace(part, **{name: value}) if any(field.name == name for field in fields(part)) else part  # type: ignore[arg-type,type-var]

    return changed(domain, given)
