"""Removes old runs: selects them, then deletes their files, one run at a time.

Pruning can be interrupted at any point. At a provider, each deletion is recorded as an intent
before its request and as done afterwards. An object that no longer exists counts as deleted, so an
open intent can be repeated. On the disk, the ledger records that the run was pruned, its folder is
renamed, then deleted; the next command deletes a renamed folder that still exists. A file at a
provider is deleted with the last run that needs it. Two kinds of files are kept: those that this
ledger has not uploaded, because they may belong to another user, and those that a job file names by
id, because they could not be uploaded again.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path

from ftops import crashpoints
from ftops.errors import FtopsError, NotFound, PermissionRefused, ProviderError, Rejected
from ftops.files import remove_path, rename_dir
from ftops.http.request_log import run_scope
from ftops.ledger.ledger import Ledger
from ftops.ledger.records import RemoteCall, Upload
from ftops.providers.provider import Provider
from ftops.records import ProviderSettings, Run, RunId, Stage, TunedModel
from ftops.run_folder import PRUNED_PREFIX, RunFolder, get_runs_folder, hold_run
from ftops.runs.states import ENDED
from ftops.stage_results import get_value

DELETIONS = ("delete_file", "delete_model")


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which ended runs to prune, by age; the newest runs of each job name are kept."""

    older_than: timedelta
    keep_last: int = 0
    models: bool = False  # also delete fine-tuned models
    local_only: bool = False  # delete nothing at providers


@dataclass(frozen=True, slots=True)
class SharedUpload:
    """A file that may be deleted once all runs that need it have been pruned."""

    upload: Upload
    needed_by: frozenset[RunId]


@dataclass(frozen=True, slots=True)
class RunArtifacts:
    """The parts of an ended run that may be deleted; sizes are in bytes."""

    run: Run
    folder_bytes: int
    uploads: tuple[SharedUpload, ...] = ()
    models: tuple[TunedModel, ...] = ()

    @property
    def upload_bytes(self) -> int:
        return sum(shared.upload.bytes for shared in self.uploads)


@dataclass(frozen=True, slots=True)
class Selection:
    """The runs to prune, oldest first, and the unfinished deletions of earlier commands.

    `made_at` is the time of the selection: runs that changed since are not pruned.
    """

    made_at: datetime
    artifacts: tuple[RunArtifacts, ...]
    calls: tuple[RemoteCall, ...] = ()
    folders: tuple[Path, ...] = ()


def select(ledger: Ledger, home: Path, now: datetime, criteria: Criteria) -> Selection:
    """Apply the criteria to the current runs."""
    runs = ledger.list_runs()
    chosen = _choose_runs(runs, now, criteria)
    calls = [call for name in DELETIONS for call in ledger.list_open_calls(name)]
    uploads: dict[RunId, list[SharedUpload]] = {}
    models: dict[RunId, list[TunedModel]] = {}
    if not criteria.local_only:
        uploads = _assign_uploads(ledger, runs, chosen)
    if criteria.models and not criteria.local_only:
        models = _assign_models(ledger, runs, calls)
    artifacts = [
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
        artifacts=tuple(filter(_is_worth_it, artifacts)),
        calls=() if criteria.local_only else tuple(calls),
        folders=tuple(sorted(get_runs_folder(home).glob(f"{PRUNED_PREFIX}*"))),
    )


def measure_folder(folder: RunFolder) -> int:
    """The size in bytes of all files in the folder except its lock; 0 if it does not exist."""
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


def _is_worth_it(artifacts: RunArtifacts) -> bool:
    left = artifacts.folder_bytes or artifacts.uploads or artifacts.models
    return bool(left) or artifacts.run.pruned_at is None


def _assign_uploads(
    ledger: Ledger, runs: Sequence[Run], chosen: Sequence[Run]
) -> dict[RunId, list[SharedUpload]]:
    """The files that may be deleted, by the last of the chosen runs that needs them."""
    order = {run.id: number for number, run in enumerate(chosen)}
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
    """The values of file fields in job files; some are ids of files at a provider."""
    return {
        str(run.spec[name])
        for run in runs
        for name in ("training_file", "validation_file")
        if run.spec.get(name)
    }


def _assign_models(
    ledger: Ledger, runs: Sequence[Run], calls: Iterable[RemoteCall]
) -> dict[RunId, list[TunedModel]]:
    """The models of each run, without base models of unfinished runs."""
    left_out = {run.model for run in runs if run.status not in ENDED}
    left_out |= {str(call.request.get("id")) for call in calls}  # being deleted
    assigned: dict[RunId, list[TunedModel]] = {}
    for model in ledger.list_models():
        if model.deleted_at is None and model.name not in left_out:
            assigned.setdefault(model.run_id, []).append(model)
    return assigned


MODEL_CALL = "delete_model"
OpenProvider = Callable[[ProviderSettings], Provider]


class PruneStatus(StrEnum):
    """The outcome of a deletion."""

    PRUNED = "pruned"
    SKIPPED = "skipped"  # it is in use
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PruneResult:
    """The outcome and its reason; `deleted` and `kept` are ids of files and models."""

    status: PruneStatus
    message: str = ""
    hint: str = ""
    deleted: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(slots=True)
class Pruner:
    """Prunes the selected runs; `open_provider` is called once for each provider."""

    ledger: Ledger
    home: Path
    made_at: datetime  # the time of the selection
    open_provider: OpenProvider
    _providers: dict[ProviderSettings, Provider | FtopsError] = field(default_factory=dict)

    def finish(self, selection: Selection) -> list[tuple[str, PruneResult]]:
        """Finish the deletions of earlier commands; returns each object's id with its result."""
        calls = [
            (get_value(call.request, "id", str), _guarded(partial(self._finish_call, call)))
            for call in selection.calls
        ]
        folders = [
            (str(folder), _guarded(partial(_finish_folder, folder))) for folder in selection.folders
        ]
        return calls + folders

    def prune(self, artifacts: RunArtifacts) -> PruneResult:
        """Delete the artifacts of this run; a run that is in use is skipped."""
        with run_scope(artifacts.run.id):
            return _guarded(partial(self._prune, artifacts))

    def _prune(self, artifacts: RunArtifacts) -> PruneResult:
        run = artifacts.run
        with hold_run(run, self.home) as held:
            if not held:
                return PruneResult(PruneStatus.SKIPPED, "another process drives it")
            run = self.ledger.get_run(run.id)
            if run.status not in ENDED:
                return PruneResult(PruneStatus.SKIPPED, f"it was opened again, and is {run.status}")
            deleted, kept = self._delete_remote(run, artifacts)
            self.ledger.mark_pruned(run)
            _remove_folder(RunFolder.of(self.home, run.id).path)
        return PruneResult(PruneStatus.PRUNED, deleted=tuple(deleted), kept=tuple(kept))

    def _delete_remote(self, run: Run, artifacts: RunArtifacts) -> tuple[list[str], list[str]]:
        """Delete the run's files and models; returns the ids of deleted and of kept ones."""
        deleted: list[str] = []
        kept: list[str] = []
        if not (artifacts.uploads or artifacts.models):
            return deleted, kept
        provider = self._get_provider(run.provider)
        for shared in artifacts.uploads:
            gone = self._delete_file(provider, run, shared)
            (deleted if gone else kept).append(shared.upload.file_id)
        for model in artifacts.models:
            call = self.ledger.record_intent(
                run.id, Stage.FOLLOW, MODEL_CALL, {"id": model.name, "account": provider.account}
            )
            self._carry_out(provider, run, call)
            deleted.append(model.name)
        return deleted, kept

    def _delete_file(self, provider: Provider, run: Run, shared: SharedUpload) -> bool:
        """Delete the file; False if another run needs it or it is in another account."""
        upload = shared.upload
        others = shared.needed_by - {run.id}
        if upload.account != provider.account or not all(map(self._is_pruned, others)):
            return False
        call = self.ledger.begin_file_deletion(run.id, upload, since=self.made_at)
        if call is None:
            return False
        try:
            self._carry_out(provider, run, call)
        except (Rejected, PermissionRefused):
            self.ledger.add_upload(upload)  # it still exists
            raise
        return True

    def _is_pruned(self, run_id: RunId) -> bool:
        return self.ledger.get_run(run_id).pruned_at is not None

    def _finish_call(self, call: RemoteCall) -> PruneResult:
        run = self.ledger.get_run(call.run_id)
        with run_scope(run.id), hold_run(run, self.home) as held:
            if not held:
                return PruneResult(PruneStatus.SKIPPED, f"another process drives {run.id}")
            provider = self._get_provider(run.provider)
            if call.request.get("account") != provider.account:
                return PruneResult(PruneStatus.SKIPPED, f"it lies at {call.request.get('account')}")
            self._carry_out(provider, run, call)
        return PruneResult(PruneStatus.PRUNED)

    def _carry_out(self, provider: Provider, run: Run, call: RemoteCall) -> None:
        """Delete the object of the intent, which stays open if the outcome is unknown."""
        remote_id = get_value(call.request, "id", str)
        crashpoints.reach("pruning.before_call")
        try:
            if call.name == MODEL_CALL:
                provider.delete_model(remote_id)
            else:
                provider.delete_file(remote_id)
        except NotFound:
            pass  # already deleted, perhaps by an interrupted command
        except (Rejected, PermissionRefused) as error:
            self.ledger.record_failed(call, error.message)
            raise
        except ProviderError as error:
            self._providers[run.provider] = error
            raise
        crashpoints.reach("pruning.after_call")
        if call.name == MODEL_CALL:
            self.ledger.mark_model_deleted(remote_id)
        self.ledger.record_done(call, remote_id)

    def _get_provider(self, settings: ProviderSettings) -> Provider:
        """The provider, ready for requests; a provider that failed is not retried."""
        if settings not in self._providers:
            try:
                provider = self.open_provider(settings)
                provider.ensure_ready()
                self._providers[settings] = provider
            except FtopsError as error:
                self._providers[settings] = error
        provider_or_error = self._providers[settings]
        if isinstance(provider_or_error, FtopsError):
            raise provider_or_error
        return provider_or_error


def _guarded(work: Callable[[], PruneResult]) -> PruneResult:
    try:
        return work()
    except FtopsError as error:
        return PruneResult(PruneStatus.FAILED, error.message, error.hint)


def _remove_folder(folder: Path) -> None:
    """Delete the folder of a run, including the lock, which the caller holds."""
    pending_delete = folder.with_name(f"{PRUNED_PREFIX}{folder.name}")
    remove_path(pending_delete)  # from an earlier pruning of the run
    crashpoints.reach("pruning.before_rename")
    rename_dir(folder, pending_delete)
    crashpoints.reach("pruning.after_rename")
    remove_path(pending_delete)


def _finish_folder(folder: Path) -> PruneResult:
    remove_path(folder)
    return PruneResult(PruneStatus.PRUNED)
