"""What it costs one process to follow a hundred jobs at once: its share of one processor.

A hundred runs, each with a job that stays paused in a real engine (a process of its own), are
followed over loopback as `ftops run --all` does: a thread each, with one ledger, one provider and
one clock.
"""

import sys
import tempfile
import time
from pathlib import Path

from benchmarks.engine_process import run_engine
from ftops.clock import SystemClock
from ftops.engine.ids import new_id
from ftops.engine.settings import EngineFolder
from ftops.engine.store import JobRow, JobStatus, NewEvent, Store
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import ProviderSettings, RowFormat, Run, RunStatus, Stage, StageStatus
from ftops.runs.context import RunContext
from ftops.runs.observer import NullObserver
from ftops.runs.open_run import drive, make_run_id
from ftops.runs.parallel import ThrottledClock, run_parallel
from ftops.spec.model import JobSpec
from ftops.stage_results import PreparedData, PreparedFile

JOBS = 100
MEASURED_S = 15.0
LIMIT_SHARE = 0.05


class _Measured(Exception):
    """The figures are there."""


class ContentHasher(NullObserver):
    """Looks at this process's processor time between two moments; hears of every job's status."""

    def __init__(self) -> None:
        self.heard_of = 0
        self.busy_s = 0.0
        self.from_s = 0.0
        self.share = 0.0

    def on_job_status(self, status: str) -> None:  # noqa: ARG002  # the observer's signature
        self.heard_of += 1

    def look(self) -> None:
        """Begin when every job was asked for once; raise _Measured at the end."""
        now_s = time.perf_counter()
        if not self.from_s and self.heard_of == JOBS:
            self.from_s, self.busy_s = now_s, time.process_time()
        elif self.from_s and now_s - self.from_s > MEASURED_S:
            self.share = (time.process_time() - self.busy_s) / (now_s - self.from_s)
            raise _Measured


def add_job(store: Store) -> str:
    """A job that stays unfinished, and that no worker takes."""
    job_id = new_id("ftjob")
    job = JobRow(
        id=job_id,
        status=JobStatus.PAUSED,
        model="ada",
        base="ada",
        training_file="file-1",
        validation_file=None,
        suffix=None,
        seed=1,
        metadata={},
        hyperparameters={},
        created_at=store.now(),
    )
    store.add_job(job, NewEvent("created", f"Created fine-tuning job: {job_id}"))
    return job_id


def add_run(ledger: Ledger, clock: SystemClock, number: int, job_id: str) -> Run:
    """A run whose job is created, so that following is next."""
    settings = ProviderSettings("local")
    spec = JobSpec(name=f"n{number}", provider="local", model="ada", training_file="file-1")
    run = Run(
        id=make_run_id(clock.now()),
        key=f"key-{number}",
        name=spec.name,
        status=RunStatus.PENDING,
        provider=settings,
        model="ada",
        spec=spec.to_json(),
        job_file="/job.yaml",
        created_at=clock.now(),
        updated_at=clock.now(),
    )
    run = ledger.move_run(ledger.add_run(run, if_absent=False), RunStatus.RUNNING)
    file = PreparedFile("train", "file-1", file_id="file-1")
    details = {Stage.PREPARE: PreparedData(RowFormat.COMPLETION, "", None, file).to_json()}
    for stage in (Stage.PREPARE, Stage.UPLOAD, Stage.CREATE):
        record = ledger.move_stage(run.id, ledger.get_stage(run.id, stage), StageStatus.RUNNING)
        ledger.move_stage(run.id, record, StageStatus.SUCCEEDED, detail=details.get(stage, {}))
    call = ledger.record_intent(run.id, Stage.CREATE, "create_job", {})
    ledger.record_job(call, job_id)
    return ledger.get_run(run.id)


def measure(home: Path, jobs: list[str]) -> float:
    """The share of one processor that following all jobs takes."""
    clock = ThrottledClock(SystemClock())
    ledger = Ledger(home / "ledger.db", SystemClock())
    provider = build_provider(ProviderSettings("local"), ProviderContext({}, home, clock))
    meter = ContentHasher()
    context = RunContext(ledger, provider, clock, home, meter)
    runs = [add_run(ledger, SystemClock(), number, job) for number, job in enumerate(jobs)]
    try:
        endings = run_parallel(
            [lambda run=run: drive(run, context) for run in runs],  # type: ignore[misc]
            concurrency=len(runs),
            clock=clock,
            look=meter.look,
        )
    except _Measured:
        return meter.share
    finally:
        provider.close()
        ledger.close()
    raise SystemExit(f"the jobs were to stay paused, and ended: {endings[0]}")


def main() -> int:
    """Print the share beside its limit; 1 when it is exceeded."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        store = Store(EngineFolder(home / "engine").database, SystemClock())
        jobs = [add_job(store) for _ in range(JOBS)]
        with run_engine(home / "engine"):
            share = measure(home, jobs)
        store.close()
    verdict = "ok" if share < LIMIT_SHARE else "MISSED"
    print(f"following {JOBS} jobs at once from one process, over {MEASURED_S:.0f} s")
    print(f"  share of one processor {share:6.1%}   limit {LIMIT_SHARE:.0%}   {verdict}")
    return int(share >= LIMIT_SHARE)


if __name__ == "__main__":
    sys.exit(main())
