"""How long the engine takes for each of its lists, with years of use in its database.

2,000 jobs of each protocol, 200,000 events, 2,000 files and 2,000 models; every list is asked
for by the longest page that the API allows, over loopback. The figure is the median of the rounds,
from the request to the last byte of the answer. `busy` is how long the engine kept a processor
busy for it: on a crowded machine, the part that is its own.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.engine_process import EngineProcess, run_engine
from ftops.clock import SystemClock
from ftops.engine.ids import checkpoint_name, new_id
from ftops.engine.settings import EngineFolder
from ftops.engine.store import FileRow, JobRow, JobStatus, ModelRow, NewEvent, Store

JOBS, FILES, EVENTS_A_JOB = 2_000, 2_000, 50  # the jobs and events of each protocol
BUSY_EVENTS = 2_000  # of the job whose events are listed
CHECKPOINTS = 3
ROUNDS = 15
TARGET_MS = 20.0
UNPAGED = "(no pages)"  # such a list grows with its rows: it is measured, but has no target


def make_history(store: Store) -> tuple[str, str]:
    """Fill the database; the ids of the busiest job of the current protocol and of the other."""
    with store.transaction():
        files = [new_id("file") for _ in range(FILES)]
        for number, file_id in enumerate(files):
            expires_at = store.now() + 10**6 if number % 10 == 0 else None
            name = f"rows-{number}.jsonl"
            row = FileRow(file_id, name, "fine-tune", 10**6, store.now(), expires_at)
            store.files.add(row)
        jobs = [_make_job(number, files, store) for number in range(2 * JOBS)]
        current, legacy = jobs[JOBS], jobs[JOBS + 1]
        for job in (current, legacy):
            store.add_events(job, *(_step(number) for number in range(EVENTS_A_JOB, BUSY_EVENTS)))
    return current, legacy


def _make_job(number: int, files: list[str], store: Store) -> str:
    """One finished job; every other one came by the legacy protocol."""
    job_id = new_id("ft" if number % 2 else "ftjob")
    job = JobRow(
        id=job_id,
        status=JobStatus.VALIDATING_FILES,
        model="ada",
        base="ada",
        training_file=files[number % FILES],
        validation_file=files[(number + 1) % FILES],
        suffix="news-topics",
        seed=number,
        metadata={"team": f"team-{number % 20}", "ftops_run": f"run-{number}"},
        hyperparameters={"n_epochs": 4, "batch_size": "auto", "learning_rate_multiplier": "auto"},
        created_at=store.now(),
    )
    store.add_job(job, NewEvent("created", f"Created fine-tuning job: {job_id}"))
    store.enqueue(job_id, NewEvent("queued", "Job queued.", data={"queue_position": 0}))
    store.start(job_id, {"n_epochs": 4, "batch_size": 8, "learning_rate_multiplier": 1.0})
    store.add_events(job_id, *(_step(number) for number in range(EVENTS_A_JOB - 3)))
    model = ModelRow(f"ft:ada:local::{job_id}", job_id, "ada", "ada", store.now())
    kept = [
        replace(model, name=checkpoint_name(model.name, step), step=step, metrics=_metrics(step))
        for step in range(CHECKPOINTS if number % 2 == 0 else 0)
    ]
    result = FileRow(f"{files[0]}-{number}", "r.csv", "fine-tune-results", 10**5, store.now())
    end = NewEvent("succeeded", "The job has successfully completed.")
    store.succeed(job_id, [*kept, model], result, 10**6, end)
    if number % 2:
        store.models.delete(model.name, at=store.now())
    return job_id


def _metrics(step: int) -> Mapping[str, float]:
    return {"train_loss": 1 / (step + 1), "train_mean_token_accuracy": 0.5}


def _step(number: int) -> NewEvent:
    message = f"Step {number}/{BUSY_EVENTS}: training loss=0.1234"
    figures = {"step": number, "total_steps": BUSY_EVENTS, **_metrics(number)}
    return NewEvent(f"step:{number}", message, type="metrics", data=dict(figures))


def paths(current: str, legacy: str) -> Mapping[str, str]:
    """Each list by its name."""
    jobs = "/v1/fine_tuning/jobs"
    return {
        "jobs, page of 100": f"{jobs}?limit=100",
        "jobs, the page half way": f"{jobs}?limit=100&after={current}",
        "jobs, one team's (200 of 2,000)": f"{jobs}?limit=100&metadata[team]=team-4",
        "jobs, one run's (1 of 2,000)": f"{jobs}?limit=100&metadata[ftops_run]=run-8",
        "jobs, no match (0 of 2,000)": f"{jobs}?limit=100&metadata[team]=none",
        "events, page of 1,000": f"{jobs}/{current}/events?limit=1000",
        "events, page of 20": f"{jobs}/{current}/events",
        "checkpoints": f"{jobs}/{current}/checkpoints",
        "files, page of 2,000": "/v1/files?limit=2000",
        "files, the 2,000 uploaded ones": "/v1/files?purpose=fine-tune",
        "models, all 2,000 (no pages)": "/v1/models",
        "engines, all 2,000 (no pages)": "/v1/engines",
        "fine-tunes, all 2,000 (no pages)": "/v1/fine-tunes",
        "fine-tune's 2,000 events (no pages)": f"/v1/fine-tunes/{legacy}/events",
    }


def time_ms(engine: EngineProcess, path: str) -> tuple[float, float, int]:
    """The median time of an answer, the engine's share of a processor in it, its size in bytes."""
    connection, taken = engine.open(), []
    for number in range(ROUNDS + 1):
        if number == 1:  # the first one warms up
            before_s = engine.processor_s
        began = time.perf_counter()
        size = len(engine.get(connection, path))
        taken.append(1000 * (time.perf_counter() - began))
    connection.close()
    busy_ms = 1000 * (engine.processor_s - before_s) / ROUNDS
    return statistics.median(taken[1:]), busy_ms, size


def main() -> int:
    """Print each list's time beside the target; 1 when one is missed."""
    missed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "engine")
        store = Store(EngineFolder(folder).database, SystemClock())
        current, legacy = make_history(store)
        store.close()
        titles = f"{'list':36}{'KB':>7}{'ms':>8}{'busy':>8}"
        print(f"{titles}   target {TARGET_MS:.0f} ms (median of {ROUNDS})")
        with run_engine(folder) as engine:
            for what, path in paths(current, legacy).items():
                taken_ms, busy_ms, size = time_ms(engine, path)
                verdict = "ok" if taken_ms <= TARGET_MS else "MISSED"
                if UNPAGED in what:
                    verdict = ""
                missed |= verdict == "MISSED"
                print(
                    f"{what:36}{size / 1000:7.0f}{taken_ms:8.1f}{busy_ms:8.1f}   {verdict}",
                    flush=True,
                )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
