"""The table of jobs: their states, and the moves between them, as data.

A move is one compare-and-set: it happens only from a state that `TRANSITIONS` allows, so two
processes that want to move the same job never both succeed.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from itertools import islice

from ftops.engine.ids import LOCAL_OWNER
from ftops.engine.store.database import Database, Value
from ftops.engine.store.json_text import read_json, render_json
from ftops.records import Json, Method


class JobStatus(StrEnum):
    """How a job stands."""

    VALIDATING_FILES = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"  # its worker has not noticed yet
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
    # back to queued: its worker is gone, and another one will go on from the checkpoint
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.SUCCEEDED,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
            JobStatus.QUEUED,
            JobStatus.PAUSING,
        }
    ),
    # succeeded: the last step was done before its worker noticed
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
    """One job, as the engine has it."""

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
    deaths: int = 0
    owner: str = LOCAL_OWNER
    updated_at: int = field(default=0, compare=False)  # when something last happened to it
    idempotency_key: str | None = None  # of the request that made it, and what was asked for
    request_sha256: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


_FIELDS = tuple(one.name for one in fields(JobRow))
_JSON_FIELDS = ("metadata", "hyperparameters", "resolved")
# Rows are read by place: that is cheaper than by name, and lists are long.
_COLUMNS = ", ".join(f"{name}_json" if name in _JSON_FIELDS else name for name in _FIELDS)
_JSON_PLACES = tuple(_FIELDS.index(name) for name in _JSON_FIELDS)
_STATUS_PLACE = _FIELDS.index("status")
_METHOD_PLACE = _FIELDS.index("method")
_WAITING = f"""
    WITH queue AS (
        SELECT {_COLUMNS},
            row_number() OVER (PARTITION BY owner ORDER BY seq) AS round,
            min(seq) OVER (PARTITION BY owner) AS first,
            coalesce((SELECT max(turn) FROM jobs AS own WHERE own.owner = jobs.owner), 0) AS last
        FROM jobs WHERE status = 'queued'
    )
    SELECT {_COLUMNS} FROM queue ORDER BY round, last, first
"""
_ROWS_AT_ONCE = 200
_ABOVE_ALL = 2**63 - 1


class JobTable:
    """Questions and changes about jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
                job.owner,
                job.updated_at or job.created_at,
                job.idempotency_key,
                job.request_sha256,
            ),
        )

    def find(self, job_id: str) -> JobRow | None:
        row = self._database.find_row(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,))
        return _job(row) if row else None

    def find_by_idempotency_key(self, owner: str, key: str) -> JobRow | None:
        """The job that a request of the owner with this key has made."""
        row = self._database.find_row(
            f"SELECT {_COLUMNS} FROM jobs WHERE owner = ? AND idempotency_key = ?", (owner, key)
        )
        return _job(row) if row else None

    def status(self, job_id: str) -> JobStatus | None:
        """Only how it stands: cheap enough to ask after every step of training."""
        row = self._database.find_row("SELECT status FROM jobs WHERE id = ?", (job_id,))
        return JobStatus(row["status"]) if row else None

    def page(
        self,
        *,
        after: str | None,
        limit: int,
        metadata: Mapping[str, str],
        prefix: str = "ftjob",
        owner: str | None = None,
    ) -> Sequence[JobRow]:
        """Up to `limit` jobs (-1: all) older than the job `after`, newest first, that carry
        `metadata` and an id that begins with `prefix` and a hyphen; `owner` None: everybody's."""
        wanted: list[str] = ["id GLOB ?"]
        values: list[Value] = [f"{prefix}-*"]
        if after is not None:
            wanted.append("seq < (SELECT seq FROM jobs WHERE id = ?)")
            values.append(after)
        if owner is not None:
            wanted.append("owner = ?")
            values.append(owner)
        where = " AND ".join(wanted)
        if metadata:
            found = list(islice(self._find_marked(where, values, metadata), limit))
            where, values = f"seq IN ({', '.join(map(str, found))})", []
        sql = f"SELECT {_COLUMNS} FROM jobs WHERE {where} ORDER BY seq DESC LIMIT ?"
        return [_job(row) for row in self._database.rows(sql, (*values, limit))]

    def _find_marked(
        self, where: str, values: Sequence[Value], metadata: Mapping[str, str]
    ) -> Iterator[int]:
        """The `seq` of each job that carries `metadata`, newest first.

        Read in pieces, so that a long search does not keep others from the database.
        """
        sql = f"SELECT seq, metadata_json FROM jobs WHERE {where} AND seq < ?"
        sql += f" ORDER BY seq DESC LIMIT {_ROWS_AT_ONCE}"
        last = _ABOVE_ALL
        while rows := self._database.rows(sql, (*values, last)):
            for seq, text in rows:
                if metadata.items() <= read_json(text).items():
                    yield seq
            last = rows[-1]["seq"]

    def in_status(self, *statuses: JobStatus) -> Sequence[JobRow]:
        """The jobs that stand so, oldest first."""
        marks = ", ".join("?" * len(statuses))
        return [
            _job(row)
            for row in self._database.rows(
                f"SELECT {_COLUMNS} FROM jobs WHERE status IN ({marks}) ORDER BY seq", statuses
            )
        ]

    def waiting(self) -> Sequence[JobRow]:
        """The queued jobs in the order of their turns.

        Owners take turns: first comes the oldest job of each, then the second of each, and so on.
        The owner whose last turn was longest ago goes first, and, of those that had none, the one
        that has waited longest.
        """
        return [_job(row) for row in self._database.rows(_WAITING)]

    def take_turn(self, job_id: str) -> None:
        """Note that the job gets a worker now."""
        self._database.change(
            "UPDATE jobs SET turn = (SELECT coalesce(max(turn), 0) + 1 FROM jobs) WHERE id = ?",
            (job_id,),
        )

    def give_turn_back(self, job_id: str) -> None:
        """Let the job's owner have its turn again, as it was cut short from outside."""
        self._database.change("UPDATE jobs SET turn = NULL WHERE id = ?", (job_id,))

    def unfinished(self) -> Sequence[JobRow]:
        return self.in_status(*(status for status in JobStatus if status not in ENDED))

    def count_unfinished(self, owner: str) -> int:
        marks = ", ".join("?" * len(ENDED))
        sql = f"SELECT count(*) AS n FROM jobs WHERE status NOT IN ({marks}) AND owner = ?"
        return int(self._database.rows(sql, (*ENDED, owner))[0]["n"])

    def at_work(self) -> Sequence[JobRow]:
        """The unfinished ones that something goes on with by itself."""
        return [job for job in self.unfinished() if job.status is not JobStatus.PAUSED]

    def move(
        self,
        job_id: str,
        to: JobStatus,
        values: Mapping[str, Value] | None = None,
        *,
        only_from: Collection[JobStatus] = tuple(JobStatus),
    ) -> bool:
        """Bring the job to the state `to` and set columns; False when its state forbids that."""
        columns = {"status": to.value, **(values or {})}
        sources = [
            status for status, onward in TRANSITIONS.items() if to in onward and status in only_from
        ]
        sets = ", ".join(f"{column} = ?" for column in columns)
        marks = ", ".join("?" * len(sources))
        return (
            self._database.change(
                f"UPDATE jobs SET {sets} WHERE id = ? AND status IN ({marks})",
                (*columns.values(), job_id, *sources),
            )
            == 1
        )

    def count_death(self, job_id: str) -> None:
        self._database.change("UPDATE jobs SET deaths = deaths + 1 WHERE id = ?", (job_id,))

    def set_worker(self, job_id: str, pid: int | None) -> None:
        self._database.change("UPDATE jobs SET worker_pid = ? WHERE id = ?", (pid, job_id))

    def set_updated(self, job_id: str, at: int) -> None:
        self._database.change("UPDATE jobs SET updated_at = ? WHERE id = ?", (at, job_id))

    def set_estimate(self, job_id: str, at: int) -> None:
        self._database.change(
            "UPDATE jobs SET estimated_finish = ? WHERE id = ? AND status = 'running'",
            (at, job_id),
        )


def _job(row: sqlite3.Row) -> JobRow:
    values = list(row)
    for place in _JSON_PLACES:
        values[place] = None if values[place] is None else read_json(values[place])
    values[_STATUS_PLACE] = JobStatus(values[_STATUS_PLACE])
    values[_METHOD_PLACE] = Method(values[_METHOD_PLACE])
    return JobRow(*values)
