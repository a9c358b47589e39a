"""Stages of a run, moved from state to state."""

from collections.abc import Mapping

from ftops.errors import RunBusy, UnknownRun
from ftops.ledger.events import record_move
from ftops.ledger.rows import STAGE_COLUMNS, only, to_json, to_stage
from ftops.ledger.store import Store
from ftops.records import Json, RunId, Stage, StageRecord, StageStatus

_ORDER = tuple(Stage)


class Stages(Store):
    """What the ledger knows of the stages of runs."""

    def list_stages(self, run_id: RunId) -> list[StageRecord]:
        """All six, in the order in which they are done."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {STAGE_COLUMNS} FROM stages WHERE run_id = ?", (run_id,)
            ).fetchall()
        return sorted(map(to_stage, rows), key=lambda record: _ORDER.index(record.stage))

    def get_stage(self, run_id: RunId, stage: Stage) -> StageRecord:
        """How that stage stands; UnknownRun without such a run."""
        with self._reading() as connection:
            row = only(
                connection.execute(
                    f"SELECT {STAGE_COLUMNS} FROM stages WHERE run_id = ? AND stage = ?",
                    (run_id, stage.value),
                )
            )
        if row is None:
            raise UnknownRun(f"the ledger has no run {run_id}")
        return to_stage(row)

    def move_stage(
        self,
        run_id: RunId,
        seen: StageRecord,
        after: StageStatus,
        *,
        detail: Mapping[str, Json] | None = None,
        error: str | None = None,
    ) -> StageRecord:
        """Move the stage on from where the caller has seen it; RunBusy if it is elsewhere by now.

        Running is a new attempt: it counts one more and begins its time anew, unless the attempt
        before was interrupted. Without `detail`, the detail stays as it was.
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
            record_move(connection, run_id, now, data)
        return self.get_stage(run_id, seen.stage)
