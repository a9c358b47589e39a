"""The training of a run, as its folder and the ledger have it: steps, facts, checkpoints."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ftops.records import Checkpoint, Json, Run, Stage, StageRecord
from ftops.reports.training import Training, TrainingFacts, create_training
from ftops.runs.open_run import load_results


def load_training(run: Run, stages: Sequence[StageRecord], home: Path) -> Training:
    """The whole training; without steps where no results were fetched yet."""
    return create_training(load_results(run, home), read_training_facts(stages))


def read_training_facts(stages: Sequence[StageRecord]) -> TrainingFacts:
    """What the stages found out about the training, as far as they have come."""
    details = {record.stage: record.detail for record in stages}
    prepared = details.get(Stage.PREPARE, {})
    followed = details.get(Stage.FOLLOW, {})
    figures = followed.get("hyperparameters")
    figures = figures if isinstance(figures, dict) else {}
    return TrainingFacts(
        rows=_find_count(prepared, "rows"),
        validation_rows=_find_count(prepared, "validation_rows"),
        overlap_rows=_find_count(prepared, "overlap_rows"),
        n_epochs=_find_count(figures, "n_epochs"),
        batch_size=_find_count(figures, "batch_size"),
        trained_tokens=_find_count(followed, "trained_tokens"),
        checkpoints=_find_checkpoints(details.get(Stage.RESULTS, {})),
    )


def _find_checkpoints(detail: Mapping[str, Json]) -> tuple[Checkpoint, ...]:
    listed = detail.get("checkpoints")
    found = [
        Checkpoint(str(one.get("id") or ""), step, model, _find_metrics(one))
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict)
        and isinstance(model := one.get("model"), str)
        and isinstance(step := one.get("step"), int)
    ]
    return tuple(sorted(found, key=lambda checkpoint: checkpoint.step))


def _find_metrics(checkpoint: Mapping[str, Json]) -> dict[str, float]:
    metrics = checkpoint.get("metrics")
    pairs = metrics.items() if isinstance(metrics, dict) else ()
    return {name: float(value) for name, value in pairs if isinstance(value, int | float)}


def _find_count(values: Mapping[str, Json], name: str) -> int | None:
    """A whole number above 0; servers may tell one as text."""
    value = values.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        return None
    return int(value)
