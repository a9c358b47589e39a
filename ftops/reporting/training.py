"""One training as a whole: its table of steps, and what is known of the job beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ftops.records import Checkpoint
from ftops.reporting.results import ResultRow


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """What the results file does not say; None where it is not known.

    `overlap_rows` of the validation rows are training rows, too. `checkpoints` are models of the
    job that can still be asked, by step.
    """

    rows: int | None = None
    validation_rows: int | None = None
    overlap_rows: int | None = None
    n_epochs: int | None = None
    batch_size: int | None = None
    total_steps: int | None = None  # None: as many as the table has
    trained_tokens: int | None = None
    checkpoints: tuple[Checkpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Training:
    """The steps of one job, by step, with epochs, rows and tokens filled in where they follow."""

    rows: Sequence[ResultRow]
    facts: TrainingFacts = TrainingFacts()

    @property
    def epoch_ends(self) -> list[int]:
        """The last step of each epoch but the last one that the table has begun."""
        known = [(row.step, row.epoch) for row in self.rows if row.epoch is not None]
        return [step for (step, epoch), (_, later) in pairwise(known) if later > epoch]

    def find_epoch(self, step: int) -> int | None:
        """The epoch of a step, where it is known."""
        epochs = (row.epoch for row in reversed(self.rows) if row.step <= step and row.epoch)
        return next(epochs, None)


def make_training(rows: Sequence[ResultRow], facts: TrainingFacts | None = None) -> Training:
    """The training with each step once, in order, and with what can be computed computed.

    Epochs and rows follow from steps, rows and batch size; tokens from the job's trained tokens,
    spread evenly over its steps. What the provider told is never replaced.
    """
    facts = facts or TrainingFacts()
    ordered = list({row.step: row for row in rows}.values())
    if any(later.step < earlier.step for earlier, later in pairwise(ordered)):
        ordered.sort(key=lambda row: row.step)
    return Training(_fill_in(ordered, facts), facts)


def _fill_in(rows: Sequence[ResultRow], facts: TrainingFacts) -> Sequence[ResultRow]:
    last = rows[-1].step if rows else 0
    total = max(facts.total_steps or 0, last)
    an_epoch = _find_steps_an_epoch(rows, facts, total)
    a_step = (facts.trained_tokens or 0) / max(total, 1)
    if not an_epoch and not a_step:
        return rows
    all_rows = facts.rows or 0
    batch = facts.batch_size or (all_rows / an_epoch if an_epoch else 0)
    filled = []
    for row in rows:
        step, epoch, seen, tokens = row.step, row.epoch, row.rows_seen, row.tokens_seen
        if an_epoch and (epoch is None or seen is None):
            whole, rest = divmod(step + 1e-9, an_epoch)
            if epoch is None:
                epoch = max(1, math.ceil(step / an_epoch - 1e-9))
            if seen is None and all_rows:
                seen = int(whole) * all_rows + min(all_rows, round(rest * batch))
        if tokens is None and a_step:
            tokens = round(a_step * step)
        filled.append((*row[:8], epoch, seen, tokens, *row[11:]))
    return list(map(ResultRow._make, filled))


def _find_steps_an_epoch(
    rows: Sequence[ResultRow], facts: TrainingFacts, total: int
) -> float | None:
    """Steps for one look at all rows; None where nothing tells."""
    if facts.rows and facts.batch_size:
        return math.ceil(facts.rows / facts.batch_size)
    if facts.rows:
        told = [row for row in rows if row.rows_seen and row.step]
        if told:
            return facts.rows * told[-1].step / (told[-1].rows_seen or 1)
    if facts.n_epochs and total:
        return total / facts.n_epochs
    return None
