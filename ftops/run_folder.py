"""The folder of a run in FTOPS_HOME; no other module names its files."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ftops.locks import hold_lock, is_locked
from ftops.records import Run, RunId

PRUNED_PREFIX = ".pruned-"  # marks the folder of a run that is being removed


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of a run's files; they need not exist."""

    path: Path

    @classmethod
    def of(cls, home: Path, run_id: RunId) -> "RunFolder":
        """The folder of the run."""
        return cls(get_runs_folder(home) / run_id)

    @property
    def job_file(self) -> Path:
        """The job file that was run."""
        return self.path / "job.yaml"

    @property
    def training_rows(self) -> Path:
        """The prepared training rows, uploaded unless there are `provider_rows`."""
        return self.path / "train.jsonl"

    @property
    def validation_rows(self) -> Path:
        """The prepared validation rows, uploaded unless there are `provider_rows`."""
        return self.path / "validation.jsonl"

    @property
    def provider_rows(self) -> Path:
        """The folder with both files in the format of a provider that has its own."""
        return self.path / "provider_rows"

    @property
    def evaluation_rows(self) -> Path:
        """The prepared rows of `evaluate.file`."""
        return self.path / "evaluate.jsonl"

    @property
    def training_extract(self) -> Path:
        """What the evaluation needs of the training rows."""
        return self.path / "train.extract.json"

    @property
    def evaluation_slices(self) -> Path:
        """The fields of `evaluate.slices` of each prepared row of `evaluate.file`."""
        return self.path / "evaluate.slices.jsonl"

    @property
    def keep_rows(self) -> Path:
        """The prepared rows of `evaluate.keep`."""
        return self.path / "keep.jsonl"

    @property
    def results(self) -> Path:
        """The results file of the job, unchanged."""
        return self.path / "results.csv"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def predictions(self) -> Path:
        """The folder with the predictions of each candidate."""
        return self.path / "predictions"

    @property
    def report_html(self) -> Path:
        return self.path / "report.html"

    @property
    def report_markdown(self) -> Path:
        return self.path / "report.md"

    def list_documents(self) -> tuple[Path, ...]:
        """The files that describe the run, for exports; they need not exist."""
        return (
            self.job_file,
            self.results,
            self.evaluation,
            self.report_html,
            self.report_markdown,
        )

    @property
    def lock(self) -> Path:
        return self.path / "lock"


def get_runs_folder(home: Path) -> Path:
    """The folder of all runs."""
    return home / "runs"


def hold_run(run: Run, home: Path) -> AbstractContextManager[bool]:
    """Hold the run's lock for the block; False when another process holds it."""
    return hold_lock(RunFolder.of(home, run.id).lock)


def is_driven(run: Run, home: Path) -> bool:
    """Whether a process currently drives the run or works on it."""
    return is_locked(RunFolder.of(home, run.id).lock)
