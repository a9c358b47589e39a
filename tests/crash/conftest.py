"""What the crash tests share: the nursery, and a job that nobody disturbed."""

from collections.abc import Iterator

import pytest

from tests.crash.errand import Outcome, ask_for_job, find_leftovers, see_to_end
from tests.crash.house import open_house
from tests.crash.processes import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


@pytest.fixture(scope="session")
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What comes of the job when nobody dies."""
    with open_house(nursery, tmp_path_factory.mktemp("undisturbed")) as house:
        outcome = see_to_end(house, ask_for_job(house))
        assert house.stop() == 0
        assert find_leftovers(house) == []
    assert outcome.status == "succeeded"
    return outcome
