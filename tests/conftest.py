"""How the tests draw: the same numbers every time, except `--hypothesis-profile nightly`, which looks further."""

from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings

# No deadline: a first call compiles, exports or allocates, and a loaded machine is no bug.
_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("fast", derandomize=True, deadline=None, max_examples=25, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile(
    "nightly", deadline=None, max_examples=1000, print_blob=True, suppress_health_check=_SLOW_IS_FINE
)
settings.load_profile("fast")


@pytest.hookimpl(tryfirst=True)  # before `-m "not slow"` is read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All but every k-th case of a `sampled(k)` test are slow: `make test` tries a part, `make test-slow` all."""
    seen = Counter[str]()
    for item in items:
        sampled = item.get_closest_marker("sampled")
        if sampled is None or item.get_closest_marker("slow"):
            continue
        test = item.nodeid.partition("[")[0]
        if seen[test] % sampled.args[0]:
            item.add_marker(pytest.mark.slow)
        seen[test] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows what tests marked `figures` print: pytest keeps the output of passing tests to itself."""
    passed = terminalreporter.stats.get("passed", [])
    figures = [line for report in passed if "figures" in report.keywords for line in report.capstdout.splitlines()]
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(filter(None, figures)))


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """A test's numbers do not depend on which tests ran before it: neither the seed nor the default dtype."""
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)  # the scripts of the laws, which a test runs, set another
