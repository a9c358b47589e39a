"""Each fault between the real command and a real engine: there is one job, one upload of each file,
each event once and in order, and the results of a run without faults.

Sockets, the process of `ftops` and the trainer are real; only sleeps are short.
"""

import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.engine_host import EngineHost, open_engine_host
from tests.crash.figures import FAULTS, Figures, Share
from tests.crash.processes import ProcessHarness
from tests.crash.scenarios import ProviderRecords
from tests.faults.cases import ALL, CONFLICTS, LATE_FILES, SHORT
from tests.faults.fast_clock import FastClock
from tests.faults.proxy import Fault, FaultyProxy, open_proxy
from tests.faults.scenarios import ProxiedScenario

LAG_S = 8.0
PAGE_SIZE = 3


def name(fault: Fault) -> str:
    """The name of the test case."""
    path = fault.path.removeprefix("/v1/").replace("[^/]+", "ID")
    return f"{fault.kind} {fault.method} {path} {fault.nth}{' ended' * fault.once_ended}"


@pytest.fixture(scope="module")
def host(harness: ProcessHarness, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHost]:
    with open_engine_host(harness, tmp_path_factory.mktemp("engine")) as engine_host:
        yield engine_host
        assert engine_host.stop() == 0


@contextmanager
def open_scenario(
    harness: ProcessHarness,
    host: EngineHost,
    folder: Path,
    faults: Sequence[Fault] = (),
    *,
    file_lag_s: float = 0.0,
) -> Iterator[tuple[ProxiedScenario, FaultyProxy]]:
    """Open a scenario behind a proxy with these faults, small pages and late lists."""
    scenario_folder = folder / f"scenario-{zlib.crc32(folder.name.encode()):x}"
    scenario_folder.mkdir()
    clock = FastClock(scenario_folder.with_suffix(".clock"))
    target = str(host.sdk.base_url).rstrip("/")
    with open_proxy(
        target, clock, faults, lag_s=LAG_S, file_lag_s=file_lag_s, page_size=PAGE_SIZE
    ) as proxy:
        yield ProxiedScenario(harness, host.paths, scenario_folder, proxy), proxy


@pytest.fixture(scope="module")
def uninterrupted(
    harness: ProcessHarness, host: EngineHost, tmp_path_factory: pytest.TempPathFactory
) -> ProviderRecords:
    """The records of a run without faults."""
    with open_scenario(harness, host, tmp_path_factory.mktemp("uninterrupted")) as (scenario, _):
        records = scenario.run_until_success()
        assert scenario.commands == 1
    assert (records.run, records.jobs, len(records.uploads)) == ("succeeded", ("succeeded",), 2)
    assert records.events_match
    return records


def run_with_fault(
    harness: ProcessHarness,
    host: EngineHost,
    folder: Path,
    fault: Fault,
    uninterrupted: ProviderRecords,
    *,
    file_lag_s: float = 0.0,
) -> Share:
    """Run a scenario with the fault; it must have the records of a run without."""
    start_s = time.monotonic()
    with open_scenario(harness, host, folder, [fault], file_lag_s=file_lag_s) as (scenario, proxy):
        records = scenario.run_until_success()
    assert proxy.injected == [fault]
    assert records == uninterrupted
    return Share(
        runs=1, commands=scenario.commands, faults=1, same=1, seconds=time.monotonic() - start_s
    )


@pytest.mark.parametrize("fault", SHORT, ids=name)
def test_a_run_with_a_common_fault_has_the_same_records(
    harness: ProcessHarness,
    host: EngineHost,
    tmp_path: Path,
    fault: Fault,
    uninterrupted: ProviderRecords,
) -> None:
    run_with_fault(harness, host, tmp_path, fault, uninterrupted)


@pytest.mark.slow_proof
@pytest.mark.parametrize("number", range(len(ALL)), ids=lambda number: name(ALL[number]))
def test_a_run_with_any_fault_has_the_same_records(
    harness: ProcessHarness,
    host: EngineHost,
    tmp_path: Path,
    number: int,
    uninterrupted: ProviderRecords,
    figures: Figures,
) -> None:
    with figures.enter(FAULTS, number, len(ALL)) as entry:
        entry.share = run_with_fault(harness, host, tmp_path, ALL[number], uninterrupted)


@pytest.mark.slow_proof
@pytest.mark.parametrize("fault", CONFLICTS, ids=name)
def test_a_read_request_with_a_conflict_is_repeated(
    harness: ProcessHarness,
    host: EngineHost,
    tmp_path: Path,
    fault: Fault,
    uninterrupted: ProviderRecords,
) -> None:
    run_with_fault(harness, host, tmp_path, fault, uninterrupted)


@pytest.mark.slow_proof
@pytest.mark.parametrize("fault", LATE_FILES, ids=name)
def test_an_upload_that_is_listed_late_is_not_repeated(
    harness: ProcessHarness,
    host: EngineHost,
    tmp_path: Path,
    fault: Fault,
    uninterrupted: ProviderRecords,
) -> None:
    run_with_fault(harness, host, tmp_path, fault, uninterrupted, file_lag_s=LAG_S)
