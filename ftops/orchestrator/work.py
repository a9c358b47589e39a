"""What a stage gets and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ftops.orchestrator.desk import Desk, get_run_folder
from ftops.records import Json, Run, Stage
from ftops.spec.model import JobSpec


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt of one stage: of which run, after which job file, with what at hand."""

    run: Run
    spec: JobSpec
    desk: Desk

    @property
    def folder(self) -> Path:
        """Where the files of the run lie."""
        return get_run_folder(self.desk.home, self.run.id)

    def get_detail(self, stage: Stage) -> Mapping[str, Json]:
        """What another stage of the run has found out."""
        return self.desk.ledger.get_stage(self.run.id, stage).detail


@dataclass(frozen=True, slots=True)
class Outcome:
    """A stage that ended well: what it found out, or why there was nothing to do."""

    detail: Mapping[str, Json] = field(default_factory=dict)
    skipped: str | None = None
