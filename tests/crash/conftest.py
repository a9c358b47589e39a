"""Fixtures of the crash tests: the process harness and an uninterrupted job."""

from collections.abc import Iterator

import pytest

from tests.crash.engine_host import open_engine_host
from tests.crash.job_client import Outcome, create_job, list_stale_files, wait_for_outcome
from tests.crash.processes import ProcessHarness


@pytest.fixture(scope="session")
def harness() -> Iterator[ProcessHarness]:
    process_harness = ProcessHarness()
    yield process_harness
    process_harness.close()


@pytest.fixture(scope="session")
def uninterrupted(harness: ProcessHarness, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The outcome of a job without kills."""
    with open_engine_host(harness, tmp_path_factory.mktemp("uninterrupted")) as host:
        outcome = wait_for_outcome(host, create_job(host))
        assert host.stop() == 0
        assert list_stale_files(host) == []
    assert outcome.status == "succeeded"
    return outcome
