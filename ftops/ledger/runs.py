"""Runs: recorded once, found by many names, moved from state to state."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence

from ftops.errors import RunBusy, UnknownRun
from ftops.ledger.calls import insert_intent
from ftops.ledger.events import record_move
from ftops.ledger.rows import RUN_COLUMNS, Intent, only, run_values, to_json, to_run
from ftops.ledger.store import Store
from ftops.records import Json, Run, RunId, RunStatus, Stage

SHORTEST_PREFIX = 4
_ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)
_LAST_LETTER = "\U0010ffff"
_NEWEST = "ORDER BY created_at DESC, rowid DESC"


class Runs(Store):
    """What the ledger knows of runs."""

    def add_run(self, run: Run, *, if_absent: bool) -> Run:
        """Record the run with its six stages, and return it.

        With `unless_known`, a run of the same key that is there already is returned instead;
        another process cannot come in between.
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
                [(run.id, stage.value) for stage in Stage],
            )
            record_move(connection, run.id, self._now(), {"before": "new", "after": run.status})
        return run

    def get_run(self, ref: str) -> Run:
        """The run that `ref` names, or UnknownRun.

        It may be a run id, the beginning of one (4 characters or more), a job id, the name of a
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
        """Whether there is a run of exactly that id."""
        with self._reading() as connection:
            found = connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,))
            return found.fetchone() is not None

    def find_run_by_key(self, key: str) -> Run | None:
        """The newest run of that key."""
        with self._reading() as connection:
            return _newest(connection, "key = ?", key)

    def find_run_of_job(self, job_id: str) -> Run | None:
        """The run that has this job, or had it before it was tried again."""
        with self._reading() as connection:
            return _newest(connection, "job_id = ?", job_id) or _by_older_job(connection, job_id)

    def list_runs(self, limit: int | None = None) -> list[Run]:
        """Runs, newest first."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {RUN_COLUMNS} FROM runs {_NEWEST} LIMIT ?",
                (-1 if limit is None else limit,),
            )
            return [to_run(row) for row in rows]

    def move_run(
        self,
        seen: Run,
        after: RunStatus,
        *,
        error: str | None = None,
        due: Sequence[Intent] = (),
    ) -> Run:
        """Move the run on from the state in which the caller has seen it; RunBusy if it left it.

        The requests in `due` are intents from then on, whatever happens next.
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
            record_move(connection, seen.id, now, {"before": seen.status, "after": after})
            for intent in due:
                insert_intent(connection, now, seen.id, intent.stage, intent.name, intent.request)
            return _known(connection, seen.id)

    def reopen_run(self, seen: Run, stages: Collection[Stage]) -> Run:
        """Set an ended run running again, with `stages` to be done anew.

        When the creation of the job is among them, the run lets go of its job and of its model.
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
            record_move(
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
        """Take over what changed in the job file, or its place, without making it another run."""
        with self._changing("update_spec") as connection:
            connection.execute(
                "UPDATE runs SET spec_json = ?, job_file = ?, overrides_json = ?, updated_at = ?"
                " WHERE id = ?",
                (to_json(spec), job_file, to_json(tuple(overrides)), self._now(), run_id),
            )
            return _known(connection, run_id)

    def ask_cancel(self, run_id: RunId) -> None:
        """Ask whoever drives the run to stop before the next thing it would send."""
        with self._changing("ask_cancel") as connection:
            connection.execute(
                "UPDATE runs SET cancel_asked_at = coalesce(cancel_asked_at, ?) WHERE id = ?",
                (self._now(), run_id),
            )

    def is_cancel_asked(self, run_id: RunId) -> bool:
        """Whether somebody asked for the end of the run since it was last opened."""
        with self._reading() as connection:
            row = only(
                connection.execute("SELECT cancel_asked_at FROM runs WHERE id = ?", (run_id,))
            )
        return row is not None and row[0] is not None


def _newest(connection: sqlite3.Connection, condition: str, value: str) -> Run | None:
    row = only(
        connection.execute(
            f"SELECT {RUN_COLUMNS} FROM runs WHERE {condition} {_NEWEST} LIMIT 1", (value,)
        )
    )
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
    # A run that was tried again has had several jobs; the calls remember all of them.
    row = only(
        connection.execute(
            "SELECT run_id FROM calls WHERE remote_id = ? AND name = 'create_job' LIMIT 1",
            (job_id,),
        )
    )
    return _newest(connection, "id = ?", row[0]) if row else None


def _reset_stage(connection: sqlite3.Connection, run_id: RunId, stage: Stage, now: str) -> None:
    row = only(
        connection.execute(
            "SELECT status FROM stages WHERE run_id = ? AND stage = ?", (run_id, stage.value)
        )
    )
    if row is None or row[0] == "pending":
        return
    connection.execute(
        "UPDATE stages SET status = 'pending', started_at = NULL, finished_at = NULL,"
        " detail_json = '{}', error = NULL WHERE run_id = ? AND stage = ?",
        (run_id, stage.value),
    )
    record_move(
        connection, run_id, now, {"stage": stage.value, "before": row[0], "after": "pending"}
    )


def _lost(seen: Run) -> RunBusy:
    return RunBusy(
        f"{seen.id} is no longer {seen.status}: another process has moved it on",
        hint=f"Look at it with `ftops show {seen.id}`.",
    )
