"""Engines and trainers that are killed at crash points and random times: the outcome is the same.

The engines, the trainer and the kills are real. Without `-m slow_proof` only a few tests run.
"""

import ast
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import ftops
from tests.crash.engine_host import EngineHost, open_engine_host
from tests.crash.figures import ENGINE_POINTS, ENGINE_RANDOM_TIMES, Figures, Share, add_up
from tests.crash.job_client import Outcome, create_job, list_stale_files, wait_for_outcome
from tests.crash.killers import BOTH, ENGINE, TRAINER, Killer, PointKiller, RandomKiller
from tests.crash.processes import ProcessHarness
from tests.crash.tally import Tally

ALL = (TRAINER, ENGINE, BOTH)
MAX_JOBS = 3  # until each target has been killed at the point
POINTS: dict[str, Sequence[Sequence[str]]] = {
    "engine.start.after_sweep": [ENGINE],
    "engine.start.after_recovery": [ENGINE],
    "engine.uploads.after_placing": [ENGINE],
    "engine.uploads.after_part_rename": [ENGINE],
    "engine.uploads.after_join": [ENGINE],
    "engine.uploads.after_completion": [ENGINE],
    "engine.files.before_rename": [ENGINE],
    "engine.files.after_rename": [ENGINE],
    "engine.files.after_record": [ENGINE],
    "engine.jobs.before_record": [ENGINE],
    "engine.jobs.after_record": [ENGINE],
    "engine.queue.while_checking": [ENGINE],
    "engine.queue.after_checking": [ENGINE],
    "engine.queue.before_worker": [ENGINE],
    "engine.queue.after_worker": ALL,
    "engine.worker.after_lock": ALL,
    "engine.worker.before_begin": ALL,
    "engine.worker.after_begin": ALL,
    "engine.worker.before_step_events": ALL,
    "engine.worker.after_step": ALL,
    "engine.worker.before_epoch_rename": ALL,
    "engine.worker.after_epoch_rename": ALL,
    "engine.worker.before_publish": ALL,
    "engine.worker.after_publish": ALL,
    "engine.worker.after_results": ALL,
    "engine.worker.after_success": ALL,
    "engine.queue.before_burial": [ENGINE],
    "engine.queue.before_cleaning": [ENGINE],
    "engine.queue.after_burial": [ENGINE],
    "tiny.before_checkpoint": ALL,
    "tiny.after_checkpoint": ALL,
    "files.before_rename": ALL,
    "files.after_rename": ALL,
    "store.before_commit": ALL,
    "store.after_commit": ALL,
}
# Reached by other requests than those of this job; other tests kill at them.
OTHER_POINTS = {
    "engine.files.after_forget",
    "engine.models.before_removal",
    "engine.worker.before_give_back",
    "lora.after_checkpoint",
    "lora.before_checkpoint",
}
# At which counts to kill, if not only when a process first reaches the point.
COUNTS = {
    "engine.worker.before_step_events": [1, 20, 41],
    "engine.worker.after_step": [20],
    "tiny.before_checkpoint": [1, 3],
    "tiny.after_checkpoint": [1, 3],
    "files.before_rename": [2, 4, 9],
    "files.after_rename": [2, 4, 9],
    "store.before_commit": [1, 2, 3, 5, 8, 13, 30],
    "store.after_commit": [1, 2, 3, 5, 8, 13, 30],
}
CASES = [(point, count) for point in POINTS for count in COUNTS.get(point, [1])]
SEEDS = range(1, 19)
KILLS_PER_SEED = 10


def test_every_crash_point_of_the_engine_has_a_test() -> None:
    points: set[str] = set()
    package = Path(ftops.__file__).parent
    for path in (*package.joinpath("engine").rglob("*.py"), package / "files.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and "reach" in ast.unparse(node.func):
                points.add(ast.literal_eval(node.args[0]))
    assert points == POINTS.keys() | OTHER_POINTS


def test_a_job_that_is_killed_at_a_critical_point_has_the_same_outcome(
    harness: ProcessHarness, tmp_path: Path, uninterrupted: Outcome, tally: Tally
) -> None:
    kill_at_point(harness, tmp_path, "engine.worker.after_publish", 1, uninterrupted, tally)


def test_a_job_that_is_killed_a_few_times_has_the_same_outcome(
    harness: ProcessHarness, tmp_path: Path, uninterrupted: Outcome, tally: Tally
) -> None:
    kill_at_random(harness, tmp_path, 2026, 4, uninterrupted, tally)


@pytest.mark.slow_proof
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("point", "count"), CASES)
def test_a_job_that_is_killed_at_a_point_has_the_same_outcome(
    harness: ProcessHarness,
    tmp_path: Path,
    uninterrupted: Outcome,
    tally: Tally,
    figures: Figures,
    point: str,
    count: int,
) -> None:
    with figures.enter(ENGINE_POINTS, CASES.index((point, count)), len(CASES)) as entry:
        entry.share = kill_at_point(harness, tmp_path, point, count, uninterrupted, tally)


@pytest.mark.slow_proof
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_job_that_is_killed_at_random_times_has_the_same_outcome(
    harness: ProcessHarness,
    tmp_path: Path,
    uninterrupted: Outcome,
    tally: Tally,
    figures: Figures,
    seed: int,
) -> None:
    with figures.enter(ENGINE_RANDOM_TIMES, SEEDS.index(seed), len(SEEDS)) as entry:
        entry.share = kill_at_random(harness, tmp_path, seed, KILLS_PER_SEED, uninterrupted, tally)


@pytest.mark.slow_proof
def test_there_are_enough_kills_and_most_jobs_continue_from_a_checkpoint(tally: Tally) -> None:
    """The last test of this file, as it adds up the others."""
    random_line = tally.lines.get("at random")
    if random_line is None or random_line.jobs < len(SEEDS):
        pytest.skip("not all parts were run")
    assert tally.kills >= 200
    assert random_line.resumed >= random_line.jobs * 0.7


def kill_at_point(
    harness: ProcessHarness,
    folder: Path,
    point: str,
    count: int,
    uninterrupted: Outcome,
    tally: Tally,
) -> Share:
    remaining, shares = list(POINTS[point]), []
    for attempt in range(MAX_JOBS):
        attempt_folder = folder / str(attempt)
        with open_engine_host(harness, attempt_folder, start=False) as host:
            killer = PointKiller(host, point, count, remaining)
            shares.append(run_job(host, killer, point, uninterrupted, tally))
        remaining = killer.remaining
        shutil.rmtree(attempt_folder)
        if not remaining:
            return add_up(shares)
    raise AssertionError(f"no process reached {point} {count} times: {remaining}")


def kill_at_random(
    harness: ProcessHarness,
    folder: Path,
    seed: int,
    count: int,
    uninterrupted: Outcome,
    tally: Tally,
) -> Share:
    with open_engine_host(harness, folder) as host:
        killer = RandomKiller(host, seed, count)
        share = run_job(host, killer, "at random", uninterrupted, tally)
    shutil.rmtree(folder)
    return share


def run_job(
    host: EngineHost, killer: Killer, point: str, uninterrupted: Outcome, tally: Tally
) -> Share:
    """Run a job while the killer is active; it must have the uninterrupted outcome."""
    start_s = time.monotonic()
    killer.start()
    try:
        outcome = wait_for_outcome(host, create_job(host))
    finally:
        killer.finish()
    host.call(lambda sdk: sdk.models.list())  # restarts an engine that was killed after the job
    assert host.stop() == 0
    stale_files = list_stale_files(host)
    same = outcome == uninterrupted and not stale_files
    steps = host.count_trained_steps()
    resumed = len(steps) > 1 and steps[-1] < uninterrupted.results.count(b"\n") - 1
    tally.add(point, killer.kills, resumed=resumed, same=same)
    assert outcome == uninterrupted
    assert stale_files == []
    return Share(runs=1, kills=killer.kills.total(), same=1, seconds=time.monotonic() - start_s)
