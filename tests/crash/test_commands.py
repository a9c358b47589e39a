"""The real `ftops run`, killed at each of its crash points, at several and at random times.

It talks over HTTP to a real engine with the real trainer. However often it is killed, there is one
job, one upload of each file, each event once and in order, and the results of an uninterrupted run,
both in the ledger and at the engine.
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
from tests.crash.figures import POINT_SEQUENCES, RANDOM_TIMES, SINGLE_POINTS, Figures, Share
from tests.crash.processes import ProcessHarness
from tests.crash.scenarios import Kill, ProviderRecords, Scenario

MAX_PARALLEL = 8
SEQUENCE_SHARES = range(14)
SEQUENCES_PER_SHARE = 36
RANDOM_SHARES = range(12)
RUNS_PER_RANDOM_SHARE = 20
MIN_KILLS = 2000
# Ledger changes that these runs do not make; tests/crash/test_pruning.py, tests/runs and
# tests/ledger kill at them.
_OTHER_CHANGES = {
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
    "record_deployment",
    "update_deployment",
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
def point_kills(harness: ProcessHarness, tmp_path_factory: pytest.TempPathFactory) -> list[Kill]:
    """A kill for each time that an uninterrupted run reaches a crash point."""
    folder = tmp_path_factory.mktemp("point_kills")
    with open_engine_host(harness, folder) as host:
        return make_scenario(harness, host.paths, folder, 0).trace()


@pytest.fixture(scope="session")
def uninterrupted(
    harness: ProcessHarness, tmp_path_factory: pytest.TempPathFactory
) -> ProviderRecords:
    """The records of a run without kills."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with open_engine_host(harness, folder) as host:
        records = make_scenario(harness, host.paths, folder, 0).run_to_end([])
    assert (records.run, records.jobs, len(records.uploads)) == ("succeeded", ("succeeded",), 2)
    assert records.events_match
    assert records.events
    return records


def make_scenario(
    harness: ProcessHarness, engine: EngineFolder, folder: Path, number: int
) -> Scenario:
    scenario_folder = folder / f"scenario-{number:03}"
    scenario_folder.mkdir()
    return Scenario(harness, engine, scenario_folder)


def test_a_run_reaches_every_point_that_is_not_of_another_command(point_kills: list[Kill]) -> None:
    expected = {name for name in list_crash_points() if name.split(".")[1] not in _OTHER_CHANGES}
    assert {kill.point for kill in point_kills} == expected | _REMOTE | _FILES


def test_a_run_that_is_killed_at_critical_points_has_the_same_records(
    harness: ProcessHarness, tmp_path: Path, uninterrupted: ProviderRecords
) -> None:
    share = run_all(
        harness,
        tmp_path,
        uninterrupted,
        [
            [Kill("create.after_call"), Kill("ledger.record_job.before_commit")],
            [Kill("upload.after_call"), Kill("remote.after_call", 4)],
            [Kill("ledger.add_events.after_commit"), Kill(after_s=0.4)],
        ],
    )
    assert share.kills >= 4


@pytest.mark.slow_proof
@pytest.mark.timeout(600)
def test_a_run_that_is_killed_at_each_point_has_the_same_records(
    harness: ProcessHarness,
    tmp_path: Path,
    uninterrupted: ProviderRecords,
    point_kills: list[Kill],
    figures: Figures,
) -> None:
    with figures.enter(SINGLE_POINTS, 0, 1) as entry:
        entry.share = run_all(harness, tmp_path, uninterrupted, [[kill] for kill in point_kills])
        # The number of polls depends on time: the last ones may be missing.
        assert entry.share.kills >= len(point_kills) * 0.8


@pytest.mark.slow_proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", SEQUENCE_SHARES)
def test_a_run_that_is_killed_at_several_points_has_the_same_records(
    harness: ProcessHarness,
    tmp_path: Path,
    uninterrupted: ProviderRecords,
    point_kills: list[Kill],
    figures: Figures,
    number: int,
) -> None:
    sequences = choose_sequences(point_kills, len(SEQUENCE_SHARES) * SEQUENCES_PER_SHARE)
    with figures.enter(POINT_SEQUENCES, number, len(SEQUENCE_SHARES)) as entry:
        entry.share = run_all(
            harness, tmp_path, uninterrupted, sequences[number :: len(SEQUENCE_SHARES)]
        )


@pytest.mark.slow_proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", RANDOM_SHARES)
def test_a_run_that_is_killed_at_random_times_has_the_same_records(
    harness: ProcessHarness,
    tmp_path: Path,
    uninterrupted: ProviderRecords,
    figures: Figures,
    number: int,
) -> None:
    rng = random.Random(number)
    plans = [
        [Kill(after_s=rng.uniform(0, 0.8)) for _ in range(rng.randint(2, 8))]
        for _ in range(RUNS_PER_RANDOM_SHARE)
    ]
    with figures.enter(RANDOM_TIMES, number, len(RANDOM_SHARES)) as entry:
        entry.share = run_all(harness, tmp_path, uninterrupted, plans)


@pytest.mark.slow_proof
def test_enough_commands_were_killed(figures: Figures) -> None:
    """The last test of this file, as it adds up the others."""
    totals = [figures.find_total(part) for part in (SINGLE_POINTS, POINT_SEQUENCES, RANDOM_TIMES)]
    if None in totals:
        pytest.skip("not all parts were run")
    assert sum(total.kills for total in totals if total) >= MIN_KILLS


def choose_sequences(point_kills: Sequence[Kill], count: int) -> list[list[Kill]]:
    """Choose `count` sequences of five kills, evenly over all pairs of a kill and the next one.

    A command continues where the killed one stopped, and so reaches late points early: the later
    kills of a sequence use the first or second time that a point is reached.
    """
    points = sorted({(kill.point, min(kill.count, 2)) for kill in point_kills})
    pairs = [(first, point) for first in point_kills for point in points]
    step = len(pairs) / count
    sequences = []
    for number in range(count):
        first, second = pairs[int(number * step)]
        # Strides without a common factor with the number of points use each equally often.
        others = [points[(number * stride) % len(points)] for stride in (17, 29, 41)]
        sequences.append([first, *(Kill(*point) for point in (second, *others))])
    return sequences


def run_all(
    harness: ProcessHarness,
    folder: Path,
    uninterrupted: ProviderRecords,
    plans: Sequence[Sequence[Kill]],
) -> Share:
    """Run a scenario for each plan, in parallel; all must have the uninterrupted records."""
    start_s = time.monotonic()
    with open_engine_host(harness, folder, "--jobs", "4") as host:

        def run(number: int) -> tuple[int, int]:
            scenario = make_scenario(harness, host.paths, folder, number)
            records = scenario.run_to_end(plans[number])
            assert records == uninterrupted, f"scenario {number}: {plans[number]}"
            scenario.delete()
            return scenario.kills, scenario.commands

        with ThreadPoolExecutor(MAX_PARALLEL) as pool:
            counts = list(pool.map(run, range(len(plans))))
        assert host.stop() == 0
    return Share(
        runs=len(counts),
        commands=sum(commands for _, commands in counts),
        kills=sum(kills for kills, _ in counts),
        same=len(counts),
        seconds=time.monotonic() - start_s,
    )
