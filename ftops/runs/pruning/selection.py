"""Which runs are old enough, and what of theirs may go. Nothing is changed, and nobody is asked.

A file at a provider goes only with the last run that needs it. One that this ledger has not
uploaded itself may be somebody else's, and one that a job file names by its id could not be brought
again: both stay.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ftops.ledger.ledger import Ledger, RemoteCall, Upload
from ftops.records import Run, RunId, TunedModel
from ftops.run_folder import PRUNED_PREFIX, RunFolder, get_runs_folder
from ftops.runs.states import ENDED

DELETIONS = ("delete_file", "delete_model")


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is to go: runs that ended so long ago, but for the newest ones of each job name."""

    older_than: timedelta
    keep_last: int = 0
    models: bool = False  # the fine-tuned models, too
    local_only: bool = False  # nothing at any provider


@dataclass(frozen=True, slots=True)
class SharedUpload:
    """A file that may go once all runs that need it have been pruned."""

    upload: Upload
    needed_by: frozenset[RunId]


@dataclass(frozen=True, slots=True)
class RunArtifacts:
    """What one ended run has left, as far as it may go; sizes in bytes."""

    run: Run
    folder_bytes: int
    uploads: tuple[SharedUpload, ...] = ()
    models: tuple[TunedModel, ...] = ()

    @property
    def upload_bytes(self) -> int:
        return sum(shared.upload.bytes for shared in self.uploads)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to go, oldest run first, and what an earlier command did not bring to its end.

    `made_at` is when it was looked at: what has changed since is left alone.
    """

    made_at: datetime
    leftovers: tuple[RunArtifacts, ...]
    calls: tuple[RemoteCall, ...] = ()
    folders: tuple[Path, ...] = ()


def select(ledger: Ledger, home: Path, now: datetime, criteria: Criteria) -> Selection:
    """What these criteria mean at this moment."""
    runs = ledger.list_runs()
    chosen = _choose_runs(runs, now, criteria)
    calls = [call for name in DELETIONS for call in ledger.list_open_calls(name)]
    uploads: dict[RunId, list[SharedUpload]] = {}
    models: dict[RunId, list[TunedModel]] = {}
    if not criteria.local_only:
        uploads = _assign_uploads(ledger, runs, chosen)
    if criteria.models and not criteria.local_only:
        models = _assign_models(ledger, runs, calls)
    leftovers = [
        RunArtifacts(
            run=run,
            folder_bytes=measure_folder(RunFolder.of(home, run.id)),
            uploads=tuple(uploads.get(run.id, ())),
            models=tuple(models.get(run.id, ())),
        )
        for run in chosen
    ]
    return Selection(
        made_at=now,
        leftovers=tuple(filter(_is_worth_it, leftovers)),
        calls=() if criteria.local_only else tuple(calls),
        folders=tuple(sorted(get_runs_folder(home).glob(f"{PRUNED_PREFIX}*"))),
    )


def measure_folder(folder: RunFolder) -> int:
    """The bytes of all files in the folder but its lock; 0 when it is not there."""
    return sum(
        path.lstat().st_size
        for path in folder.path.rglob("*")
        if path != folder.lock and (path.is_symlink() or path.is_file())
    )


def _choose_runs(runs: Sequence[Run], now: datetime, criteria: Criteria) -> list[Run]:
    """The ended runs that are old enough, oldest first; `runs` come newest first."""
    chosen = []
    seen: Counter[str] = Counter()
    for run in runs:
        if run.status not in ENDED or run.ended_before_job or run.finished_at is None:
            continue
        seen[run.name] += 1
        if seen[run.name] > criteria.keep_last and now - run.finished_at >= criteria.older_than:
            chosen.append(run)
    return chosen[::-1]


def _is_worth_it(leftover: RunArtifacts) -> bool:
    left = leftover.folder_bytes or leftover.uploads or leftover.models
    return bool(left) or leftover.run.pruned_at is None


def _assign_uploads(
    ledger: Ledger, runs: Sequence[Run], chosen: Sequence[Run]
) -> dict[RunId, list[SharedUpload]]:
    """Each file that may go, with the last of the chosen runs that needs it."""
    order = {run.id: place for place, run in enumerate(chosen)}
    needed_by: defaultdict[str, set[RunId]] = defaultdict(set)
    for run_id, name in ledger.list_needs():
        needed_by[name].add(run_id)
    typed = _list_typed_ids(runs)
    assigned: dict[RunId, list[SharedUpload]] = {}
    for upload in ledger.list_uploads():
        if upload.file_id in typed or not ledger.is_upload_known(upload.file_id):
            continue
        needing = needed_by[upload.file_id] | needed_by[upload.sha256] or {upload.run_id}
        if needing <= order.keys():
            last = max(needing, key=order.__getitem__)
            shared = SharedUpload(upload, frozenset(needing))
            assigned.setdefault(last, []).append(shared)
    return assigned


def _list_typed_ids(runs: Iterable[Run]) -> set[str]:
    """What stands in job files for files; among them are the ids of files at a provider."""
    return {
        str(run.spec[name])
        for run in runs
        for name in ("training_file", "validation_file")
        if run.spec.get(name)
    }


def _assign_models(
    ledger: Ledger, runs: Sequence[Run], calls: Iterable[RemoteCall]
) -> dict[RunId, list[TunedModel]]:
    """The models of each run, without those from which a run that goes on is to start."""
    left_out = {run.model for run in runs if run.status not in ENDED}
    left_out |= {str(call.request.get("id")) for call in calls}  # on their way out
    assigned: dict[RunId, list[TunedModel]] = {}
    for model in ledger.list_models():
        if model.deleted_at is None and model.name not in left_out:
            assigned.setdefault(model.run_id, []).append(model)
    return assigned
