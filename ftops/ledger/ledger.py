"""The ledger: a database of runs, with one method for each query and each change.

No other module opens `ledger.db`. Every change of the state of a run or a stage is one
compare-and-set transaction that also records the change: a second process gets RunBusy and changes
nothing. A remote effect is recorded as an intent before its request is sent, and as done or failed
after the response. The ledger holds no secrets.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from ftops.errors import LedgerError, RunBusy, UnknownRun
from ftops.ledger.file import Change, LedgerFile
from ftops.ledger.records import (
    CALL_COLUMNS,
    DEPLOYMENT_COLUMNS,
    EVENT_COLUMNS,
    MODEL_COLUMNS,
    RUN_COLUMNS,
    STAGE_COLUMNS,
    UPLOAD_COLUMNS,
    DeploymentRecord,
    Intent,
    RemoteCall,
    SqlRow,
    StateChange,
    StoredEvent,
    Upload,
    deployment_values,
    model_values,
    run_values,
    to_call,
    to_deployment,
    to_event,
    to_json,
    to_model,
    to_multipart_upload,
    to_run,
    to_stage,
    to_state_change,
    to_storable,
    to_text,
    to_upload,
)
from ftops.records import (
    JobEvent,
    Json,
    MultipartUpload,
    Run,
    RunId,
    RunStatus,
    Stage,
    StageRecord,
    StageStatus,
    TunedModel,
)

Item = TypeVar("Item")
SHORTEST_PREFIX = 4
FILE_CALL = "delete_file"
_ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)
_OPEN = f"status IN ('{RunStatus.PENDING}', '{RunStatus.RUNNING}')"
_STAGES = tuple(Stage)
_LAST_LETTER = "\U0010ffff"
_FORGET_UPLOAD = "UPDATE uploads SET forgotten_at = ? WHERE file_id = ? AND forgotten_at IS NULL"
_NEWEST = "ORDER BY created_at DESC, rowid DESC"


def _collect(table: str, column: str, names: Sequence[str], condition: str) -> str:
    return " UNION ALL ".join(
        f"SELECT run_id, {name} AS name FROM {table} WHERE run_id IN chosen AND {condition}"
        for name in (f"json_extract({column}, '$.{name}')" for name in names)
    )


# The runs in `chosen`, each with the file ids and the SHA-256 of prepared content that it needs.
_NEEDS = " UNION ALL ".join(
    (
        _collect("stages", "detail_json", ("training_file", "validation_file"), "stage = 'upload'"),
        _collect(
            "stages", "detail_json", ("training.sha256", "validation.sha256"), "stage = 'prepare'"
        ),
        _collect("calls", "request_json", ("sha256",), "name = 'upload_file'"),
        _collect(
            "calls", "request_json", ("training_file", "validation_file"), "name = 'create_job'"
        ),
        "SELECT run_id, remote_id FROM calls WHERE run_id IN chosen AND name = 'upload_file'",
        "SELECT run_id, file_id FROM uploads WHERE run_id IN chosen",
        "SELECT id, json_extract(spec_json, '$.training_file') FROM runs WHERE id IN chosen",
        "SELECT id, json_extract(spec_json, '$.validation_file') FROM runs WHERE id IN chosen",
    )
)


class Ledger(LedgerFile):
    """`Ledger(path, clock)` opens or creates the file; threads may share an instance.

    Raises LedgerTooNew for a file of a later ftops, LedgerError for a file of an earlier ftops or
    one that is damaged or locked for too long by another process, and StorageError for disk errors.
    """

    def add_run(self, run: Run, *, if_absent: bool, deploys: bool = False) -> Run:
        """Record the run with its stages, and return it.

        Only a run that `deploys` has the stage `deploy`. With `if_absent`, return an existing run
        with the same key instead, in the same transaction.
        """
        with self._changing("add_run") as connection:
            if if_absent and (known := _newest(connection, "key = ?", run.key)):
                return known
            marks = ", ".join("?" for _ in RUN_COLUMNS.split(","))
            connection.execute(
                f"INSERT INTO runs ({RUN_COLUMNS}) VALUES ({marks})", run_values(run)
            )
            connection.executemany(
                "INSERT INTO stages (run_id, stage, status) VALUES (?, ?, 'pending')",
                [(run.id, stage.value) for stage in Stage if deploys or stage is not Stage.DEPLOY],
            )
            _record_state_change(
                connection, run.id, self._now(), {"before": "new", "after": run.status}
            )
        return run

    def get_run(self, ref: str) -> Run:
        """The run that `ref` names; raises UnknownRun.

        `ref` is a run id, a prefix of one (4 characters or more), a job id, the name of a
        fine-tuned model, or a job file's `name` (its newest run), tried in this order.
        """
        with self._reading() as connection:
            if run := _newest(connection, "id = ?", ref):
                return run
            if run := _by_prefix(connection, ref):
                return run
            for column in ("job_id", "fine_tuned_model", "name"):
                if run := _newest(connection, f"{column} = ?", ref):
                    return run
            if run := _by_older_job(connection, ref):
                return run
        raise UnknownRun(f"no run, job, model or job file is called {ref!r}")

    def has_run(self, run_id: str) -> bool:
        """Whether a run has exactly this id."""
        return self._exists("SELECT 1 FROM runs WHERE id = ?", run_id)

    def find_run_by_key(self, key: str) -> Run | None:
        """The newest run with this key."""
        with self._reading() as connection:
            return _newest(connection, "key = ?", key)

    def find_run_of_job(self, job_id: str) -> Run | None:
        """The run that has this job, or had it before a retry."""
        with self._reading() as connection:
            return _newest(connection, "job_id = ?", job_id) or _by_older_job(connection, job_id)

    def list_runs(self, limit: int | None = None) -> list[Run]:
        """Runs, newest first."""
        sql = f"SELECT {RUN_COLUMNS} FROM runs {_NEWEST} LIMIT ?"
        return self._list(to_run, sql, -1 if limit is None else limit)

    def move_run(
        self,
        seen: Run,
        after: RunStatus,
        *,
        error: str | None = None,
        due: Sequence[Intent] = (),
    ) -> Run:
        """Change the status of the run; RunBusy if it changed since the caller read it.

        The same transaction records the requests in `due` as intents.
        """
        now = self._now()
        with self._changing("move_run") as connection:
            changed = connection.execute(
                "UPDATE runs SET status = ?, error = ?, updated_at = ?, finished_at = ?"
                " WHERE id = ? AND status = ?",
                (
                    after.value,
                    error,
                    now,
                    now if after in _ENDED else None,
                    seen.id,
                    seen.status.value,
                ),
            ).rowcount
            if changed != 1:
                raise _lost(seen)
            _record_state_change(connection, seen.id, now, {"before": seen.status, "after": after})
            for intent in due:
                _insert_intent(connection, now, seen.id, intent.stage, intent.name, intent.request)
            return _known(connection, seen.id)

    def reopen_run(self, seen: Run, stages: Collection[Stage]) -> Run:
        """Set an ended run running again and reset `stages` to pending.

        If they include the creation of the job, the run loses its job and its model.
        """
        now = self._now()
        forget = (
            ", job_id = NULL, job_status = NULL, fine_tuned_model = NULL"
            if Stage.CREATE in stages
            else ""
        )
        with self._changing("reopen_run") as connection:
            changed = connection.execute(
                "UPDATE runs SET status = 'running', error = NULL, finished_at = NULL,"
                f" cancel_asked_at = NULL, pruned_at = NULL, updated_at = ?{forget}"
                " WHERE id = ? AND status = ?",
                (now, seen.id, seen.status.value),
            ).rowcount
            if changed != 1:
                raise _lost(seen)
            _record_state_change(
                connection, seen.id, now, {"before": seen.status, "after": RunStatus.RUNNING}
            )
            for stage in stages:
                _reset_stage(connection, seen.id, stage, now)
            return _known(connection, seen.id)

    def update_spec(
        self,
        run_id: RunId,
        spec: Mapping[str, Json],
        *,
        job_file: str,
        overrides: Sequence[str] = (),
    ) -> Run:
        """Store the changed content or path of the job file; the run keeps its key."""
        with self._changing("update_spec") as connection:
            connection.execute(
                "UPDATE runs SET spec_json = ?, job_file = ?, overrides_json = ?, updated_at = ?"
                " WHERE id = ?",
                (to_json(spec), job_file, to_json(tuple(overrides)), self._now(), run_id),
            )
            return _known(connection, run_id)

    def ask_cancel(self, run_id: RunId) -> None:
        """Request the process that drives the run to stop before its next request."""
        sql = "UPDATE runs SET cancel_asked_at = coalesce(cancel_asked_at, ?) WHERE id = ?"
        self._change("ask_cancel", sql, self._now(), run_id)

    def is_cancel_asked(self, run_id: RunId) -> bool:
        """Whether a cancellation was requested since the run was last opened."""
        return self._exists(
            "SELECT 1 FROM runs WHERE id = ? AND cancel_asked_at IS NOT NULL", run_id
        )

    def list_stages(self, run_id: RunId) -> list[StageRecord]:
        """The stages of the run, in the order of execution."""
        sql = f"SELECT {STAGE_COLUMNS} FROM stages WHERE run_id = ?"
        records = self._list(to_stage, sql, run_id)
        return sorted(records, key=lambda record: _STAGES.index(record.stage))

    def get_stage(self, run_id: RunId, stage: Stage) -> StageRecord:
        """The record of the stage; UnknownRun if there is no such run."""
        sql = f"SELECT {STAGE_COLUMNS} FROM stages WHERE run_id = ? AND stage = ?"
        record = self._find(to_stage, sql, run_id, stage.value)
        if record is None:
            raise UnknownRun(f"the ledger has no run {run_id}")
        return record

    def move_stage(
        self,
        run_id: RunId,
        seen: StageRecord,
        after: StageStatus,
        *,
        detail: Mapping[str, Json] | None = None,
        error: str | None = None,
    ) -> StageRecord:
        """Change the status of the stage; RunBusy if it changed since the caller read it.

        A change to running starts a new attempt: its number increases and its time restarts, unless
        the previous attempt was interrupted. Without `detail`, the stage keeps its detail.
        """
        now = self._now()
        begins = after is StageStatus.RUNNING
        begins_anew = begins and seen.status is not StageStatus.RUNNING
        with self._changing("move_stage") as connection:
            changed = connection.execute(
                "UPDATE stages SET status = ?, attempts = attempts + ?,"
                " started_at = iif(?, ?, coalesce(started_at, ?)), finished_at = ?,"
                " detail_json = coalesce(?, detail_json), error = ?"
                " WHERE run_id = ? AND stage = ? AND status = ? AND attempts = ?",
                (
                    after.value,
                    int(begins),
                    begins_anew,
                    now,
                    now,
                    None if begins else now,
                    None if detail is None else to_json(detail),
                    error,
                    run_id,
                    seen.stage.value,
                    seen.status.value,
                    seen.attempts,
                ),
            ).rowcount
            if changed != 1:
                raise RunBusy(
                    f"stage {seen.stage} of {run_id} is no longer {seen.status}"
                    f" (attempt {seen.attempts}): another process has moved it on",
                    hint=f"Look at it with `ftops show {run_id}`.",
                )
            connection.execute("UPDATE runs SET updated_at = ? WHERE id = ?", (now, run_id))
            data: dict[str, Json] = {
                "stage": seen.stage.value,
                "before": seen.status.value,
                "after": after.value,
                "attempt": seen.attempts + int(begins),
            }
            if error is not None:
                data["error"] = error
            _record_state_change(connection, run_id, now, data)
        return self.get_stage(run_id, seen.stage)

    def add_events(self, run_id: RunId, job_id: str, events: Iterable[JobEvent]) -> None:
        """Store the events in order; already stored events stay unchanged."""
        with self._changing("add_events") as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO events"
                " (run_id, job_id, event_id, at, level, type, message, data_json)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        run_id,
                        job_id,
                        event.id,
                        to_text(event.created_at),
                        event.level,
                        event.type,
                        to_storable(event.message),
                        to_json(event.data),
                    )
                    for event in events
                ],
            )

    def list_events(self, run_id: RunId, *, unshown: bool = False) -> list[JobEvent]:
        """The job events of the run, in the order in which they were stored."""
        return [stored.event for stored in self.list_stored_events(run_id, unshown=unshown)]

    def list_stored_events(
        self, run_id: RunId, *, unshown: bool = False, after: int = 0
    ) -> list[StoredEvent]:
        """Like `list_events`, with the number of each event; only numbers above `after`."""
        only_unshown = " AND shown = 0" if unshown else ""
        return self._list(
            lambda row: StoredEvent(number=row[0], event=to_event(row[1:])),
            f"SELECT id, {EVENT_COLUMNS} FROM events"
            f" WHERE run_id = ? AND id > ? AND job_id IS NOT NULL{only_unshown} ORDER BY id",
            run_id,
            after,
        )

    def get_last_number(self, run_id: RunId) -> int:
        """The number of the newest event of the run; 0 when there is none."""
        sql = "SELECT coalesce(max(id), 0) FROM events WHERE run_id = ?"
        return self._find(lambda row: int(row[0]), sql, run_id) or 0

    def list_event_ids(self, run_id: RunId, job_id: str) -> frozenset[str]:
        """The provider's ids of the stored events of this job."""
        sql = "SELECT event_id FROM events WHERE run_id = ? AND job_id = ?"
        return frozenset(self._list(lambda row: str(row[0]), sql, run_id, job_id))

    def mark_shown(self, numbers: Iterable[int]) -> None:
        """Record that these stored events have been shown."""
        with self._changing("mark_shown") as connection:
            connection.executemany(
                "UPDATE events SET shown = 1 WHERE id = ?", [(number,) for number in numbers]
            )

    def list_state_changes(self, run_id: RunId) -> list[StateChange]:
        """Every change of state of the run and of its stages, oldest first."""
        sql = "SELECT at, data_json FROM events WHERE run_id = ? AND job_id IS NULL ORDER BY id"
        return self._list(to_state_change, sql, run_id)

    def record_intent(
        self, run_id: RunId, stage: Stage, name: str, request: Mapping[str, Json]
    ) -> RemoteCall:
        """Record a request that has an effect before it is sent."""
        with self._changing("record_intent") as connection:
            return _insert_intent(connection, self._now(), run_id, stage, name, request)

    def record_done(self, call: RemoteCall, remote_id: str, *, shared: bool = False) -> None:
        """Record that the request succeeded: `remote_id` is the object it created or changed.

        With `shared`, another process may have ended the call already; its result is kept.
        """
        with self._changing("record_done") as connection:
            self._end_call(connection, call, "done", remote_id=remote_id, shared=shared)

    def record_failed(self, call: RemoteCall, error: str, *, shared: bool = False) -> None:
        """Record that the request had no effect; `shared` is as for `record_done`."""
        with self._changing("record_failed") as connection:
            self._end_call(connection, call, "failed", error=error, shared=shared)

    def close_calls(
        self,
        run_id: RunId,
        names: Collection[str],
        *,
        remote_id: str | None = None,
        error: str | None = None,
    ) -> None:
        """End all unanswered requests with these names: done if `remote_id` is set, else failed."""
        if not any(self.find_open_call(run_id, name) for name in names):
            return
        state = "failed" if remote_id is None else "done"
        with self._changing("close_calls") as connection:
            connection.executemany(
                "UPDATE calls SET state = ?, remote_id = ?, error = ?, ended_at = ?"
                " WHERE run_id = ? AND name = ? AND state = 'intent'",
                [(state, remote_id, error, self._now(), run_id, name) for name in names],
            )

    def record_job(self, call: RemoteCall, job_id: str) -> None:
        """Record that the request created this job, and assign the job to the run."""
        with self._changing("record_job") as connection:
            self._end_call(connection, call, "done", remote_id=job_id)
            connection.execute(
                "UPDATE runs SET job_id = ?, job_status = NULL, updated_at = ? WHERE id = ?",
                (job_id, self._now(), call.run_id),
            )

    def record_job_end(self, run_id: RunId, job_id: str, status: str) -> None:
        """Record the final status of the run's job; do nothing if the run has another job."""
        sql = "UPDATE runs SET job_status = ?, updated_at = ? WHERE id = ? AND job_id = ?"
        self._change("record_job_end", sql, status, self._now(), run_id, job_id)

    def record_upload(self, call: RemoteCall, upload: Upload) -> None:
        """Record that the request created this upload."""
        with self._changing("record_upload") as connection:
            self._end_call(connection, call, "done", remote_id=upload.file_id)
            _insert_upload(connection, upload)

    def list_calls(self, run_id: RunId) -> list[RemoteCall]:
        """The requests of the run, oldest first."""
        sql = f"SELECT {CALL_COLUMNS} FROM calls WHERE run_id = ? ORDER BY id"
        return self._list(to_call, sql, run_id)

    def find_open_call(self, run_id: RunId, name: str) -> RemoteCall | None:
        """The newest request with this name that has no recorded response."""
        return self._find(
            to_call,
            f"SELECT {CALL_COLUMNS} FROM calls"
            " WHERE run_id = ? AND name = ? AND state = 'intent' ORDER BY id DESC LIMIT 1",
            run_id,
            name,
        )

    def list_open_calls(self, name: str) -> list[RemoteCall]:
        """The requests of all runs with this name that have no recorded response, oldest first."""
        sql = f"SELECT {CALL_COLUMNS} FROM calls WHERE state = 'intent' AND name = ? ORDER BY id"
        return self._list(to_call, sql, name)

    def is_job_known(self, job_id: str) -> bool:
        """Whether a run has this job, or a recorded request created it."""
        return self._exists(
            "SELECT 1 FROM calls WHERE remote_id = ? AND name = 'create_job'"
            " UNION ALL SELECT 1 FROM runs WHERE job_id = ?",
            job_id,
            job_id,
        )

    def is_upload_known(self, file_id: str) -> bool:
        """Whether a recorded request of any run created this file."""
        sql = "SELECT 1 FROM calls WHERE remote_id = ? AND stage = 'upload'"
        return self._exists(sql, file_id)

    def add_upload(self, upload: Upload) -> None:
        """Record content that an account already has."""
        with self._changing("add_upload") as connection:
            _insert_upload(connection, upload)

    def find_upload(self, account: str, sha256: str) -> Upload | None:
        """The newest upload of this content to this account."""
        return self._find(
            to_upload,
            f"SELECT {UPLOAD_COLUMNS} FROM uploads WHERE account = ? AND sha256 = ?"
            " AND forgotten_at IS NULL ORDER BY created_at DESC LIMIT 1",
            account,
            sha256,
        )

    def list_uploads(self, account: str | None = None) -> list[Upload]:
        """The recorded uploads to this account, or to all accounts, oldest first."""
        return self._list(
            to_upload,
            f"SELECT {UPLOAD_COLUMNS} FROM uploads WHERE coalesce(account = ?, 1)"
            " AND forgotten_at IS NULL ORDER BY created_at, file_id",
            account,
        )

    def forget_upload(self, file_id: str) -> None:
        """Record that the provider no longer has this file; does nothing for an unknown file."""
        self._change("forget_upload", _FORGET_UPLOAD, self._now(), file_id)

    def _end_call(
        self,
        connection: sqlite3.Connection,
        call: RemoteCall,
        state: str,
        *,
        remote_id: str | None = None,
        error: str | None = None,
        shared: bool = False,
    ) -> None:
        changed = connection.execute(
            "UPDATE calls SET state = ?, remote_id = ?, error = ?, ended_at = ?"
            " WHERE id = ? AND state = 'intent'",
            (state, remote_id, error, self._now(), call.id),
        ).rowcount
        if changed != 1 and not shared:
            raise LedgerError(f"call {call.id} ({call.name}) of {call.run_id} was answered already")
        connection.execute("DELETE FROM multipart_uploads WHERE call_id = ?", (call.id,))

    def begin_parts(self, call: RemoteCall, upload: MultipartUpload) -> None:
        """Record the multipart upload of the call; it replaces an earlier one."""
        with self._changing("begin_parts") as connection:
            connection.execute("DELETE FROM multipart_uploads WHERE call_id = ?", (call.id,))
            connection.execute(
                "INSERT INTO multipart_uploads (call_id, upload_id, part_bytes, expires_at)"
                " VALUES (?, ?, ?, ?)",
                (call.id, upload.id, upload.part_bytes, to_text(upload.expires_at)),
            )

    def add_part(self, call: RemoteCall, number: int, part_id: str) -> None:
        """Record that the provider has confirmed this part."""
        sql = "INSERT INTO parts (call_id, number, part_id) VALUES (?, ?, ?)"
        self._change("add_part", sql, call.id, number, part_id)

    def mark_completing(self, call: RemoteCall) -> None:
        """Record that the provider may turn the parts into a file from now on."""
        with self._changing("mark_completing") as connection:
            changed = connection.execute(
                "UPDATE multipart_uploads SET completing = 1 WHERE call_id = ?", (call.id,)
            ).rowcount
            if changed != 1:
                raise LedgerError(f"call {call.id} ({call.name}) has begun no upload in parts")

    def find_parts(self, call: RemoteCall) -> MultipartUpload | None:
        """The multipart upload that the call has begun."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT upload_id, part_bytes, expires_at, completing FROM multipart_uploads"
                " WHERE call_id = ?",
                (call.id,),
            ).fetchone()
            parts = connection.execute(
                "SELECT number, part_id FROM parts WHERE call_id = ?", (call.id,)
            ).fetchall()
        return to_multipart_upload((*row, dict(parts))) if row else None

    def add_model(self, model: TunedModel) -> None:
        """Record the model that a run's job created, and store its name in the run."""
        with self._changing("add_model") as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO models ({MODEL_COLUMNS})"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                model_values(model),
            )
            connection.execute(
                "UPDATE runs SET fine_tuned_model = ?, updated_at = ? WHERE id = ?",
                (model.name, self._now(), model.run_id),
            )

    def list_models(self) -> list[TunedModel]:
        """All fine-tuned models, including deleted ones, newest first."""
        sql = f"SELECT {MODEL_COLUMNS} FROM models ORDER BY created_at DESC, name"
        return self._list(to_model, sql)

    def find_model(self, name: str) -> TunedModel | None:
        """The model with this name, deleted or not."""
        return self._find(to_model, f"SELECT {MODEL_COLUMNS} FROM models WHERE name = ?", name)

    def mark_model_deleted(self, name: str) -> None:
        """Record that the provider no longer has this model; does nothing for an unknown model."""
        sql = "UPDATE models SET deleted_at = ? WHERE name = ? AND deleted_at IS NULL"
        self._change("mark_model_deleted", sql, self._now(), name)

    def record_deployment(self, call: RemoteCall, deployment: DeploymentRecord) -> None:
        """Record that the request created this deployment."""
        marks = ", ".join("?" for _ in DEPLOYMENT_COLUMNS.split(","))
        with self._changing("record_deployment") as connection:
            self._end_call(connection, call, "done", remote_id=deployment.id)
            connection.execute(
                f"INSERT INTO deployments ({DEPLOYMENT_COLUMNS}) VALUES ({marks})",
                deployment_values(deployment),
            )

    def update_deployment(self, deployment: DeploymentRecord) -> None:
        """Record the changed state of a deployment; one that has ended stays so."""
        with self._changing("update_deployment") as connection:
            connection.execute(
                "UPDATE deployments SET call_name = ?, status = ?, hourly_usd = ?, ends_at = ?,"
                " ended_at = ? WHERE account = ? AND name = ? AND ended_at IS NULL",
                (
                    deployment.call_name,
                    deployment.status,
                    deployment.hourly_usd,
                    to_text(deployment.ends_at) if deployment.ends_at else None,
                    to_text(deployment.ended_at) if deployment.ended_at else None,
                    deployment.account,
                    deployment.name,
                ),
            )

    def list_deployments(self, *, live: bool = True) -> list[DeploymentRecord]:
        """The deployments that have not ended, oldest first; all with `live=False`."""
        return self._list(
            to_deployment,
            f"SELECT {DEPLOYMENT_COLUMNS} FROM deployments"
            f"{' WHERE ended_at IS NULL' if live else ''} ORDER BY created_at, deployment_id",
        )

    def find_deployment(self, account: str, model: str) -> DeploymentRecord | None:
        """The newest deployment of the fine-tuned model that has not ended."""
        return self._find(
            to_deployment,
            f"SELECT {DEPLOYMENT_COLUMNS} FROM deployments WHERE account = ? AND model = ?"
            " AND ended_at IS NULL ORDER BY created_at DESC LIMIT 1",
            account,
            model,
        )

    def find_call_name(self, account: str, model: str) -> str | None:
        """The name in requests of a fine-tuned model that is deployed."""
        record = self.find_deployment(account, model)
        return record.call_name if record else None

    def list_needs(self) -> list[tuple[RunId, str]]:
        """The file ids and content hashes (SHA-256) that each run needs, without pruned runs."""
        return self._list(
            lambda row: (RunId(row[0]), row[1]),
            "WITH chosen AS MATERIALIZED (SELECT id FROM runs WHERE pruned_at IS NULL)"
            f" SELECT DISTINCT run_id, name FROM ({_NEEDS}) WHERE name IS NOT NULL",
        )

    def begin_file_deletion(
        self, run_id: RunId, upload: Upload, *, since: datetime
    ) -> RemoteCall | None:
        """Record the intent to delete the file, and remove its upload.

        Returns None and changes nothing if another run needs the file and has not ended or has
        changed since `since`. The check and the change are one transaction, so no run can start to
        use the file in between.
        """
        with self._changing("begin_deletion") as connection:
            needed = connection.execute(
                "WITH chosen AS MATERIALIZED (SELECT id FROM runs WHERE id <> ?"
                f" AND pruned_at IS NULL AND ({_OPEN} OR updated_at >= ?))"
                f" SELECT 1 FROM ({_NEEDS}) WHERE name IN (?, ?) LIMIT 1",
                (run_id, to_text(since), upload.file_id, upload.sha256),
            ).fetchone()
            if needed:
                return None
            connection.execute(_FORGET_UPLOAD, (self._now(), upload.file_id))
            request: dict[str, Json] = {
                "id": upload.file_id,
                "account": upload.account,
                "filename": upload.filename,
                "bytes": upload.bytes,
            }
            return _insert_intent(connection, self._now(), run_id, Stage.UPLOAD, FILE_CALL, request)

    def is_deletion_begun(self, file_id: str) -> bool:
        """Whether a command has recorded the deletion of this file, finished or not."""
        return self._exists(
            "SELECT 1 FROM calls WHERE remote_id = ? AND name = ? UNION ALL"
            " SELECT 1 FROM calls WHERE state = 'intent' AND name = ?"
            " AND json_extract(request_json, '$.id') = ?",
            file_id,
            FILE_CALL,
            FILE_CALL,
            file_id,
        )

    def mark_pruned(self, seen: Run) -> None:
        """Record the run as pruned, before its files are deleted.

        RunBusy if its status changed since the caller read it. Reopening the run clears the record.
        """
        with self._changing("mark_pruned") as connection:
            changed = connection.execute(
                "UPDATE runs SET pruned_at = coalesce(pruned_at, ?) WHERE id = ? AND status = ?",
                (self._now(), seen.id, seen.status.value),
            ).rowcount
            if changed != 1:
                raise RunBusy(
                    f"{seen.id} is no longer {seen.status}: it was opened again",
                    hint=f"Look at it with `ftops show {seen.id}`.",
                )

    def _find(self, convert: Callable[[SqlRow], Item], sql: str, *params: object) -> Item | None:
        """The first row of the query, converted."""
        with self._reading() as connection:
            row = connection.execute(sql, params).fetchone()
            return None if row is None else convert(row)

    def _list(self, convert: Callable[[SqlRow], Item], sql: str, *params: object) -> list[Item]:
        """All rows of the query, converted."""
        with self._reading() as connection:
            return [convert(row) for row in connection.execute(sql, params)]

    def _exists(self, sql: str, *params: object) -> bool:
        return self._find(bool, sql, *params) is not None

    def _change(self, change: Change, sql: str, *params: object) -> None:
        """Execute one statement as a transaction of its own."""
        with self._changing(change) as connection:
            connection.execute(sql, params)


def _newest(connection: sqlite3.Connection, condition: str, value: str) -> Run | None:
    row = connection.execute(
        f"SELECT {RUN_COLUMNS} FROM runs WHERE {condition} {_NEWEST} LIMIT 1", (value,)
    ).fetchone()
    return to_run(row) if row else None


def _known(connection: sqlite3.Connection, run_id: RunId) -> Run:
    run = _newest(connection, "id = ?", run_id)
    if run is None:
        raise UnknownRun(f"the ledger has no run {run_id}")
    return run


def _by_prefix(connection: sqlite3.Connection, ref: str) -> Run | None:
    if len(ref) < SHORTEST_PREFIX:
        return None
    rows = connection.execute(
        f"SELECT {RUN_COLUMNS} FROM runs WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 4",
        (ref, ref + _LAST_LETTER),
    ).fetchall()
    if len(rows) > 1:
        some = ", ".join(row[0] for row in rows[:3])
        raise UnknownRun(
            f"several runs begin with {ref!r}: {some}{' and more' if len(rows) > 3 else ''}",
            hint="Give more of the run id; `ftops runs` lists them.",
        )
    return to_run(rows[0]) if rows else None


def _by_older_job(connection: sqlite3.Connection, job_id: str) -> Run | None:
    # A retried run has had several jobs; its calls record all of them.
    row = connection.execute(
        "SELECT run_id FROM calls WHERE remote_id = ? AND name = 'create_job' LIMIT 1", (job_id,)
    ).fetchone()
    return _newest(connection, "id = ?", row[0]) if row else None


def _reset_stage(connection: sqlite3.Connection, run_id: RunId, stage: Stage, now: str) -> None:
    row = connection.execute(
        "SELECT status FROM stages WHERE run_id = ? AND stage = ?", (run_id, stage.value)
    ).fetchone()
    if row is None or row[0] == "pending":
        return
    connection.execute(
        "UPDATE stages SET status = 'pending', started_at = NULL, finished_at = NULL,"
        " detail_json = '{}', error = NULL WHERE run_id = ? AND stage = ?",
        (run_id, stage.value),
    )
    _record_state_change(
        connection, run_id, now, {"stage": stage.value, "before": row[0], "after": "pending"}
    )


def _lost(seen: Run) -> RunBusy:
    return RunBusy(
        f"{seen.id} is no longer {seen.status}: another process has moved it on",
        hint=f"Look at it with `ftops show {seen.id}`.",
    )


def _insert_intent(
    connection: sqlite3.Connection,
    now: str,
    run_id: RunId,
    stage: Stage,
    name: str,
    request: Mapping[str, Json],
) -> RemoteCall:
    cursor = connection.execute(
        "INSERT INTO calls (run_id, stage, name, state, request_json, began_at)"
        " VALUES (?, ?, ?, 'intent', ?, ?)",
        (run_id, stage.value, name, to_json(request), now),
    )
    return to_call(
        connection.execute(
            f"SELECT {CALL_COLUMNS} FROM calls WHERE id = ?", (cursor.lastrowid,)
        ).fetchone()
    )


def _insert_upload(connection: sqlite3.Connection, upload: Upload) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO uploads ({UPLOAD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            upload.account,
            upload.file_id,
            upload.sha256,
            upload.filename,
            upload.bytes,
            upload.run_id,
            to_text(upload.created_at),
        ),
    )


def _record_state_change(
    connection: sqlite3.Connection, run_id: RunId, now: str, data: Mapping[str, Json]
) -> None:
    """Record a change from `before` to `after` of the run, or of `stage` in `data`."""
    what = data.get("stage") or "run"
    connection.execute(
        "INSERT INTO events (run_id, at, level, type, message, data_json, shown)"
        " VALUES (?, ?, 'info', 'move', ?, ?, 1)",
        (run_id, now, f"{what}: {data['before']} -> {data['after']}", to_json(data)),
    )
