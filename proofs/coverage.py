"""What lemmas run of the shipped code, as a table: functions, lines and branches that they list, and ways not gone."""

from __future__ import annotations

from collections.abc import Iterable

from absdomain.proofs.kernel.branches import ways
from absdomain.proofs.kernel.executed import lines_of
from absdomain.proofs.lemma import Lemma, Result, shipped

HEAD = (
    "| lemma | functions | lines | ways | ways not gone |",
    "|---|---|---|---|---|",
)


def asked(lemma: Lemma) -> tuple[int, int, int]:
    """(functions, lines, ways of branches) of which a lemma speaks."""
    functions = lemma.functions
    return len(functions), sum(len(lines_of(f)) for f in functions), sum(len(ways(f)) for f in functions)


def row(result: Result) -> str:
    """The line of a lemma that was checked with `branches`."""
    functions, lines, every = asked(result.lemma)
    entered = sum(one.entered for one in result.executed)
    missed = sum(len(one.missed) for one in result.executed)
    never = [f"`{one.name}`: {'; '.join(one.never)}".replace("|", "\\|") for one in result.executed if one.never]
    gone = every - sum(len(one.never) for one in result.executed)
    counts = f"{entered} of {functions} | {lines - missed} of {lines} | {gone} of {every}"
    return f"| `{result.lemma.name}` | {counts} | {'. '.join(never)} |"


def rows(text: str) -> dict[str, str]:
    """The lines of the table in a text, by the lemmas' names. Errors: ValueError where there is no table."""
    begin, head = text.partition("\n".join(HEAD) + "\n")[1:]
    if not begin:
        raise ValueError(f"the text has no table that begins with {HEAD[0]!r}; put these two lines where it is to be")
    lines = head.splitlines()
    size = next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return {line.split("`")[1]: line for line in lines[:size]}


def renewed(text: str, results: Iterable[Result]) -> str:
    """The text, its table with these lemmas' lines, and without those of lemmas that are no longer shipped."""
    old = rows(text)
    new = old | {result.lemma.name: row(result) for result in results}
    before, _, after = text.partition("\n".join(HEAD) + "\n")
    kept = [new[name] for name in shipped() if name in new]
    return "\n".join([before + HEAD[0], HEAD[1], *kept, *after.splitlines()[len(old) :]]) + "\n"
