"""Typed fields of frozen dataclasses: how their values are read, checked, written and stretched in time.

A recipe and the settings of a method are such dataclasses. A field may be a bool, int, float, str, an Enum, any of
these or None, a tuple of one of them, `Epochs` (a time), or `Annotated[..., Named(table)]` for functions and for
dataclasses that have options of their own.
"""

from __future__ import annotations

import ast
import difflib
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from absdomain.trainers import times
from absdomain.trainers.times import Steps, Time


class RecipeError(ValueError):
    """A field of a recipe has a value that cannot be trained; the text has the field, the value and the remedy."""


@dataclass(frozen=True)
class Phase:
    """Marks a field that is a time."""


Epochs = Annotated[Time, Phase()]  # a time in epochs, or `Steps`, which stretches with the training


@dataclass(frozen=True, eq=False)
class Named:
    """Marks a field whose values are written by name: functions, and dataclasses with options of their own."""

    table: Mapping[str, Callable[..., Any]]


D = TypeVar("D")


def refused(name: str, value: object, remedy: str) -> RecipeError:
    """The error for a field whose value cannot be used."""
    return RecipeError(f"{name}: {value!r} cannot be used; {remedy}")


def hints(kind: type) -> dict[str, Any]:
    """{ field -> its type, marks included }."""
    found = get_type_hints(kind, include_extras=True)
    return {field.name: found[field.name] for field in fields(kind)}


def typed(name: str, hint: Any, value: Any) -> Any:
    """The value as the hinted type; an int serves as a float, a list as a tuple, and no bool as a number.

    A time may be written as text: "60", or "2000 steps".
    """
    base, mark = _split(hint)
    origin, parts = get_origin(base), get_args(base)
    if mark is not None:
        if any(entry in (value, type(value)) for entry in mark.table.values()):
            return value
    elif base == Time:
        time = times.read(value) if isinstance(value, str) else value
        if time is not None:
            return time if isinstance(time, Steps) else _entry(name, float, time, hint, value)
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(_entry(name, parts[0], entry, hint, value) for entry in value)
    elif origin in (Union, types.UnionType):
        (present,) = (part for part in parts if part is not types.NoneType)
        return None if value is None else _entry(name, present, value, hint, value)
    elif base is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(base, type) and isinstance(value, base) and (base is bool or not isinstance(value, bool)):
        return value
    raise _mistyped(name, hint, repr(value))


def changed(old: D, owner: str, given: Mapping[str, Any]) -> D:
    """A copy of a dataclass value with the given fields, each checked by name and type; `owner` stands in errors."""
    known = hints(type(old))
    _check_names(known, owner, given)
    return replace(old, **{name: typed(name, known[name], value) for name, value in given.items()})  # type: ignore[type-var]


def retimed(old: D, change: Callable[[Time], Time], **given: Any) -> D:
    """A copy whose times, those of nested settings too, are changed; with the given fields."""
    new: dict[str, Any] = {}
    for name, hint in hints(type(old)).items():
        value = getattr(old, name)
        if _is_time(hint) and value is not None:
            new[name] = tuple(map(change, value)) if isinstance(value, tuple) else change(value)
        elif is_dataclass(value):
            new[name] = retimed(value, change)
    return replace(old, **new | given)  # type: ignore[type-var]


# --- text -------------------------------------------------------------------------------------------------------------


def read(kind: type, owner: str, keywords: list[ast.keyword]) -> dict[str, Any]:
    """{ field -> value } of the keywords of a call that gives some of the fields of `kind`."""
    known = hints(kind)
    for keyword in keywords:
        if keyword.arg is None:
            raise RecipeError(f"{owner}: **{ast.unparse(keyword.value)} has no meaning here; write name=value")
    given = {str(keyword.arg): keyword.value for keyword in keywords}
    _check_names(known, owner, {name: _plain(node) for name, node in given.items()})
    return {name: _value(name, known[name], node) for name, node in given.items()}


def named(name: str, table: Mapping[str, Callable[..., Any]], text: str) -> Any:
    """The value of a text such as `adam(steps=200)`: an entry of the table, with options. RecipeError for another."""
    try:
        return _named(name, table, ast.parse(text.strip(), mode="eval").body)
    except SyntaxError:
        raise refused(name, text, f"write one of {', '.join(table)}, with options in brackets") from None


def written(value: Any, usual: Any) -> str:
    """The options in which a dataclass value differs from the usual one, as `(name=value, ...)`, or an empty text."""
    known = hints(type(value))
    given = {name: getattr(value, name) for name in known if getattr(value, name) != getattr(usual, name)}
    return f"({', '.join(f'{name}={_text(known[name], entry)}' for name, entry in given.items())})" if given else ""


def _value(name: str, hint: Any, node: ast.expr) -> Any:
    base, mark = _split(hint)
    if mark is not None:
        return _named(name, mark.table, node)
    if isinstance(base, type) and issubclass(base, Enum):
        table = {member.name.lower(): member for member in base}
        match node:
            case ast.Name(id=word) if word.lower() in table:
                return table[word.lower()]
        raise refused(name, _plain(node), f"choose one of {', '.join(table)}")
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        raise _mistyped(name, hint, ast.unparse(node)) from None
    return typed(name, hint, value)


def _named(name: str, table: Mapping[str, Callable[..., Any]], node: ast.expr) -> Any:
    """A function or a default instance of its bare name, or an instance of a call."""
    call, keywords = (node.func, node.keywords) if isinstance(node, ast.Call) and not node.args else (node, [])
    word = call.id.lower() if isinstance(call, ast.Name) else ""
    found = table.get(word)
    if found is None:
        raise refused(name, _plain(node), f"choose one of {', '.join(table)}")
    if not isinstance(found, type):
        if isinstance(node, ast.Call):
            raise refused(name, _plain(node), f"{word} takes no options; write {word}")
        return found
    return changed(found(), f"{name}={word}", read(found, f"{name}={word}", keywords))


def _text(hint: Any, value: Any) -> str:
    _, mark = _split(hint)
    for word, entry in (mark.table if mark is not None else {}).items():
        if value is entry:
            return word
        if type(value) is entry:
            return word + written(value, entry())
    if isinstance(value, Enum):
        return value.name.lower()
    return repr(str(value)) if isinstance(value, Steps) else repr(value)


class _Source(str):
    """Source text, shown in errors as it was written."""

    def __repr__(self) -> str:
        return str(self)


def _plain(node: ast.expr) -> _Source:
    return _Source(ast.unparse(node))


# --- types ------------------------------------------------------------------------------------------------------------


def _split(hint: Any) -> tuple[Any, Named | None]:
    """The type under an Annotated, and its mark of names."""
    if get_origin(hint) is not Annotated:
        return hint, None
    base, *marks = get_args(hint)
    return base, next((mark for mark in marks if isinstance(mark, Named)), None)


def _is_time(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        return any(isinstance(mark, Phase) for mark in get_args(hint)[1:])
    return any(_is_time(part) for part in get_args(hint))


def _check_names(known: Mapping[str, Any], owner: str, given: Mapping[str, Any]) -> None:
    for name in given.keys() - known.keys():
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(known)}"
        raise RecipeError(f"{name}: {given[name]!r} is not a field of {owner}; {hint}")


def _entry(name: str, part: Any, entry: Any, hint: Any, whole: Any) -> Any:
    try:
        return typed(name, part, entry)
    except RecipeError:
        raise _mistyped(name, hint, repr(whole)) from None


def _mistyped(name: str, hint: Any, value: str) -> RecipeError:
    return RecipeError(f"{name}: {value} is no {_spelt(hint)}; write it as one")


def _spelt(hint: Any) -> str:
    base, mark = _split(hint)
    if mark is not None:
        return " or ".join(mark.table)
    if base == Time:
        return "number of epochs or of steps"
    if get_origin(base) is tuple:
        return f"tuple[{_spelt(get_args(base)[0])}, ...]"
    if get_args(base):
        return " | ".join(_spelt(part) for part in get_args(base))
    return "None" if base is types.NoneType else base.__name__
