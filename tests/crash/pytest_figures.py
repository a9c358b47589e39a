"""A pytest plugin that prints and writes the figures of the crash tests at the end of a session."""

import time

import pytest

from tests.crash.figures import Figures
from tests.crash.tally import Tally

_TALLY = pytest.StashKey[Tally]()
_FIGURES = pytest.StashKey[Figures]()
_START_S = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_START_S] = time.monotonic()


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """The counts of killed engines and trainers."""
    return pytestconfig.stash.setdefault(_TALLY, Tally())


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    """Collects the figures of each share of the crash tests."""
    return pytestconfig.stash.setdefault(_FIGURES, Figures())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    tally = config.stash.get(_TALLY, None)
    if tally and tally.lines:
        terminalreporter.section("kills")
        for line in tally.render():
            terminalreporter.write_line(line)
    figures = config.stash.get(_FIGURES, None)
    lines = figures.write() if figures else []
    if lines:
        duration_s = time.monotonic() - config.stash[_START_S]
        terminalreporter.section("figures of the crash tests")
        for line in (*lines, f"total: {duration_s / 60:.0f} min"):
            terminalreporter.write_line(line)
