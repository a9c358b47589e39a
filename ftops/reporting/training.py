"""One training as a whole: its table of steps, and what is known of the job beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ftops.checkpoints import Checkpoint
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
    has_rows = bool(facts.rows and an_epoch)
    a_step = (facts.trained_tokens or 0) / max(total, 1)
    if not an_epoch and not a_step:
        return rows
    filled = []
    for row in rows:
        step, epoch, seen, tokens = row.step, row.epoch, row.rows_seen, row.tokens_seen
        if epoch is None and an_epoch:
            epoch = max(1, math.ceil(step / an_epoch - 1e-9))
        if seen is None and has_rows and an_epoch:
            seen = _count_rows(step, an_epoch, facts)
        if tokens is None and a_step:
            tokens = round(a_step * step)
        filled.append(ResultRow(*row[:8], epoch, seen, tokens, *row[11:]))
    return filled


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


def _count_rows(step: int, an_epoch: float, facts: TrainingFacts) -> int:
    """Rows trained on after so many steps: the last batch of an epoch may be a smaller one."""
    rows = facts.rows or 0
    whole, rest = divmod(step + 1e-9, an_epoch)
    return int(whole) * rows + min(rows, round(rest * (facts.batch_size or rows / an_epoch)))
