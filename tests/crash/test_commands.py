"""The real `ftops run`, killed at each of its points, at several in a row and at any time.

Over HTTP to a real engine with the real trainer. However often it died: one job, one upload of each
file, every event once and in order, the same results as for a run that nobody disturbed. What the
engine itself has on record counts as much as the ledger.
"""

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ftops.engine.settings import EngineFolder
from ftops.ledger.file import list_crash_points
from tests.crash.engine_host import open_engine_host
from tests.crash.figures import ANYTIME, ROWS, SINGLES, Figures, Share
from tests.crash.processes import ProcessHarness
from tests.crash.scenarios import Death, ProviderRecords, Scenario

AT_ONCE = 8
ROW_SHARES = range(14)
ROW_LIVES = 36
ANYTIME_SHARES = range(12)
ANYTIME_LIVES = 20
LEAST_KILLS = 2000
# Changes of the ledger that no such run makes; tests/crash/test_pruning.py, tests/runs and
# tests/ledger kill there.
_ELSEWHERE = {
    "reopen_run",
    "update_spec",
    "ask_cancel",
    "record_done",
    "record_failed",
    "add_upload",
    "forget_upload",
    "mark_model_deleted",
    "close_calls",
    "begin_deletion",
    "mark_pruned",
    "begin_parts",
    "add_part",
    "mark_completing",
}
_REMOTE = {
    f"{name}.{moment}_call"
    for name in ("upload", "create", "remote")
    for moment in ("before", "after")
}
_FILES = {"files.before_rename", "files.after_rename"}


@pytest.fixture(scope="session")
def passings(harness: ProcessHarness, tmp_path_factory: pytest.TempPathFactory) -> list[Death]:
    """Every place where a run without deaths passes a point."""
    folder = tmp_path_factory.mktemp("passings")
    with open_engine_host(harness, folder) as host:
        return make_life(harness, host.paths, folder, 0).trace()


@pytest.fixture(scope="session")
def untouched(harness: ProcessHarness, tmp_path_factory: pytest.TempPathFactory) -> ProviderRecords:
    """What stands in the books after a run without deaths."""
    folder = tmp_path_factory.mktemp("untouched")
    with open_engine_host(harness, folder) as host:
        books = make_life(harness, host.paths, folder, 0).live([])
    assert (books.run, books.jobs, len(books.uploads)) == ("succeeded", ("succeeded",), 2)
    assert books.told
    assert books.events
    return books


def make_life(harness: ProcessHarness, engine: EngineFolder, folder: Path, number: int) -> Scenario:
    place = folder / f"life-{number:03}"
    place.mkdir()
    return Scenario(harness, engine, place)


def test_a_run_passes_every_point_that_is_not_for_other_commands(passings: list[Death]) -> None:
    expected = {name for name in list_crash_points() if name.split(".")[1] not in _ELSEWHERE}
    assert {death.point for death in passings} == expected | _REMOTE | _FILES


def test_killed_where_it_hurts_most_a_run_comes_to_the_same_end(
    harness: ProcessHarness, tmp_path: Path, untouched: ProviderRecords
) -> None:
    share = live_all(
        harness,
        tmp_path,
        untouched,
        [
            [Death("create.after_call"), Death("ledger.record_job.before_commit")],
            [Death("upload.after_call"), Death("remote.after_call", 4)],
            [Death("ledger.add_events.after_commit"), Death(after_s=0.4)],
        ],
    )
    assert share.kills >= 4


@pytest.mark.slow_proof
@pytest.mark.timeout(600)
def test_killed_at_each_point_a_run_comes_to_the_same_end(
    harness: ProcessHarness,
    tmp_path: Path,
    untouched: ProviderRecords,
    passings: list[Death],
    figures: Figures,
) -> None:
    with figures.enter(SINGLES, 0, 1) as entry:
        entry.share = live_all(harness, tmp_path, untouched, [[death] for death in passings])
        # How often the job is looked at is a matter of time: the last looks may not come.
        assert entry.share.kills >= len(passings) * 0.8


@pytest.mark.slow_proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", ROW_SHARES)
def test_killed_at_several_points_in_a_row_a_run_comes_to_the_same_end(
    harness: ProcessHarness,
    tmp_path: Path,
    untouched: ProviderRecords,
    passings: list[Death],
    figures: Figures,
    number: int,
) -> None:
    rows = choose_rows(passings, len(ROW_SHARES) * ROW_LIVES)
    with figures.enter(ROWS, number, len(ROW_SHARES)) as entry:
        entry.share = live_all(harness, tmp_path, untouched, rows[number :: len(ROW_SHARES)])


@pytest.mark.slow_proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", ANYTIME_SHARES)
def test_killed_at_any_time_a_run_comes_to_the_same_end(
    harness: ProcessHarness,
    tmp_path: Path,
    untouched: ProviderRecords,
    figures: Figures,
    number: int,
) -> None:
    dice = random.Random(number)
    plans = [
        [Death(after_s=dice.uniform(0, 0.8)) for _ in range(dice.randint(2, 8))]
        for _ in range(ANYTIME_LIVES)
    ]
    with figures.enter(ANYTIME, number, len(ANYTIME_SHARES)) as entry:
        entry.share = live_all(harness, tmp_path, untouched, plans)


@pytest.mark.slow_proof
def test_enough_commands_were_killed(figures: Figures) -> None:
    """The last of this file: it looks back at the others."""
    totals = [figures.find_total(part) for part in (SINGLES, ROWS, ANYTIME)]
    if None in totals:
        pytest.skip("not all of the suite was asked for")
    assert sum(total.kills for total in totals if total) >= LEAST_KILLS


def choose_rows(passings: Sequence[Death], count: int) -> list[list[Death]]:
    """So many rows of five deaths, evenly over all pairs of a passing and the one that follows.

    A command goes on where the one before has died, so a passing that is late in a whole run comes
    early in it: each is asked for at one of its first passings.
    """
    places = sorted({(death.point, min(death.count, 2)) for death in passings})
    pairs = [(first, place) for first in passings for place in places]
    step = len(pairs) / count
    rows = []
    for number in range(count):
        first, second = pairs[int(number * step)]
        # Strides that share no factor with the number of places come to each equally often.
        others = [places[(number * stride) % len(places)] for stride in (17, 29, 41)]
        rows.append([first, *(Death(*place) for place in (second, *others))])
    return rows


def live_all(
    harness: ProcessHarness,
    folder: Path,
    untouched: ProviderRecords,
    plans: Sequence[Sequence[Death]],
) -> Share:
    """Several lives at once, each after its plan; all must end as if nobody had died."""
    began_s = time.monotonic()
    with open_engine_host(harness, folder, "--jobs", "4") as host:

        def live(number: int) -> tuple[int, int]:
            life = make_life(harness, host.paths, folder, number)
            books = life.live(plans[number])
            assert books == untouched, f"life {number}: {plans[number]}"
            life.end()
            return life.kills, life.commands

        with ThreadPoolExecutor(AT_ONCE) as pool:
            ends = list(pool.map(live, range(len(plans))))
        assert host.stop() == 0
    return Share(
        runs=len(ends),
        commands=sum(commands for _, commands in ends),
        kills=sum(kills for kills, _ in ends),
        same=len(ends),
        seconds=time.monotonic() - began_s,
    )
