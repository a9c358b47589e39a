"""The steps of a training and facts about its job, from results files or events."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import lt
from typing import Any

from ftops.records import Checkpoint, JobEvent, Json
from ftops.reports.results import HEADERS, STEP, ResultRow, make_rows

_EPOCH, _ROWS, _TOKENS = map(ResultRow._fields.index, ("epoch", "rows_seen", "tokens_seen"))


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """Facts that are not in the results file; None if unknown.

    `overlap_rows` is the number of validation rows that are also training rows. `checkpoints` are
    the usable models of the job, by step.
    """

    rows: int | None = None
    validation_rows: int | None = None
    overlap_rows: int | None = None
    n_epochs: int | None = None
    batch_size: int | None = None
    total_steps: int | None = None  # None: the last step in the table
    trained_tokens: int | None = None
    checkpoints: tuple[Checkpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Training:
    """The steps of a job, with epochs, rows and tokens computed if possible."""

    rows: Sequence[ResultRow]
    facts: TrainingFacts = TrainingFacts()

    @property
    def epoch_ends(self) -> list[int]:
        """The last step of each epoch except the last one in the table."""
        known = [(row.step, row.epoch) for row in self.rows if row.epoch is not None]
        return [step for (step, epoch), (_, later) in pairwise(known) if later > epoch]

    def find_epoch(self, step: int) -> int | None:
        """The epoch of a step, if known."""
        epochs = (row.epoch for row in reversed(self.rows) if row.step <= step and row.epoch)
        return next(epochs, None)


def create_training(rows: Sequence[ResultRow], facts: TrainingFacts | None = None) -> Training:
    """Create the training: each step once, in order, with missing columns computed.

    Epochs and rows are computed from steps, rows and batch size. Tokens are the trained tokens of
    the job, spread evenly over its steps. Values of the provider are never replaced.
    """
    facts = facts or TrainingFacts()
    steps = [row.step for row in rows]
    ordered = list(rows)
    if not all(map(lt, steps, steps[1:])):
        ordered = list({row.step: row for row in rows}.values())
        ordered.sort(key=lambda row: row.step)
    return Training(_fill_in(ordered, facts), facts)


def _fill_in(rows: Sequence[ResultRow], facts: TrainingFacts) -> Sequence[ResultRow]:
    last = rows[-1].step if rows else 0
    total = max(facts.total_steps or 0, last)
    an_epoch = _find_steps_an_epoch(rows, facts, total)
    a_step = (facts.trained_tokens or 0) / max(total, 1)
    if not rows or not (an_epoch or a_step):
        return rows
    steps = [row.step for row in rows]
    columns: list[Iterable[object]] = list(zip(*rows, strict=True))
    if an_epoch:
        whole = [math.ceil(step / an_epoch - 1e-9) or 1 for step in steps]
        columns[_EPOCH] = _complete(columns[_EPOCH], whole)
    if an_epoch and facts.rows:
        columns[_ROWS] = _complete(columns[_ROWS], _count_rows(steps, facts, an_epoch))
    if a_step:
        columns[_TOKENS] = _complete(columns[_TOKENS], [round(a_step * step) for step in steps])
    return make_rows(zip(*columns, strict=True))


def _complete(reported: Iterable[object], computed: Iterable[object]) -> Iterable[object]:
    """The reported values, with computed ones in place of missing ones."""
    return [
        own if own is not None else other for own, other in zip(reported, computed, strict=True)
    ]


def _count_rows(steps: Sequence[int], facts: TrainingFacts, an_epoch: float) -> list[int]:
    """Rows seen after each step; the last batch of an epoch may be smaller."""
    rows = facts.rows or 0
    batch = facts.batch_size or rows / an_epoch
    if isinstance(an_epoch, int) and isinstance(batch, int):
        return [step // an_epoch * rows + min(rows, step % an_epoch * batch) for step in steps]
    parts = [divmod(step + 1e-9, an_epoch) for step in steps]
    return [int(whole) * rows + min(rows, round(rest * batch)) for whole, rest in parts]


def _find_steps_an_epoch(
    rows: Sequence[ResultRow], facts: TrainingFacts, total: int
) -> float | None:
    """Steps per epoch; None if unknown."""
    if facts.rows and facts.batch_size:
        return math.ceil(facts.rows / facts.batch_size)
    if facts.rows:
        rows_with_count = [row for row in rows if row.rows_seen and row.step]
        if rows_with_count:
            return facts.rows * rows_with_count[-1].step / (rows_with_count[-1].rows_seen or 1)
    if facts.n_epochs and total:
        return total / facts.n_epochs
    return None


_WHOLE = frozenset({"epoch", "rows_seen", "tokens_seen"})


def read_event_row(event: JobEvent) -> ResultRow | None:
    """The metrics of an event; None if it has none."""
    step = _read_number(event.data.get(STEP))
    if step is None or step < 0:
        return None
    found: dict[str, Any] = {}
    for name, titles in HEADERS.items():
        for title in titles:
            figure = _read_number(event.data.get(title))
            if figure is not None and figure >= 0:
                found.setdefault(name, math.ceil(figure) if name in _WHOLE else figure)
    if not found.keys() - _WHOLE:
        return None
    return ResultRow(step=int(step))._replace(**found)


def read_event_rows(events: Iterable[JobEvent]) -> list[ResultRow]:
    """One row per step, in order; events of the same step are merged."""
    rows: dict[int, ResultRow] = {}
    for event in events:
        if row := read_event_row(event):
            rows[row.step] = join_rows(rows.get(row.step), row)
    return [rows[step] for step in sorted(rows)]


def join_rows(before: ResultRow | None, now: ResultRow) -> ResultRow:
    """Merge two rows of a step; later values win."""
    if before is None:
        return now
    values = {name: getattr(now, name) for name in HEADERS if getattr(now, name) is not None}
    return before._replace(**values)


def find_total_steps(events: Iterable[JobEvent]) -> int | None:
    """The total steps of the job, if an event has them."""
    found = [_read_number(event.data.get("total_steps")) for event in events]
    return next((int(one) for one in reversed(found) if one), None)


def _read_number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
