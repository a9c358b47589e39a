"""Each fault between the real command and a real engine: one job, one upload of each file, every
event once and in order, the results of a run that nothing disturbed.

Real sockets, the real `ftops` as a process, the real trainer; only the waiting is short.
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
    """What pytest calls the case."""
    place = fault.path.removeprefix("/v1/").replace("[^/]+", "ID")
    return f"{fault.kind} {fault.method} {place} {fault.nth}{' ended' * fault.once_ended}"


@pytest.fixture(scope="module")
def host(harness: ProcessHarness, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHost]:
    with open_engine_host(harness, tmp_path_factory.mktemp("engine")) as made:
        yield made
        assert made.stop() == 0


@contextmanager
def open_life(
    harness: ProcessHarness,
    host: EngineHost,
    folder: Path,
    faults: Sequence[Fault] = (),
    *,
    file_lag_s: float = 0.0,
) -> Iterator[tuple[ProxiedScenario, FaultyProxy]]:
    """A life behind a proxy at which these faults wait, and where pages are small and late."""
    place = folder / f"life-{zlib.crc32(folder.name.encode()):x}"
    place.mkdir()
    clock = FastClock(place.with_suffix(".clock"))
    target = str(host.sdk.base_url).rstrip("/")
    with open_proxy(
        target, clock, faults, lag_s=LAG_S, file_lag_s=file_lag_s, page_size=PAGE_SIZE
    ) as proxy:
        yield ProxiedScenario(harness, host.paths, place, proxy), proxy


@pytest.fixture(scope="module")
def untouched(
    harness: ProcessHarness, host: EngineHost, tmp_path_factory: pytest.TempPathFactory
) -> ProviderRecords:
    """What stands in the books when the proxy does nothing."""
    with open_life(harness, host, tmp_path_factory.mktemp("untouched")) as (life, _):
        books = life.come_through()
        assert life.commands == 1
    assert (books.run, books.jobs, len(books.uploads)) == ("succeeded", ("succeeded",), 2)
    assert books.events_match
    return books


def come_through(
    harness: ProcessHarness,
    host: EngineHost,
    folder: Path,
    fault: Fault,
    untouched: ProviderRecords,
    *,
    file_lag_s: float = 0.0,
) -> Share:
    """One life that meets the fault; it must end as if it had not."""
    began_s = time.monotonic()
    with open_life(harness, host, folder, [fault], file_lag_s=file_lag_s) as (life, proxy):
        books = life.come_through()
    assert proxy.met == [fault]
    assert books == untouched
    return Share(
        runs=1, commands=life.commands, faults=1, same=1, seconds=time.monotonic() - began_s
    )


@pytest.mark.parametrize("fault", SHORT, ids=name)
def test_a_run_that_meets_a_fault_ends_as_if_it_had_not(
    harness: ProcessHarness,
    host: EngineHost,
    tmp_path: Path,
    fault: Fault,
    untouched: ProviderRecords,
) -> None:
    come_through(harness, host, tmp_path, fault, untouched)


@pytest.mark.slow_proof
@pytest.mark.parametrize("number", range(len(ALL)), ids=lambda number: name(ALL[number]))
def test_a_run_that_meets_any_fault_ends_as_if_it_had_not(
    harness: ProcessHarness,
    host: EngineHost,
    tmp_path: Path,
    number: int,
    untouched: ProviderRecords,
    figures: Figures,
) -> None:
    with figures.enter(FAULTS, number, len(ALL)) as entry:
        entry.share = come_through(harness, host, tmp_path, ALL[number], untouched)


@pytest.mark.slow_proof
@pytest.mark.parametrize("fault", CONFLICTS, ids=name)
def test_a_run_whose_question_meets_a_conflict_asks_again(
    harness: ProcessHarness,
    host: EngineHost,
    tmp_path: Path,
    fault: Fault,
    untouched: ProviderRecords,
) -> None:
    come_through(harness, host, tmp_path, fault, untouched)


@pytest.mark.slow_proof
@pytest.mark.parametrize("fault", LATE_FILES, ids=name)
def test_an_upload_that_is_listed_late_is_not_repeated(
    harness: ProcessHarness,
    host: EngineHost,
    tmp_path: Path,
    fault: Fault,
    untouched: ProviderRecords,
) -> None:
    come_through(harness, host, tmp_path, fault, untouched, file_lag_s=LAG_S)
