"""What the crash tests share: the nursery, a job that nobody disturbed, and the tally."""

from collections.abc import Iterator

import pytest

from tests.crash.errand import Outcome, ask_for_job, find_leftovers, see_to_end
from tests.crash.figures import Figures
from tests.crash.house import open_house
from tests.crash.processes import Nursery
from tests.crash.tally import Tally

_TALLY = pytest.StashKey[Tally]()
_FIGURES = pytest.StashKey[Figures]()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    return pytestconfig.stash.setdefault(_TALLY, Tally())


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    return pytestconfig.stash.setdefault(_FIGURES, Figures())


@pytest.fixture(scope="session")
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What comes of the job when nobody dies."""
    with open_house(nursery, tmp_path_factory.mktemp("undisturbed")) as house:
        outcome = see_to_end(house, ask_for_job(house))
        assert house.stop() == 0
        assert find_leftovers(house) == []
    assert outcome.status == "succeeded"
    return outcome


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    tally = config.stash.get(_TALLY, None)
    if tally and tally.lines:
        terminalreporter.section("kills")
        for line in tally.render():
            terminalreporter.write_line(line)
    figures = config.stash.get(_FIGURES, None)
    for line in figures.write() if figures else []:
        terminalreporter.write_line(line)
