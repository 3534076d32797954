"""Domains with random parts: another draw for every step, and the same domain without them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from absdomain.domain import AnyDomain, Guided, Meet, Mix
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
    match domain:
        case Guided(inner, by):
            return throughout(inner, name, value).guided(by=throughout(by, name, value))
        case Meet(parts=parts):
            return Meet(*(throughout(part, name, value) for part in parts))
        case Mix(first, second, weight):
            return Mix(throughout(first, name, value), throughout(second, name, value), weight)
    return replace(domain, **{name: value}) if any(field.name == name for field in fields(domain)) else domain  # type: ignore[arg-type,type-var]
