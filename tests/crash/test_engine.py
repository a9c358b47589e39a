"""Engines and trainers that are killed, everywhere and at any time: the job ends as if nobody had.

Real engines, the real trainer, real kills. Without `-m slow_proof` only a short form runs.
"""

import ast
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import ftops
from tests.crash.engine_host import EngineHost, open_engine_host
from tests.crash.figures import ENGINE_ANYTIME, ENGINE_POINTS, Figures, Share, add_up
from tests.crash.job_client import Outcome, ask_for_job, list_stale_files, see_to_end
from tests.crash.killers import BOTH, ENGINE, TRAINER, Killer, PointKiller, RandomKiller
from tests.crash.processes import ProcessHarness
from tests.crash.tally import Tally

ALL = (TRAINER, ENGINE, BOTH)
MOST_JOBS = 3  # until each target has been killed at the point
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
# Reached in other stories than that of a job; tests of their own go there.
ELSEWHERE = {
    "engine.files.after_forget",
    "engine.models.before_removal",
    "engine.worker.before_give_back",
    "lora.after_checkpoint",
    "lora.before_checkpoint",
}
# At which passing to kill, where the first is not the only one of interest.
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
KILLS_A_SEED = 10


def test_every_crash_point_of_the_engine_is_known_here() -> None:
    found: set[str] = set()
    package = Path(ftops.__file__).parent
    for path in (*package.joinpath("engine").rglob("*.py"), package / "files.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and "reach" in ast.unparse(node.func):
                found.add(ast.literal_eval(node.args[0]))
    assert found == POINTS.keys() | ELSEWHERE


def test_killed_at_its_worst_moment_the_job_ends_as_if_nobody_had_been(
    harness: ProcessHarness, tmp_path: Path, undisturbed: Outcome, tally: Tally
) -> None:
    kill_at_point(harness, tmp_path, "engine.worker.after_publish", 1, undisturbed, tally)


def test_killed_a_few_times_at_random_the_job_ends_as_if_nobody_had_been(
    harness: ProcessHarness, tmp_path: Path, undisturbed: Outcome, tally: Tally
) -> None:
    kill_at_random(harness, tmp_path, 2026, 4, undisturbed, tally)


@pytest.mark.slow_proof
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("point", "count"), CASES)
def test_killed_at_a_point_the_job_ends_as_if_nobody_had_been(
    harness: ProcessHarness,
    tmp_path: Path,
    undisturbed: Outcome,
    tally: Tally,
    figures: Figures,
    point: str,
    count: int,
) -> None:
    with figures.enter(ENGINE_POINTS, CASES.index((point, count)), len(CASES)) as entry:
        entry.share = kill_at_point(harness, tmp_path, point, count, undisturbed, tally)


@pytest.mark.slow_proof
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_again_and_again_the_job_ends_as_if_nobody_had_been(
    harness: ProcessHarness,
    tmp_path: Path,
    undisturbed: Outcome,
    tally: Tally,
    figures: Figures,
    seed: int,
) -> None:
    with figures.enter(ENGINE_ANYTIME, SEEDS.index(seed), len(SEEDS)) as entry:
        entry.share = kill_at_random(harness, tmp_path, seed, KILLS_A_SEED, undisturbed, tally)


@pytest.mark.slow_proof
def test_enough_was_killed_and_most_jobs_went_on_from_a_checkpoint(tally: Tally) -> None:
    """The last of this file: it looks back at the others."""
    random_line = tally.lines.get("at random")
    if random_line is None or random_line.jobs < len(SEEDS):
        pytest.skip("not all of the suite was asked for")
    assert tally.kills >= 200
    assert random_line.resumed >= random_line.jobs * 0.7


def kill_at_point(
    harness: ProcessHarness,
    folder: Path,
    point: str,
    count: int,
    undisturbed: Outcome,
    tally: Tally,
) -> Share:
    left, shares = list(POINTS[point]), []
    for attempt in range(MOST_JOBS):
        place = folder / str(attempt)
        with open_engine_host(harness, place, start=False) as host:
            killer = PointKiller(host, point, count, left)
            shares.append(do_errand(host, killer, point, undisturbed, tally))
        left = killer.left
        shutil.rmtree(place)
        if not left:
            return add_up(shares)
    raise AssertionError(f"nobody came to {point}, pass {count}, to be killed: {left}")


def kill_at_random(
    harness: ProcessHarness, folder: Path, seed: int, count: int, undisturbed: Outcome, tally: Tally
) -> Share:
    with open_engine_host(harness, folder) as host:
        killer = RandomKiller(host, seed, count)
        share = do_errand(host, killer, "at random", undisturbed, tally)
    shutil.rmtree(folder)
    return share


def do_errand(
    host: EngineHost, killer: Killer, place: str, undisturbed: Outcome, tally: Tally
) -> Share:
    """Have the job done while the killer is about; it must come out as if he were not."""
    began_s = time.monotonic()
    killer.start()
    try:
        outcome = see_to_end(host, ask_for_job(host))
    finally:
        killer.finish()
    host.ask(lambda sdk: sdk.models.list())  # an engine that died last is started once more
    assert host.stop() == 0
    leftovers = list_stale_files(host)
    same = outcome == undisturbed and not leftovers
    trained = host.trained()
    resumed = len(trained) > 1 and trained[-1] < undisturbed.results.count(b"\n") - 1
    tally.add(place, killer.kills, resumed=resumed, same=same)
    assert outcome == undisturbed
    assert leftovers == []
    return Share(runs=1, kills=killer.kills.total(), same=1, seconds=time.monotonic() - began_s)
