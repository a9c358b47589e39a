"""A test bench: a real ledger, real files, a folder-backed fake provider, and a recorder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ftops.evaluation.result import Evaluation
from ftops.ledger.ledger import Ledger
from ftops.records import JobEvent, Json, Run, Stage, StageRecord
from ftops.runs.context import RunContext
from ftops.runs.open_run import drive, open_run
from ftops.spec.job_file import LoadedJob, load_job
from tests.fakes import FakeClock
from tests.runs.fake_provider import FakeProvider

TRAINING = [(f"question {n}\n\n", f" {n % 3 + 1}") for n in range(12)]
VALIDATION = [("question 1\n\n", " 2"), ("question 2\n\n", " 3"), ("something new\n\n", " 2")]


@dataclass
class Recorder:
    """Records all progress of a run as text."""

    steps: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    progress: list[tuple[str, float, float | None, str]] = field(default_factory=list)

    def on_run_open(self, run: Run, *, resumed: bool) -> None:
        self.steps.append(f"opened {'again' if resumed else 'new'}")

    def on_stage_start(self, stage: Stage, attempt: int) -> None:
        self.steps.append(f"{stage} begins {attempt}")

    def on_stage_end(self, record: StageRecord) -> None:
        self.steps.append(f"{record.stage} {record.status}")

    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        self.progress.append((stage.value, done, total, unit))

    def on_job_status(self, status: str) -> None:
        self.steps.append(f"job {status}")

    def on_event(self, event: JobEvent) -> None:
        self.events.append(event.message)

    def on_note(self, text: str) -> None:
        self.notes.append(text)


@dataclass
class Bench:
    """The home, ledger and provider of a user."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.provider = FakeProvider(self.folder / "provider", self.clock)
        self.ledger = Ledger(self.home / "ledger.db", self.clock)
        self.recorder = Recorder()

    @property
    def context(self) -> RunContext:
        return RunContext(self.ledger, self.provider, self.clock, self.home, self.recorder)

    def run(self, job: LoadedJob, *, new: bool = False, retry: bool = False) -> Run:
        """Run the job as `ftops run` does, with a new recorder."""
        self.recorder = Recorder()
        return drive(open_run(job, self.context, new=new, retry=retry), self.context)

    def statuses(self, run: Run) -> list[str]:
        """The statuses of the stages."""
        return [record.status.value for record in self.ledger.list_stages(run.id)]

    def detail(self, run: Run, stage: Stage) -> dict[str, Json]:
        """The recorded detail of a stage."""
        return dict(self.ledger.get_stage(run.id, stage).detail)

    def write_job(self, **fields: object) -> LoadedJob:
        """A job file with small data files; `fields` are added or replaced."""
        return write_job(self.folder, **fields)


def get_primary_value(evaluation: Evaluation) -> float:
    """The primary metric of the tuned model."""
    return evaluation.candidates[0].metrics[evaluation.primary_metric].value


def write_job(folder: Path, **fields: object) -> LoadedJob:
    """Write `job.yaml` and its data to `folder`, and load it."""
    write_rows(folder / "train.jsonl", TRAINING)
    write_rows(folder / "validation.jsonl", VALIDATION)
    job: dict[str, object] = {
        "name": "numbers",
        "provider": "fake",
        "model": "ada",
        "training_file": "train.jsonl",
        "validation_file": "validation.jsonl",
        **fields,
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps({name: value for name, value in job.items() if value is not None}))
    return load_job(path, environ={})


def write_rows(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Completion rows as JSON lines."""
    lines = [
        json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in rows
    ]
    path.write_text("\n".join(lines) + "\n")
