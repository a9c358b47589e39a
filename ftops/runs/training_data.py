"""The training of a run, as its folder and the ledger have it: steps, facts, checkpoints."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ftops.records import Json, Run, StageRecord
from ftops.reports.training import Training, TrainingFacts, create_training
from ftops.runs.open_run import load_results
from ftops.stage_results import StageResults


def load_training(run: Run, stages: Sequence[StageRecord], home: Path) -> Training:
    """The whole training; without steps where no results were fetched yet."""
    return create_training(load_results(run, home), read_training_facts(stages))


def read_training_facts(stages: Sequence[StageRecord]) -> TrainingFacts:
    """What the stages recorded of the training, as far as they have come."""
    results = StageResults.read(stages)
    prepared, followed = results.prepare, results.follow
    used = followed.hyperparameters if followed else {}
    return TrainingFacts(
        rows=(prepared.training.rows or None) if prepared else None,
        validation_rows=(prepared.validation.rows or None)
        if prepared and prepared.validation
        else None,
        overlap_rows=prepared.overlap_rows if prepared else None,
        n_epochs=_find_count(used, "n_epochs"),
        batch_size=_find_count(used, "batch_size"),
        trained_tokens=(followed.trained_tokens or None) if followed else None,
        checkpoints=results.results.checkpoints if results.results else (),
    )


def _find_count(values: Mapping[str, Json], name: str) -> int | None:
    """A whole number above 0; servers may send one as text."""
    value = values.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        return None
    return int(value)
