"""The statuses of runs and stages, and all transitions between them, as data.

The runner checks each transition against these tables. The ledger then writes it only if the status
has not changed since the runner read it. `render_states` renders the tables for the documentation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ftops.errors import FtopsError, JobCancelled, JobFailed, NotFound, PermissionRefused, Rejected
from ftops.records import RunStatus, Stage, StageRecord, StageStatus

Status = TypeVar("Status", RunStatus, StageStatus)


@dataclass(frozen=True, slots=True)
class Transition(Generic[Status]):
    """A named transition from any of `before` to `after`."""

    before: frozenset[Status]
    after: Status
    meaning: str

    def check(self, seen: Status) -> Status:
        """The status after `seen`; ValueError if the transition is not allowed from it."""
        if seen not in self.before:
            raise ValueError(f"no transition from {seen} to {self.after}: {self.meaning}")
        return self.after


_R, _S = RunStatus, StageStatus

RUN_TRANSITIONS: dict[str, Transition[RunStatus]] = {
    "start": Transition(frozenset({_R.PENDING}), _R.RUNNING, "the first stage starts"),
    "succeed": Transition(frozenset({_R.RUNNING}), _R.SUCCEEDED, "every stage is done"),
    "fail": Transition(
        frozenset({_R.RUNNING}), _R.FAILED, "the job failed, or an upload or the job was refused"
    ),
    "cancel": Transition(
        frozenset({_R.PENDING, _R.RUNNING}), _R.CANCELLED, "the job was cancelled, or never created"
    ),
    "reopen": Transition(
        frozenset({_R.FAILED, _R.CANCELLED, _R.SUCCEEDED}),
        _R.RUNNING,
        "`--retry`, a changed `evaluate` section after a success, or a job without a recorded end",
    ),
}

STAGE_TRANSITIONS: dict[str, Transition[StageStatus]] = {
    "begin": Transition(
        frozenset({_S.PENDING, _S.RUNNING, _S.FAILED, _S.SUCCEEDED}),
        _S.RUNNING,
        "an attempt starts: the first one, or one after a kill, an error or a lost file",
    ),
    "succeed": Transition(frozenset({_S.RUNNING}), _S.SUCCEEDED, "the attempt is done"),
    "skip": Transition(frozenset({_S.RUNNING}), _S.SKIPPED, "the run does not need this stage"),
    "fail": Transition(frozenset({_S.RUNNING}), _S.FAILED, "an error; the same command retries"),
    "reset": Transition(
        frozenset({_S.RUNNING, _S.FAILED, _S.SUCCEEDED, _S.SKIPPED}),
        _S.PENDING,
        "the run was reopened, and this stage must run again",
    ),
}

ENDED = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
DONE = frozenset({StageStatus.SUCCEEDED, StageStatus.SKIPPED})

# The errors that end a run, by stage. Once a run has a job, only the end of the job ends the run,
# because an error while polling says nothing about the job. All other errors (no network, a wrong
# key, a full disk, a limit) leave the run open, so that the same command continues it.
_REFUSALS = (Rejected, PermissionRefused, NotFound)
FINAL_ERRORS: Mapping[Stage, tuple[type[FtopsError], ...]] = {
    Stage.UPLOAD: _REFUSALS,
    Stage.CREATE: _REFUSALS,
    Stage.FOLLOW: (JobFailed,),
}


def find_ending(stage: Stage, error: FtopsError) -> Transition[RunStatus] | None:
    """The transition of the run if `stage` fails with `error`; None if the run stays open."""
    if isinstance(error, JobCancelled):
        return RUN_TRANSITIONS["cancel"]
    if isinstance(error, FINAL_ERRORS.get(stage, ())):
        return RUN_TRANSITIONS["fail"]
    return None


def render_states() -> str:
    """Both tables of transitions, and the errors that end a run, as Markdown."""
    parts = []
    for title, statuses, transitions in (
        ("A run", tuple(RunStatus), RUN_TRANSITIONS),
        ("A stage", tuple(StageStatus), STAGE_TRANSITIONS),
    ):
        parts.append(f"{title} is {', '.join(f'`{status}`' for status in statuses)}.\n")
        parts.append("| transition | from | to | when |\n| --- | --- | --- | --- |")
        parts.extend(_render_transition(name, each, statuses) for name, each in transitions.items())
        parts.append("")
    parts.append("| stage | errors that end the run |\n| --- | --- |")
    parts.extend(
        f"| {stage} | {', '.join(f'`{error.__name__}`' for error in errors)} |"
        for stage, errors in FINAL_ERRORS.items()
    )
    parts.append("")
    return "\n".join(parts)


def _render_transition(
    name: str,
    transition: Transition[RunStatus] | Transition[StageStatus],
    statuses: tuple[RunStatus, ...] | tuple[StageStatus, ...],
) -> str:
    before = ", ".join(status for status in statuses if status in transition.before)
    return f"| {name} | {before} | {transition.after} | {transition.meaning} |"


_ORDER = tuple(Stage)
# The stages that read the prepared files; the other ones use the uploaded files.
_NEED_FILES = frozenset({Stage.UPLOAD, Stage.EVALUATE})


def plan(
    records: Sequence[StageRecord], *, has_prepared_files: bool, has_job: bool = False
) -> tuple[Stage, ...]:
    """The remaining stages, in order.

    Preparation is repeated if its files were deleted and a later stage needs them. A run that has a
    job uploads nothing, regardless of its records.
    """
    left = {record.stage for record in records if record.status not in DONE}
    if has_job:
        left.discard(Stage.UPLOAD)
    if left & _NEED_FILES and not has_prepared_files:
        left.add(Stage.PREPARE)
    return tuple(stage for stage in _ORDER if stage in left)


def plan_retry(records: Sequence[StageRecord]) -> tuple[Stage, ...]:
    """The stages that a retry of a failed or cancelled run repeats.

    All stages from the failed one on, and at least from the upload on, because uploaded files may
    have been deleted (existing files are reused).
    """
    undone = [record.stage for record in records if record.status not in DONE]
    first = min([Stage.UPLOAD, *undone], key=_ORDER.index)
    return _ORDER[_ORDER.index(first) :]
