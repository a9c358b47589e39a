"""Fine-tuned models: which run made them, and how they want to be asked."""

from ftops.ledger.rows import MODEL_COLUMNS, model_values, only, to_model
from ftops.ledger.store import Store
from ftops.records import TunedModel


class Models(Store):
    """What the ledger knows of fine-tuned models."""

    def add_model(self, model: TunedModel) -> None:
        """Record the model that a run's job made; the run carries its name from now on."""
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
        """All that were ever made, also the deleted ones; newest first."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {MODEL_COLUMNS} FROM models ORDER BY created_at DESC, name"
            )
            return [to_model(row) for row in rows]

    def find_model(self, name: str) -> TunedModel | None:
        """The model of that name, deleted or not."""
        with self._reading() as connection:
            row = only(
                connection.execute(f"SELECT {MODEL_COLUMNS} FROM models WHERE name = ?", (name,))
            )
        return to_model(row) if row else None

    def mark_model_deleted(self, name: str) -> None:
        """The provider has this model no more; nothing happens if no run made it."""
        with self._changing("mark_model_deleted") as connection:
            connection.execute(
                "UPDATE models SET deleted_at = ? WHERE name = ? AND deleted_at IS NULL",
                (self._now(), name),
            )
