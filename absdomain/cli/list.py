"""`absdomain list`: what is installed, with what plug-ins bring."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def list_(
    what: Annotated[
        str | None, typer.Argument(help="domains, networks, trainers, data or presets; all without it.")
    ] = None,
) -> None:
    """What is installed: domains, networks, trainers, data sets, presets, with those of plug-ins."""
    from absdomain.report import tables

    listings = tables.listings() | {"presets": _presets}
    if what is not None and what not in listings:
        raise ValueError(f"list {what}: there are {', '.join(listings)}")
    tables.show(*(tables.names_table(name, rows()) for name, rows in listings.items() if what in (None, name)))


def _presets() -> list[tuple[str, str]]:
    from absdomain.registry import find, names

    recipes: list[tuple[str, Any]] = [(name, find("presets", name)) for name in names("presets")]
    return [(name, f"{r.trainer}, {r.network} on {r.data}, eps {r.eps:.4g}, {r.epochs} epochs") for name, r in recipes]
