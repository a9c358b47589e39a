"""The table of fine-tuned models; their weights stand in `models/`, named by the job's id."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from ftops.engine.store.database import Database


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One fine-tuned model."""

    name: str
    job_id: str
    base: str
    parent: str
    created_at: int


class ModelTable:
    """Questions and changes about models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: ModelRow) -> None:
        self._database.change(
            "INSERT INTO models (name, job_id, base, parent, created_at) VALUES (?, ?, ?, ?, ?)",
            (row.name, row.job_id, row.base, row.parent, row.created_at),
        )

    def find(self, name: str) -> ModelRow | None:
        """The model, unless it was deleted."""
        row = self._database.find_row(
            "SELECT * FROM models WHERE name = ? AND deleted_at IS NULL", (name,)
        )
        return _model(row) if row else None

    def find_any(self, name: str) -> ModelRow | None:
        """The model, deleted or not."""
        row = self._database.find_row("SELECT * FROM models WHERE name = ?", (name,))
        return _model(row) if row else None

    def all(self) -> Sequence[ModelRow]:
        return [
            _model(row)
            for row in self._database.rows(
                "SELECT * FROM models WHERE deleted_at IS NULL ORDER BY seq"
            )
        ]

    def delete(self, name: str, *, at: int) -> bool:
        """Mark it as deleted; whether there was such a model."""
        changed = self._database.change(
            "UPDATE models SET deleted_at = ? WHERE name = ? AND deleted_at IS NULL", (at, name)
        )
        return changed == 1

    def removable_folders(self) -> Sequence[str]:
        """Deleted models (their job ids) that no unfinished job starts from."""
        rows = self._database.rows(
            "SELECT job_id FROM models WHERE deleted_at IS NOT NULL AND name NOT IN"
            " (SELECT model FROM jobs WHERE finished_at IS NULL)"
        )
        return [row["job_id"] for row in rows]


def _model(row: sqlite3.Row) -> ModelRow:
    return ModelRow(row["name"], row["job_id"], row["base"], row["parent"], row["created_at"])
