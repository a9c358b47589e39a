"""The figures of a job's events as rows of the normalised table, while there is no results file."""

import math
from collections.abc import Iterable
from typing import Any

from ftops.records import JobEvent, Json
from ftops.reports.results import HEADERS, STEP, ResultRow

_WHOLE = frozenset({"epoch", "rows_seen", "tokens_seen"})


def read_event_row(event: JobEvent) -> ResultRow | None:
    """What the event tells of its step; None where it tells no figure."""
    step = _find_figure(event.data.get(STEP))
    if step is None or step < 0:
        return None
    found: dict[str, Any] = {}
    for name, titles in HEADERS.items():
        for title in titles:
            figure = _find_figure(event.data.get(title))
            if figure is not None and figure >= 0:
                found.setdefault(name, math.ceil(figure) if name in _WHOLE else figure)
    if not found.keys() - _WHOLE:
        return None
    return ResultRow(step=int(step))._replace(**found)


def read_event_rows(events: Iterable[JobEvent]) -> list[ResultRow]:
    """One row a step, by step; what several events tell of one step stands in one row."""
    rows: dict[int, ResultRow] = {}
    for event in events:
        if row := read_event_row(event):
            rows[row.step] = join_rows(rows.get(row.step), row)
    return [rows[step] for step in sorted(rows)]


def join_rows(before: ResultRow | None, now: ResultRow) -> ResultRow:
    """Both in one; the later figure counts."""
    if before is None:
        return now
    told = {name: getattr(now, name) for name in HEADERS if getattr(now, name) is not None}
    return before._replace(**told)


def find_total_steps(events: Iterable[JobEvent]) -> int | None:
    """How many steps the job will take, where an event tells."""
    found = [_find_figure(event.data.get("total_steps")) for event in events]
    return next((int(one) for one in reversed(found) if one), None)


def _find_figure(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
