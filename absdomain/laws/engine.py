"""Hypothesis' engine on problems: it draws them, keeps failures in its database, shrinks and reproduces them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, reproduce_failure, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.errors import Flaky, Unsatisfiable
from hypothesis.internal.conjecture import providers

Posed = TypeVar("Posed")
_BLOB = re.compile(r"@reproduce_failure\('([^']+)', b'([^']+)'\)")


@dataclass(frozen=True)
class Engine:
    """How hypothesis looks for a failure.

    examples: problems that are drawn, after the simplest one. seed: the same seed draws the same problems. shrink:
    whether a failure is made small. database: a folder in which failures are kept, to be tried first the next time.
    reproduce: `reproduction` of a failure, "version:blob", which alone is posed again.
    """

    examples: int
    seed: int = 0
    shrink: bool = True
    database: Path | None = None
    reproduce: str | None = None

    def run(self, problems: st.SearchStrategy[Posed], check: Callable[[Posed], None]) -> None:
        """check(problem) for each; raises what it raised for the smallest that failed."""

        @settings(
            max_examples=self.examples + 1,
            database=None if self.database is None else DirectoryBasedExampleDatabase(self.database),
            phases=(Phase.reuse, Phase.generate, *([Phase.shrink] if self.shrink else [])),
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
            report_multiple_bugs=False,
            print_blob=True,
            deadline=None,
        )
        @given(problems)
        def holds(posed: Posed) -> None:
            check(posed)

        test = hypothesis.seed(self.seed)(holds)
        if self.reproduce is not None:
            version, _, blob = self.reproduce.partition(":")
            test = reproduce_failure(version, blob.encode())(test)
        try:
            with _same_in_every_process():
                test()
        except Unsatisfiable:  # every problem was refused: whoever counts them says so
            return


@contextmanager
def _same_in_every_process() -> Iterator[None]:
    """Numbers are drawn without the constants that hypothesis reads from the sources of imported modules.

    With them a seed draws other problems in a process that has imported more. Hypothesis has no setting for it: where a
    version names these otherwise, test_engine.py fails.
    """
    none = type(providers.GLOBAL_CONSTANTS)()
    kept = type(providers.CONSTANTS_CACHE)(providers.CONSTANTS_CACHE.max_size)
    with patch.multiple(providers, _get_local_constants=lambda: none, CONSTANTS_CACHE=kept):
        yield


def reproduction(error: BaseException) -> str:
    """What `reproduce` takes to pose a failure again, by the version of hypothesis that is installed; or ""."""
    found = _BLOB.search("\n".join(getattr(error, "__notes__", [])))
    return ":".join(found.groups()) if found else ""


__all__ = ["Engine", "Flaky", "reproduction"]
