"""A plugin of pytest: the figures of the proof, told and written at the end of a session."""

import time

import pytest

from tests.crash.figures import Figures
from tests.crash.tally import Tally

_TALLY = pytest.StashKey[Tally]()
_FIGURES = pytest.StashKey[Figures]()
_BEGAN_S = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_BEGAN_S] = time.monotonic()


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """How often engines and trainers were killed."""
    return pytestconfig.stash.setdefault(_TALLY, Tally())


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    """Where each share of the proof leaves its figures."""
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
        took_s = time.monotonic() - config.stash[_BEGAN_S]
        terminalreporter.section("figures of the proof")
        for line in (*lines, f"in all: {took_s / 60:.0f} min"):
            terminalreporter.write_line(line)
