"""The table of fine-tuned models; their weights are in `models/`, named by the job's id.

Each checkpoint is a separate model. Deleting a finished model deletes its checkpoints.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from ftops.engine.ids import LOCAL_OWNER
from ftops.engine.store.database import Table, Value, render_json


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A fine-tuned model, or (with a `step`) a checkpoint of its training."""

    name: str
    job_id: str
    base: str
    parent: str
    created_at: int
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    owner: str = LOCAL_OWNER


# In the order of ModelRow's fields: rows are read by position, as lists are long.
_COLUMNS = "name, job_id, base, parent, created_at, step, metrics_json, owner"
_METRICS_INDEX = 6


class ModelTable(Table):
    """The models, finished ones and checkpoints. A deleted one keeps its row."""

    def add(self, row: ModelRow) -> None:
        self._database.change(
            f"INSERT INTO models ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.name,
                row.job_id,
                row.base,
                row.parent,
                row.created_at,
                row.step,
                render_json(row.metrics),
                self._owner or row.owner,
            ),
        )

    def find(self, name: str) -> ModelRow | None:
        """The model, unless it was deleted."""
        rows = self._select("name = ? AND deleted_at IS NULL", name)
        return rows[0] if rows else None

    def find_any(self, name: str) -> ModelRow | None:
        """The model, deleted or not."""
        rows = self._select("name = ?", name)
        return rows[0] if rows else None

    def list_finished(self) -> Sequence[ModelRow]:
        """All models without the checkpoints, oldest first."""
        return self._select("step IS NULL AND deleted_at IS NULL")

    def list_folders(self) -> Sequence[tuple[str, int | None]]:
        """The job and step of each model, checkpoints included: they name its folder."""
        sql = f"SELECT job_id, step FROM models WHERE deleted_at IS NULL{self._scope}"
        rows = self._database.rows(sql, self._scope_values)
        return [(row["job_id"], row["step"]) for row in rows]

    def list_checkpoints(self, job_id: str) -> Sequence[ModelRow]:
        """The checkpoints of a job, latest first."""
        rows = self._select("job_id = ? AND step IS NOT NULL AND deleted_at IS NULL", job_id)
        return rows[::-1]

    def has_any(self, job_id: str) -> bool:
        """Whether the job has, or had, a model."""
        return bool(self._select("job_id = ?", job_id))

    def delete(self, name: str, *, at: int) -> Sequence[str]:
        """Mark a model as deleted, with its checkpoints; returns the names of all of them."""
        with self._database.transaction():
            model = self.find(name)
            if model is None:
                return []
            rows = [model]
            if model.step is None:
                rows = list(self._select("job_id = ? AND deleted_at IS NULL", model.job_id))
            for row in rows:
                self._database.change(
                    "UPDATE models SET deleted_at = ? WHERE name = ?", (at, row.name)
                )
        return [row.name for row in rows]

    def list_removable(self) -> Sequence[ModelRow]:
        """Deleted models whose folders no unfinished job starts from."""
        used = "SELECT model FROM jobs WHERE finished_at IS NULL"
        return self._select(
            f"deleted_at IS NOT NULL AND CASE WHEN step IS NULL"
            f" THEN job_id NOT IN (SELECT job_id FROM models WHERE name IN ({used}))"
            f" ELSE name NOT IN ({used}) END"
        )

    def _select(self, where: str, *values: Value) -> Sequence[ModelRow]:
        sql = f"SELECT {_COLUMNS} FROM models WHERE {where}{self._scope} ORDER BY seq"
        return [_model(row) for row in self._database.rows(sql, (*values, *self._scope_values))]


def _model(row: sqlite3.Row) -> ModelRow:
    values = list(row)
    values[_METRICS_INDEX] = orjson.loads(values[_METRICS_INDEX])
    return ModelRow(*values)
