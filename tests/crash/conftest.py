"""What the crash tests share: the process harness, and an undisturbed job."""

from collections.abc import Iterator

import pytest

from tests.crash.engine_host import open_engine_host
from tests.crash.job_client import Outcome, ask_for_job, list_stale_files, see_to_end
from tests.crash.processes import ProcessHarness


@pytest.fixture(scope="session")
def harness() -> Iterator[ProcessHarness]:
    made = ProcessHarness()
    yield made
    made.close()


@pytest.fixture(scope="session")
def undisturbed(harness: ProcessHarness, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What comes of the job when nobody dies."""
    with open_engine_host(harness, tmp_path_factory.mktemp("undisturbed")) as host:
        outcome = see_to_end(host, ask_for_job(host))
        assert host.stop() == 0
        assert list_stale_files(host) == []
    assert outcome.status == "succeeded"
    return outcome
