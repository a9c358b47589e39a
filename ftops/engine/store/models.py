"""The table of fine-tuned models; their weights stand in `models/`, named by the job's id.

Checkpoints are models of their own, kept with the finished one: they go when it goes.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ftops.engine.ids import LOCAL_OWNER
from ftops.engine.store.database import Database, Value
from ftops.engine.store.json_text import read_json, render_json


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One fine-tuned model, finished or (`step`) as it was on the way."""

    name: str
    job_id: str
    base: str
    parent: str
    created_at: int
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    owner: str = LOCAL_OWNER


# In the order of ModelRow's fields: by place is cheaper than by name, and lists are long.
_COLUMNS = "name, job_id, base, parent, created_at, step, metrics_json, owner"
_METRICS_PLACE = 6


class ModelTable:
    """Questions and changes about models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: ModelRow) -> None:
        self._database.change(
            "INSERT INTO models (name, job_id, base, parent, created_at, step, metrics_json, owner)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.name,
                row.job_id,
                row.base,
                row.parent,
                row.created_at,
                row.step,
                render_json(row.metrics),
                row.owner,
            ),
        )

    def find(self, name: str) -> ModelRow | None:
        """The model, unless it was deleted."""
        row = self._database.find_row(
            f"SELECT {_COLUMNS} FROM models WHERE name = ? AND deleted_at IS NULL", (name,)
        )
        return _model(row) if row else None

    def find_any(self, name: str) -> ModelRow | None:
        """The model, deleted or not."""
        row = self._database.find_row(f"SELECT {_COLUMNS} FROM models WHERE name = ?", (name,))
        return _model(row) if row else None

    def all(self) -> Sequence[ModelRow]:
        """The finished ones."""
        return self._select("step IS NULL AND deleted_at IS NULL")

    def owned_by(self, owner: str) -> Sequence[ModelRow]:
        """The finished ones of one owner."""
        return self._select("step IS NULL AND deleted_at IS NULL AND owner = ?", owner)

    def kept_by(self, owner: str) -> Sequence[tuple[str, int | None]]:
        """The job and step of each of one owner, checkpoints included."""
        sql = "SELECT job_id, step FROM models WHERE deleted_at IS NULL AND owner = ?"
        return [(row["job_id"], row["step"]) for row in self._database.rows(sql, (owner,))]

    def checkpoints(self, job_id: str) -> Sequence[ModelRow]:
        """What is kept of the job's way, latest first."""
        found = self._select("job_id = ? AND step IS NOT NULL AND deleted_at IS NULL", job_id)
        return found[::-1]

    def has_any(self, job_id: str) -> bool:
        """Whether the job has, or had, a model."""
        return bool(self._database.rows("SELECT 1 FROM models WHERE job_id = ?", (job_id,)))

    def delete(self, name: str, *, at: int) -> Sequence[str]:
        """Mark it as deleted, with its checkpoints; the names of all that went."""
        with self._database.transaction():
            row = self.find(name)
            if row is None:
                return []
            going = [row]
            if row.step is None:
                going = list(self._select("job_id = ? AND deleted_at IS NULL", row.job_id))
            for one in going:
                self._database.change(
                    "UPDATE models SET deleted_at = ? WHERE name = ?", (at, one.name)
                )
        return [one.name for one in going]

    def removable(self) -> Sequence[ModelRow]:
        """Deleted models whose folders no unfinished job starts from."""
        used = "SELECT model FROM jobs WHERE finished_at IS NULL"
        return self._select(
            f"deleted_at IS NOT NULL AND CASE WHEN step IS NULL"
            f" THEN job_id NOT IN (SELECT job_id FROM models WHERE name IN ({used}))"
            f" ELSE name NOT IN ({used}) END"
        )

    def _select(self, where: str, *values: Value) -> Sequence[ModelRow]:
        sql = f"SELECT {_COLUMNS} FROM models WHERE {where} ORDER BY seq"
        return [_model(row) for row in self._database.rows(sql, values)]


def _model(row: sqlite3.Row) -> ModelRow:
    values = list(row)
    values[_METRICS_PLACE] = read_json(values[_METRICS_PLACE])
    return ModelRow(*values)
