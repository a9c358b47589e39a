"""Takes away what was selected, run by run, such that a death at any moment loses no thread.

At a provider: an intent in the ledger, the request, its end in the ledger; what is gone already
counts as deleted, so an intent that was left open is simply carried out again. On the disk: the
ledger says that the run was pruned, its folder gets the name of a doomed one, then it is removed;
a doomed folder that is found is removed by the next command.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path

from ftops import crashpoints
from ftops.errors import FtopsError, NotFound, PermissionRefused, ProviderError, Rejected
from ftops.files import remove_path, rename_dir
from ftops.http.request_log import run_scope
from ftops.ledger.ledger import Ledger, RemoteCall
from ftops.providers.provider import Provider
from ftops.records import ProviderSettings, Run, RunId, Stage
from ftops.run_folder import PRUNED_PREFIX, RunFolder, hold_run
from ftops.runs.pruning.selection import RunArtifacts, Selection, SharedUpload
from ftops.runs.states import ENDED
from ftops.stage_results import get_value

MODEL_CALL = "delete_model"
OpenProvider = Callable[[ProviderSettings], Provider]


class PruneStatus(StrEnum):
    """What became of something that was selected."""

    PRUNED = "pruned"
    SKIPPED = "skipped"  # it is in use
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What became of it and why; `deleted` and `kept` are ids of files and models."""

    fate: PruneStatus
    message: str = ""
    hint: str = ""
    deleted: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(slots=True)
class Pruner:
    """Removes; `open_provider` gives whoever has the files, and is asked once for each."""

    ledger: Ledger
    home: Path
    made_at: datetime  # when the selection was made
    open_provider: OpenProvider
    _providers: dict[ProviderSettings, Provider | FtopsError] = field(default_factory=dict)

    def finish(self, selection: Selection) -> list[tuple[str, PruneResult]]:
        """Bring to its end what an earlier command began; what it was about, and its end."""
        calls = [
            (get_value(call.request, "id", str), _guarded(partial(self._finish_call, call)))
            for call in selection.calls
        ]
        folders = [
            (str(folder), _guarded(partial(_finish_folder, folder))) for folder in selection.folders
        ]
        return calls + folders

    def prune(self, leftover: RunArtifacts) -> PruneResult:
        """Remove what this run has left; a run that is in use stays as it is."""
        with run_scope(leftover.run.id):
            return _guarded(partial(self._prune, leftover))

    def _prune(self, leftover: RunArtifacts) -> PruneResult:
        run = leftover.run
        with hold_run(run, self.home) as held:
            if not held:
                return PruneResult(PruneStatus.SKIPPED, "another process drives it")
            run = self.ledger.get_run(run.id)
            if run.status not in ENDED:
                return PruneResult(PruneStatus.SKIPPED, f"it was opened again, and is {run.status}")
            deleted, kept = self._delete_remote(run, leftover)
            self.ledger.mark_pruned(run)
            _remove_folder(RunFolder.of(self.home, run.id).path)
        return PruneResult(PruneStatus.PRUNED, deleted=tuple(deleted), kept=tuple(kept))

    def _delete_remote(self, run: Run, leftover: RunArtifacts) -> tuple[list[str], list[str]]:
        """Delete its files and models; the ids of those that are gone, and of those that stay."""
        deleted: list[str] = []
        kept: list[str] = []
        if not (leftover.uploads or leftover.models):
            return deleted, kept
        provider = self._get_provider(run.provider)
        for shared in leftover.uploads:
            gone = self._delete_file(provider, run, shared)
            (deleted if gone else kept).append(shared.upload.file_id)
        for model in leftover.models:
            call = self.ledger.record_intent(
                run.id, Stage.FOLLOW, MODEL_CALL, {"id": model.name, "account": provider.account}
            )
            self._carry_out(provider, run, call)
            deleted.append(model.name)
        return deleted, kept

    def _delete_file(self, provider: Provider, run: Run, shared: SharedUpload) -> bool:
        """False when another run still needs the file, or it lies at another account."""
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
            self.ledger.add_upload(upload)  # it is still there
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
        """Delete what the intent names; after an error without a clear answer it stays open."""
        remote_id = get_value(call.request, "id", str)
        crashpoints.reach("pruning.before_call")
        try:
            if call.name == MODEL_CALL:
                provider.delete_model(remote_id)
            else:
                provider.delete_file(remote_id)
        except NotFound:
            pass  # gone already, perhaps by an earlier command that died
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
        """Whoever has the files, ready to be asked; one that did not answer is not asked again."""
        if settings not in self._providers:
            try:
                provider = self.open_provider(settings)
                provider.ensure_ready()
                self._providers[settings] = provider
            except FtopsError as error:
                self._providers[settings] = error
        found = self._providers[settings]
        if isinstance(found, FtopsError):
            raise found
        return found


def _guarded(work: Callable[[], PruneResult]) -> PruneResult:
    try:
        return work()
    except FtopsError as error:
        return PruneResult(PruneStatus.FAILED, error.message, error.hint)


def _remove_folder(folder: Path) -> None:
    """The folder of a run whose lock the caller holds; the lock goes with it."""
    doomed = folder.with_name(f"{PRUNED_PREFIX}{folder.name}")
    remove_path(doomed)  # of an earlier life of the run
    crashpoints.reach("pruning.before_rename")
    rename_dir(folder, doomed)
    crashpoints.reach("pruning.after_rename")
    remove_path(doomed)


def _finish_folder(folder: Path) -> PruneResult:
    remove_path(folder)
    return PruneResult(PruneStatus.PRUNED)
