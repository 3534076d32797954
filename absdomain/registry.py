"""{ name -> object }: what is installed under a name. Ours is registered as anyone's is, by entry points.

A plug-in adds to its own pyproject.toml, for example, `[project.entry-points."absdomain.domains"]` with
`octagon = "their_package:Octagon"`, and is found once it is installed; none of our files changes.
"""

import difflib
import os
import sys
from functools import lru_cache
from importlib import metadata
from typing import Literal, get_args

Group = Literal["domains", "networks", "trainers", "presets", "lowerings", "lemmas"]


class UnknownName(LookupError):
    """Nothing is registered under the name that was asked for: the caller's mistake, or a missing plug-in."""


class BrokenPlugin(ImportError):
    """A registered name could not be loaded, or means two things: the mistake of the distribution that is named."""


class NotInstalled(RuntimeError):
    """absdomain itself is not installed, so that no name can be known."""


def find(group: Group, name: str) -> object:
    """names(group) -> objects; letter case does not count, and `_` is `-`.

    Raises UnknownName (with the close matches), BrokenPlugin (with the distribution to blame) or NotInstalled.
    """
    entries = _entries(group)
    matches = [entry for entry in entries if _canonical(entry.name) == _canonical(name)]
    if not matches:
        raise UnknownName(_unknown(group, name, sorted(entry.name for entry in entries)))
    if len({entry.value for entry in matches}) > 1:
        claims = " and ".join(f"{_owner(entry)} ({entry.value})" for entry in matches)
        raise BrokenPlugin(f"{name!r} in absdomain.{group} is claimed by {claims}; uninstall one of them")
    return _load(matches[0], group)


def names(group: Group) -> list[str]:
    """The registered names of a group, sorted, spelt as their distributions spell them."""
    return sorted({entry.name for entry in _entries(group)})


def _entries(group: Group) -> list[metadata.EntryPoint]:
    if group not in get_args(Group):
        raise ValueError(f"there is no group {group!r}; the groups are {', '.join(get_args(Group))}")
    try:
        metadata.distribution("absdomain")
    except metadata.PackageNotFoundError:
        raise NotInstalled(
            "names are found through the installed package, and absdomain is not installed in this Python; "
            "run `pip install -e .` in its source folder (or `make install`)"
        ) from None
    return _read(group, tuple((place, _changed(place)) for place in sys.path))


def _changed(place: str) -> int:
    """When something was last installed there or taken away; 0 where nothing can be."""
    try:
        return os.stat(place or ".").st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=32)
def _read(group: Group, places: tuple[tuple[str, int], ...]) -> list[metadata.EntryPoint]:
    """The entry points of all distributions in these places, which takes longer than all else that `find` does."""
    return list(metadata.entry_points(group=f"absdomain.{group}"))


def _load(entry: metadata.EntryPoint, group: Group) -> object:
    try:
        return entry.load()
    except Exception as error:  # a plug-in may fail in any way while it is imported
        raise BrokenPlugin(
            f"{entry.name!r} in absdomain.{group} is {entry.value} of the distribution {_owner(entry)}, "
            f"which fails to load ({type(error).__name__}: {error}); repair, reinstall or uninstall {_owner(entry)}"
        ) from error


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-")


def _owner(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "(unknown distribution)"


def _unknown(group: Group, name: str, known: list[str]) -> str:
    spelling = {_canonical(other): other for other in known}
    close = [spelling[match] for match in difflib.get_close_matches(_canonical(name), spelling, n=3)]
    told = f"did you mean {' or '.join(close)}" if close else f"known: {', '.join(known) or 'none'}"
    every = f"? `absdomain list {group}` has all {len(known)}; " if close else "; "
    return (
        f"no {group.removesuffix('s')} is registered as {name!r}; {told}{every}"
        f"others come with the distribution that registers them under absdomain.{group}"
    )
