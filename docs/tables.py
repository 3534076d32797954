"""Tables of the site, of what is installed: domains, operations, networks, methods and presets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from absdomain import ops, registry
from absdomain.proofs.lemma import lemmas


def said(thing: Any) -> str:
    """The first line of a docstring, fit for a cell of a table."""
    return cell((inspect.getdoc(thing) or "").partition("\n")[0])


def cell(text: str) -> str:
    """A bar is no end of the cell."""
    return text.replace("|", "\\|")


def page(title: str, told: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A page in Markdown: what the table is of, and the table."""
    lines = [head, ["---"] * len(head), *rows]
    return f"# {title}\n\n{told}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def domains() -> str:
    """Each domain by name, its first line, its guarantee and the lemma that speaks of it."""
    rows = []
    for name in registry.names("domains"):
        domain: Any = registry.find("domains", name)
        rows.append((f"`{name}`", said(domain), f"`{domain.lemma}`"))
    told = "What `parse` and `--domain` know by name; `absdomain list domains` shows those of plug-ins, too."
    return page("Domains", told, ("name", "bounds by", "lemma"), rows)


def operations() -> str:
    """Each operation of a graph, its first line and its lemma."""
    kinds = [vars(ops)[name] for name in ops.__all__ if isinstance(vars(ops)[name], type)]
    rows = [(f"`{kind.__name__}`", said(kind), f"`{kind.lemma}`") for kind in kinds]
    told = "What networks are lowered to. PyTorch's and ONNX's operators are rewritten as these."
    return page("Operations", told, ("operation", "f", "lemma"), rows)


def networks() -> str:
    """Each architecture by name."""
    rows = [(f"`{name}`", cell(str(registry.find("networks", name)))) for name in registry.names("networks")]
    return page("Networks", "What `--network` knows by name.", ("name", "architecture"), rows)


def presets() -> str:
    """Each preset: data, radius, method and network."""
    rows = []
    for name in registry.names("presets"):
        recipe: Any = registry.find("presets", name)
        rows.append((f"`{name}`", recipe.data, f"{recipe.eps:g}", f"`{recipe.trainer}`", f"`{recipe.network}`"))
    told = "Recipes of papers and of this library: `absdomain train --preset NAME`."
    return page("Presets", told, ("name", "data", "eps", "method", "network"), rows)


def proved() -> str:
    """Each lemma with its statement."""
    rows = [(f"`{name}`", cell(lemma.statement)) for name, lemma in lemmas().items()]
    return page("Lemmas", "What `absdomain prove` checks on the code that is installed.", ("lemma", "says"), rows)


PAGES: dict[str, Callable[[], str]] = {
    "domains": domains, "operations": operations, "networks": networks, "presets": presets, "lemmas": proved,
}  # fmt: skip
