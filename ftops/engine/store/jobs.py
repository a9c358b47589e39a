"""The tables of jobs and of their events: states, and the transitions between them, as data.

A transition is one compare-and-set: it happens only from a state that `TRANSITIONS` allows, so of
two processes that move the same job at the same time only one succeeds.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from itertools import islice

import orjson

from ftops.engine.ids import LOCAL_OWNER, new_id
from ftops.engine.store.database import Table, Value, render_json
from ftops.records import Json, Method


class JobStatus(StrEnum):
    """The status of a job."""

    VALIDATING_FILES = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"  # its worker has not stopped yet
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.VALIDATING_FILES: frozenset(
        {JobStatus.QUEUED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.QUEUED: frozenset(
        {JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    # back to queued: its worker ended early; another one continues from the checkpoint
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.SUCCEEDED,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
            JobStatus.QUEUED,
            JobStatus.PAUSING,
        }
    ),
    # succeeded: its worker finished the last step before it stopped
    JobStatus.PAUSING: frozenset(
        {JobStatus.PAUSED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.PAUSED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}
ENDED = frozenset(status for status, onward in TRANSITIONS.items() if not onward)


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job of either protocol."""

    id: str
    status: JobStatus
    model: str
    base: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    metadata: Mapping[str, str]
    hyperparameters: Mapping[str, Json]
    created_at: int
    method: Method = Method.SUPERVISED
    resolved: Mapping[str, Json] | None = None
    estimated_finish: int | None = None
    finished_at: int | None = None
    fine_tuned_model: str | None = None
    result_file: str | None = None
    trained_tokens: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    error_param: str | None = None
    worker_pid: int | None = None
    crashes: int = 0  # of its workers
    owner: str = LOCAL_OWNER
    updated_at: int = field(default=0, compare=False)  # of its latest event
    idempotency_key: str | None = None  # of the request that created it
    request_sha256: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


_FIELDS = tuple(field.name for field in fields(JobRow))
_JSON_FIELDS = ("metadata", "hyperparameters", "resolved")
# Rows are read by position: that is faster than by name, and lists are long.
_COLUMNS = ", ".join(f"{name}_json" if name in _JSON_FIELDS else name for name in _FIELDS)
_JSON_INDICES = tuple(_FIELDS.index(name) for name in _JSON_FIELDS)
_STATUS_INDEX = _FIELDS.index("status")
_METHOD_INDEX = _FIELDS.index("method")
_QUEUE_SQL = f"""
    WITH queue AS (
        SELECT {_COLUMNS},
            row_number() OVER (PARTITION BY owner ORDER BY seq) AS round,
            min(seq) OVER (PARTITION BY owner) AS first,
            coalesce((SELECT max(turn) FROM jobs AS own WHERE own.owner = jobs.owner), 0) AS last
        FROM jobs WHERE status = 'queued'
    )
    SELECT {_COLUMNS} FROM queue WHERE true"""
_BATCH_ROWS = 200
_MAX_SEQ = 2**63 - 1


class JobTable(Table):
    """The jobs."""

    def add(self, job: JobRow) -> None:
        self._database.change(
            "INSERT INTO jobs (id, status, model, base, training_file, validation_file, suffix,"
            " seed, metadata_json, hyperparameters_json, created_at, method, owner,"
            " updated_at, idempotency_key, request_sha256)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                job.id,
                job.status,
                job.model,
                job.base,
                job.training_file,
                job.validation_file,
                job.suffix,
                job.seed,
                render_json(job.metadata),
                render_json(job.hyperparameters),
                job.created_at,
                job.method,
                self._owner or job.owner,
                job.updated_at or job.created_at,
                job.idempotency_key,
                job.request_sha256,
            ),
        )

    def find(self, job_id: str) -> JobRow | None:
        rows = self._select("id = ?", job_id)
        return rows[0] if rows else None

    def find_by_idempotency_key(self, key: str) -> JobRow | None:
        """The job that a request with this key created; keys are unique for each owner."""
        rows = self._select("idempotency_key = ?", key)
        return rows[0] if rows else None

    def find_status(self, job_id: str) -> JobStatus | None:
        """Only the status: cheap enough to read after every step of training."""
        row = self._database.find_row(
            f"SELECT status FROM jobs WHERE id = ?{self._scope}", (job_id, *self._scope_values)
        )
        return JobStatus(row["status"]) if row else None

    def list_page(
        self, *, after: str | None, limit: int, metadata: Mapping[str, str], prefix: str = "ftjob"
    ) -> Sequence[JobRow]:
        """Up to `limit` jobs (-1: all) older than the job `after`, newest first.

        All have `metadata`, and ids that start with `prefix` and a hyphen.
        """
        conditions: list[str] = ["id GLOB ?"]
        values: list[Value] = [f"{prefix}-*"]
        if after is not None:
            conditions.append("seq < (SELECT seq FROM jobs WHERE id = ?)")
            values.append(after)
        where = " AND ".join(conditions)
        if metadata:
            matches = list(islice(self._list_by_metadata(where, values, metadata), limit))
            where, values = f"seq IN ({', '.join(map(str, matches))})", []
        return self._select(where, *values, then=f"DESC LIMIT {limit:d}")

    def _list_by_metadata(
        self, where: str, values: Sequence[Value], metadata: Mapping[str, str]
    ) -> Iterator[int]:
        """The `seq` of each job that has `metadata`, newest first.

        They are read in batches, so that a long search does not block other requests.
        """
        sql = f"SELECT seq, metadata_json FROM jobs WHERE {where}{self._scope} AND seq < ?"
        sql += f" ORDER BY seq DESC LIMIT {_BATCH_ROWS}"
        last = _MAX_SEQ
        while rows := self._database.rows(sql, (*values, *self._scope_values, last)):
            for seq, text in rows:
                if metadata.items() <= orjson.loads(text).items():
                    yield seq
            last = rows[-1]["seq"]

    def list_in_status(self, *statuses: JobStatus) -> Sequence[JobRow]:
        """The jobs with one of these statuses, oldest first."""
        marks = ", ".join("?" * len(statuses))
        return self._select(f"status IN ({marks})", *statuses)

    def list_queue(self) -> Sequence[JobRow]:
        """The queued jobs in the order in which they start.

        Owners take turns: first comes the oldest job of each, then the second of each, and so on.
        Owners without a turn come first, by their oldest job, then the owner whose last turn is the
        earliest.
        """
        sql = f"{_QUEUE_SQL}{self._scope} ORDER BY round, last, first"
        return [_job(row) for row in self._database.rows(sql, self._scope_values)]

    def take_turn(self, job_id: str) -> None:
        """Record that the job gets a worker now."""
        self._update(job_id, "turn = (SELECT coalesce(max(turn), 0) + 1 FROM jobs)")

    def return_turn(self, job_id: str) -> None:
        """Let the job's owner have the turn again: its worker was stopped from outside."""
        self._update(job_id, "turn = NULL")

    def list_unfinished(self) -> Sequence[JobRow]:
        return self.list_in_status(*(status for status in JobStatus if status not in ENDED))

    def count_unfinished(self) -> int:
        marks = ", ".join("?" * len(ENDED))
        sql = f"SELECT count(*) AS n FROM jobs WHERE status NOT IN ({marks}){self._scope}"
        return int(self._database.rows(sql, (*ENDED, *self._scope_values))[0]["n"])

    def list_active(self) -> Sequence[JobRow]:
        """The unfinished jobs that continue without a request: all but the paused ones."""
        return [job for job in self.list_unfinished() if job.status is not JobStatus.PAUSED]

    def move(
        self,
        job_id: str,
        to: JobStatus,
        values: Mapping[str, Value] | None = None,
        *,
        only_from: Collection[JobStatus] = tuple(JobStatus),
    ) -> bool:
        """Set the status, and other columns; False when `TRANSITIONS` does not allow it."""
        columns = {"status": to.value, **(values or {})}
        sources = [
            status for status, onward in TRANSITIONS.items() if to in onward and status in only_from
        ]
        sets = ", ".join(f"{column} = ?" for column in columns)
        marks = ", ".join("?" * len(sources))
        return (
            self._database.change(
                f"UPDATE jobs SET {sets} WHERE id = ? AND status IN ({marks}){self._scope}",
                (*columns.values(), job_id, *sources, *self._scope_values),
            )
            == 1
        )

    def count_crash(self, job_id: str) -> None:
        self._update(job_id, "crashes = crashes + 1")

    def set_worker(self, job_id: str, pid: int | None) -> None:
        self._update(job_id, "worker_pid = ?", pid)

    def set_updated(self, job_id: str, at: int) -> None:
        self._update(job_id, "updated_at = ?", at)

    def set_estimate(self, job_id: str, at: int) -> None:
        """Set the estimated end of a running job."""
        self._update(
            job_id,
            "estimated_finish = CASE status WHEN 'running' THEN ? ELSE estimated_finish END",
            at,
        )

    def _update(self, job_id: str, assignment: str, *values: Value) -> None:
        sql = f"UPDATE jobs SET {assignment} WHERE id = ?{self._scope}"
        self._database.change(sql, (*values, job_id, *self._scope_values))

    def _select(self, where: str, *values: Value, then: str = "ASC") -> Sequence[JobRow]:
        sql = f"SELECT {_COLUMNS} FROM jobs WHERE {where}{self._scope} ORDER BY seq {then}"
        return [_job(row) for row in self._database.rows(sql, (*values, *self._scope_values))]


def _job(row: sqlite3.Row) -> JobRow:
    values = list(row)
    for index in _JSON_INDICES:
        values[index] = None if values[index] is None else orjson.loads(values[index])
    values[_STATUS_INDEX] = JobStatus(values[_STATUS_INDEX])
    values[_METHOD_INDEX] = Method(values[_METHOD_INDEX])
    return JobRow(*values)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to add. A second one of the same job and key is ignored."""

    key: str
    message: str
    level: str = "info"
    type: str = "message"
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event of a job; `seq` orders the events of all jobs."""

    seq: int
    key: str
    id: str
    created_at: int
    level: str
    message: str
    type: str
    data: Mapping[str, Json]


# In the order of EventRow's fields: rows are read by position, as lists are long.
_EVENT_COLUMNS = "seq, key, id, created_at, level, message, type, data_json"


class EventTable(Table):
    """The events of jobs."""

    OWNED = "job_id IN (SELECT id FROM jobs WHERE owner = ?)"

    def add(self, job_id: str, *events: NewEvent, at: int) -> int:
        """Add the events whose keys are new; returns the number of them."""
        scope = "" if self._owner is None else " AND owner = ?"
        return self._database.change_all(
            "INSERT OR IGNORE INTO events"
            " (id, key, created_at, level, message, type, data_json, job_id)"
            f" SELECT ?, ?, ?, ?, ?, ?, ?, id FROM jobs WHERE id = ?{scope}",
            [
                (
                    new_id("ftevent"),
                    event.key,
                    at,
                    event.level,
                    event.message,
                    event.type,
                    render_json(event.data),
                    job_id,
                    *self._scope_values,
                )
                for event in events
            ],
        )

    def has(self, job_id: str, event_id: str) -> bool:
        return bool(self._select("job_id = ? AND id = ?", job_id, event_id))

    def list_page(self, job_id: str, *, after: str | None, limit: int) -> Sequence[EventRow]:
        """Up to `limit` events older than the event `after`, newest first."""
        where, values = "job_id = ?", [job_id]
        if after is not None:
            where += " AND seq < (SELECT seq FROM events WHERE id = ?)"
            values.append(after)
        return self._select(where, *values, then=f"DESC LIMIT {limit:d}")

    def list_since(self, job_id: str, seq: int = 0) -> Sequence[EventRow]:
        """All events with a greater `seq`, oldest first."""
        return self._select("job_id = ? AND seq > ?", job_id, seq)

    def _select(self, where: str, *values: Value, then: str = "ASC") -> Sequence[EventRow]:
        sql = f"SELECT {_EVENT_COLUMNS} FROM events WHERE {where}{self._scope} ORDER BY seq {then}"
        return [_event(row) for row in self._database.rows(sql, (*values, *self._scope_values))]


def _event(row: sqlite3.Row) -> EventRow:
    values = list(row)
    values[-1] = orjson.loads(values[-1])
    return EventRow(*values)
