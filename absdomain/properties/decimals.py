"""Decimals and fractions: text to exact numbers and back, never through floats."""

from __future__ import annotations

import re
from fractions import Fraction
from math import log10

import torch
from torch import Tensor

_NUMBER = re.compile(r"([-+]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([-+]?[0-9]{1,9}))?")
_DIGITS = 1000  # longer ones are no property, but a way to use up memory


def from_text(text: str) -> Fraction | None:
    """The number that a decimal such as -1.5 or 1e-5 is, exactly; None where the text is none.

    Errors: ValueError for one of over 1,000 digits, written out.
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, whole, part, power = found.groups()
    digits = whole + (part or "")
    if not digits:
        return None
    shift = int(power or 0) - len(part or "")
    if len(digits) > _DIGITS or abs(shift) > _DIGITS:
        raise ValueError(f"a number of over {_DIGITS} digits, {text[:20]}...; round it")
    value = int(sign + digits)
    return Fraction(value * 10**shift) if shift >= 0 else Fraction(value, 10**-shift)


def from_number(value: object) -> Fraction | None:
    """A Python number, exactly, a float being the decimal that Python prints for it; None for what is no number.

    So 0.1 is one tenth, as it would be in a file; Fraction(0.1) is its binary value. A number of torch or numpy is
    its binary value. Errors: ValueError for NaN and infinities.
    """
    if type(value) is float:
        found = from_text(repr(value))
        if found is None:
            raise ValueError(f"{value!r} is neither a bound nor a coefficient; give a finite number")
        return found
    if isinstance(value, (int, Fraction)):
        return Fraction(value)
    if isinstance(value, Tensor) or hasattr(value, "dtype"):
        return exact(torch.as_tensor(value))[0] if torch.as_tensor(value).numel() == 1 else None
    return None


def exact(values: Tensor) -> list[Fraction]:
    """The entries of a tensor as the binary numbers that they are. Errors: ValueError for NaN and infinities."""
    flat = values.detach().flatten()
    if flat.is_floating_point() and not bool(flat.isfinite().all()):
        raise ValueError("a NaN or an infinity is neither a bound nor a coefficient; give finite numbers")
    if flat.is_floating_point():
        flat = flat.double()  # exactly: every float type is part of it
    return [Fraction(value) for value in flat.tolist()]


def to_text(value: Fraction) -> str:
    """The decimal that is this number. Errors: ValueError where none is, as for 1/3."""
    sign, size, denominator = "-" if value < 0 else "", abs(value.numerator), value.denominator
    twos = (denominator & -denominator).bit_length() - 1
    fives = 0
    rest = denominator >> twos
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        raise ValueError(f"{value} is not a finite decimal; multiply the comparison by {rest}")
    places = max(twos, fives)
    if places == 0:
        return f"{sign}{size}"
    digits = str(size * 10**places // denominator).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


def short(value: Fraction) -> str:
    """About this number, for a message."""
    try:
        return f"{float(value):.10g}"
    except OverflowError:
        return f"{'-' if value < 0 else ''}1e{int(log10(abs(value.numerator)) - log10(value.denominator))}"
