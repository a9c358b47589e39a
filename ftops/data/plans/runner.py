"""Runs a plan on rows, a batch at a time, and counts what each fix changes.

The rows of a batch are columns, so a fix that changes nothing costs almost nothing. The same plan
and data always give the same bytes. Besides a batch, 8 bytes per row are held to drop duplicates,
and 16 for a majority vote.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from operator import itemgetter, ne, or_
from typing import BinaryIO, cast

import orjson

from ftops.data.batch_parser import BatchParser, RowBatch, gather_rows
from ftops.data.checks.duplicates import RowPlaces
from ftops.data.fixes.fix import (
    DROPPED,
    DatasetFilter,
    Fix,
    FixBatch,
    RecordFix,
    RowFilter,
    RowHashes,
    TextFix,
)
from ftops.data.fixes.records import DropInvalidRows
from ftops.data.fixes.redaction import Redact, Replaced
from ftops.data.fixes.registry import FIXES
from ftops.data.reading.batch import Batch, Batches, RowError
from ftops.data.reading.source import Source
from ftops.data.rows import RowErrors
from ftops.data.screening.pii import hide
from ftops.errors import DatasetError
from ftops.records import DataPlan, PlanStep, RowFormat
from ftops.rows.json_values import Literal
from ftops.rows.messages import JsonObject, change_texts
from ftops.rows.tools import change_arguments

COMPLETION = RowFormat.COMPLETION
SHOWN_EXAMPLES = 2


@dataclass(frozen=True, slots=True)
class FixExample:
    """A text before and after a fix; `after` is None if the row was dropped.

    The text of a `whole` row is the original line, or the row as JSON.
    """

    place: int
    before: str
    after: str | None
    whole: bool = True


@dataclass(slots=True)
class FixStats:
    """How many rows one fix changed, with the first ones as examples.

    `check` is set if the fix resolves several checks, one at a time. With `hides`, examples mask
    personal data and secrets.
    """

    code: str
    check: str = ""
    count: int = 0
    examples: list[FixExample] = field(default_factory=list)
    hides: bool = False

    def note(self, place: int, before: str, after: str | None, *, whole: bool = True) -> None:
        """Keep the first examples."""
        if len(self.examples) >= SHOWN_EXAMPLES:
            return
        if self.hides:
            before, after = hide(before), after if after is None else hide(after)
        self.examples.append(FixExample(place, before, after, whole))


def build_fix(step: PlanStep) -> Fix:
    """The fix of a step with a valid code and valid parameters."""
    return FIXES[step.code](step.values)


class PlanRunner:
    """Runs a plan on batches; `fix_stats` and `bad` hold the result."""

    def __init__(self, plan: DataPlan, name: str, unit: str) -> None:
        fixes = [build_fix(step) for step in plan.steps]
        self.filters = [fix for fix in fixes if isinstance(fix, DatasetFilter)]
        hides = any(isinstance(fix, Redact) for fix in fixes)
        self.fix_stats: dict[str, FixStats] = {}
        self.bad = RowErrors(name)
        self.rows = 0
        self._records = [fix for fix in fixes if isinstance(fix, RecordFix)]
        self._steps = [fix for fix in fixes if isinstance(fix, TextFix | RowFilter)]
        self._dropped: dict[str, FixStats] = {}
        for fix in fixes:
            by_check = isinstance(fix, DropInvalidRows | Redact)
            for code in fix.texts("codes") if by_check else [fix.CODE]:
                stats = FixStats(fix.CODE, code if by_check else "", hides=hides)
                self.fix_stats[code] = stats
                if isinstance(fix, DropInvalidRows):
                    self._dropped[code] = stats
        self._parser = BatchParser(unit=unit)

    def apply(self, batch: Batch) -> FixBatch:
        """The valid rows of a batch after all fixes except dataset filters; errors go to `bad`."""
        rows, row_errors = self.repair(batch)
        for row_error in [*row_errors, *self._apply_all(rows)]:
            self._drop_or_report(row_error)
        for row_error in rows.refused:
            self.bad.add_error(row_error)
        self.rows += len(rows.places)
        self.bad.good = self.rows
        return rows

    def apply_early(self, batch: Batch) -> Batch:
        """The same as a batch for the checks, with its row errors."""
        rows, row_errors = self.repair(batch)
        row_errors = sorted(
            [*row_errors, *self._apply_all(rows)], key=lambda row_error: row_error.place
        )
        values: list[object] = [*rows.raws]
        if rows.format is COMPLETION:
            pairs = zip(rows.prompts, rows.completions, strict=True)
            values = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs]
        return Batch(values, rows.places, None, row_errors)

    def repair(self, batch: Batch) -> tuple[FixBatch, list[RowError]]:
        """The valid and repaired rows of a batch in order, and the row errors that remain."""
        rows = self._parser.parse(batch)
        if not rows.row_errors:
            return _to_fix_batch(rows), []
        left: list[RowError] = []
        repaired: list[tuple[int, JsonObject]] = []
        for row_error in rows.row_errors:
            found = self._repair(row_error)
            if isinstance(found, RowError):
                left.append(found)
            else:
                repaired.append((row_error.place, found))
        if not repaired:
            return _to_fix_batch(rows), left
        # the first valid row decides the format; it may be a repaired row
        both = sorted([*zip(rows.places, rows.raws, strict=True), *repaired], key=itemgetter(0))
        values: list[object] = [raw for _, raw in both]
        again = self._parser.parse(Batch(values, [place for place, _ in both]))
        return _to_fix_batch(again), left

    def _repair(self, row_error: RowError) -> JsonObject | RowError:
        """A valid row, or the row error that no fix can repair."""
        for fix in self._records:
            if row_error.code not in fix.CODES or row_error.record is None:
                continue
            value = fix.repair(row_error.record)
            if value is None or value == row_error.record:
                continue
            parsed = self._parser.parse(Batch([value], [row_error.place]))
            if not parsed.raws and parsed.row_errors[0].code == row_error.code:
                continue
            stats = self.fix_stats[fix.CODE]
            stats.count += 1
            stats.note(row_error.place, show_record(row_error.record), show_record(value))
            if parsed.raws:
                return parsed.raws[0]
            row_error = parsed.row_errors[0]  # another fix may repair this error
        return row_error

    def _drop_or_report(self, row_error: RowError) -> None:
        stats = self._dropped.get(row_error.code)
        if stats is None:
            self.bad.add_error(row_error)
            return
        stats.count += row_error.count
        shown = show_record(row_error.record) if row_error.record is not None else ""
        stats.note(
            row_error.place, f"{shown}  ({row_error.reason})" if shown else row_error.reason, None
        )

    def _apply_all(self, rows: FixBatch) -> Iterator[RowError]:
        """Apply all steps; yields errors of rows that a step made invalid."""
        for fix in self._steps:
            if not rows.raws and not rows.prompts:
                return
            if isinstance(fix, Redact):
                replaced, row_errors = fix.redact(rows)
                for one in replaced:
                    self._note_replaced(one)
                yield from row_errors
            else:
                self._apply(fix, rows)

    def _note_replaced(self, one: Replaced) -> None:
        stats = self.fix_stats[one.code]
        stats.count += 1
        if isinstance(one.before, str) and isinstance(one.after, str):
            stats.note(one.place, one.before, one.after, whole=False)
        else:
            stats.note(one.place, show_record(one.before), show_record(one.after))

    def _apply(self, fix: Fix, rows: FixBatch) -> None:
        stats = self.fix_stats[fix.CODE]
        if isinstance(fix, RowFilter):
            flags = fix.find_kept_rows(rows)
            if flags is not None:
                _note_dropped(stats, rows, flags)
                rows.keep(flags)
        elif isinstance(fix, TextFix) and rows.format is COMPLETION:
            before = rows.prompts, rows.completions
            fix.apply(rows)
            _note_changed(stats, rows, *before)
        elif isinstance(fix, TextFix) and fix.ALL_FORMATS:
            _change_raws(stats, rows, fix.change)


def _to_fix_batch(rows: RowBatch) -> FixBatch:
    if rows.format is COMPLETION:
        return FixBatch(rows.format, rows.places, (), rows.prompts, rows.completions)
    return FixBatch(rows.format, rows.places, rows.raws)


def _note_changed(
    stats: FixStats, rows: FixBatch, prompts: Sequence[str], completions: Sequence[str]
) -> None:
    columns = [
        (old, new)
        for old, new in ((prompts, rows.prompts), (completions, rows.completions))
        if new is not old
    ]
    flags = [list(map(ne, old, new)) for old, new in columns]
    if not flags:
        return
    changed = sum(map(or_, flags[0], flags[-1]))
    stats.count += changed
    if not changed or len(stats.examples) >= SHOWN_EXAMPLES:
        return
    for (old, new), flagged in zip(columns, flags, strict=True):
        for index, flag in zip(count(), flagged):
            if flag:
                stats.note(rows.places[index], old[index], new[index], whole=False)
            if len(stats.examples) >= SHOWN_EXAMPLES:
                return


def _note_dropped(stats: FixStats, rows: FixBatch, flags: Sequence[bool]) -> None:
    stats.count += len(flags) - sum(flags)
    for index, flag in enumerate(flags):
        if not flag and len(stats.examples) < SHOWN_EXAMPLES:
            stats.note(rows.places[index], show_row(rows, index), None)


def _change_raws(stats: FixStats, rows: FixBatch, change: Callable[[str], str]) -> None:
    raws = [
        change_arguments(cast(JsonObject, change_texts(raw, change)), change) for raw in rows.raws
    ]
    for place, old, new in zip(rows.places, rows.raws, raws, strict=True):
        if old != new:
            stats.count += 1
            stats.note(place, show_record(old), show_record(new))
    rows.raws = raws


def show_row(rows: FixBatch, index: int) -> str:
    """A row as one line of JSON."""
    if rows.format is COMPLETION:
        pair = {"prompt": rows.prompts[index], "completion": rows.completions[index]}
        return show_record(pair)
    return show_record(rows.raws[index])


def _show_value(value: object) -> object:
    return orjson.Fragment(value.text) if isinstance(value, Literal) else str(value)


def show_record(record: object) -> str:
    """A record as text: the original line, or JSON."""
    if isinstance(record, bytes):
        return record.decode("utf-8", "replace")
    try:
        data = orjson.dumps(record, default=_show_value, option=orjson.OPT_PASSTHROUGH_DATACLASS)
        return data.decode("utf-8", "replace")
    except TypeError:  # nested too deeply
        return "…"


_ORDER = list(FIXES)
_COPIED_BYTES = 1 << 20
_NEWLINE = orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The number of rows after a plan, and the statistics of each fix."""

    rows: int
    format: RowFormat
    fix_stats: tuple[FixStats, ...]

    @property
    def changed(self) -> list[FixStats]:
        """The fixes that changed something."""
        return [stats for stats in self.fix_stats if stats.count]


def apply_plan(source: Source, plan: DataPlan, stream: BinaryIO) -> PlanResult:
    """Write the rows of `source` as JSON lines to the empty, seekable `stream`.

    Raises DatasetError with the first ten row errors that the plan does not resolve.
    """
    runner = PlanRunner(plan, source.name, source.unit)
    hashes, places = RowHashes(), RowPlaces()
    collecting = gc.isenabled()
    gc.disable()  # rows hold no reference cycles; garbage collection takes a tenth of the time
    try:
        shape = _write_rows(source.batches(), runner, hashes, places, stream)
    finally:
        if collecting:
            gc.enable()
    if runner.bad.bad:
        raise runner.bad.error()
    dropped = 0
    for fix in runner.filters:
        dropped += _apply_filter(fix, runner.fix_stats[fix.CODE], hashes, places, stream)
    if dropped:
        drop_lines(stream, hashes)
    rows = runner.rows - dropped
    if not rows:
        raise DatasetError(
            f"{source.name}: no row is left", hint=_advise(runner.fix_stats.values())
        )
    fix_stats = sorted(runner.fix_stats.values(), key=lambda stats: _ORDER.index(stats.code))
    return PlanResult(rows, shape, tuple(fix_stats))


def _advise(fix_stats: Iterable[FixStats]) -> str:
    """A hint to skip a fix that dropped rows, for the case that no row is left."""
    taken = [
        stats.check or stats.code
        for stats in fix_stats
        if stats.count
        and issubclass(FIXES[stats.code], RowFilter | DatasetFilter | DropInvalidRows)
    ]
    if not taken:
        return "The source holds no rows; run `ftops data check` on it."
    return f"Skip a fix, for example --skip {taken[0]}."


def _write_rows(
    batches: Batches, runner: PlanRunner, hashes: RowHashes, places: RowPlaces, stream: BinaryIO
) -> RowFormat:
    """Write all rows, unless there are row errors; returns the row format."""
    needs_prompts = any(fix.NEEDS_PROMPTS for fix in runner.filters)
    shape = RowFormat.COMPLETION
    for batch in batches:
        rows = runner.apply(batch)
        shape = rows.format
        if runner.bad.bad:
            continue  # nothing is written after an error; the rest is read to report all errors
        stream.write(b"".join(render_lines(rows)))
        if runner.filters:
            places.add(rows.places)
            hashed = _to_row_batch(rows)
            hashes.rows.extend(hashed.row_hashes())
            if needs_prompts:
                hashes.prompts.extend(hashed.question_hashes())
    return shape


def apply_early(source: Source, plan: DataPlan) -> Source:
    """The source after the fixes of the plan, for the checks; row errors are kept."""

    def read() -> Batches:
        runner = PlanRunner(plan, source.name, source.unit)
        return map(runner.apply_early, source.batches())

    return replace(source, batches=read, plain=None)


def render_lines(rows: FixBatch) -> Iterable[bytes]:
    """The rows as JSON lines."""
    if rows.format is RowFormat.COMPLETION:
        return [
            orjson.dumps({"prompt": prompt, "completion": completion}, option=_NEWLINE)
            for prompt, completion in zip(rows.prompts, rows.completions, strict=True)
        ]
    return [orjson.dumps(raw, option=_NEWLINE) for raw in rows.raws]


def _to_row_batch(rows: FixBatch) -> RowBatch:
    if rows.format is COMPLETION:
        return RowBatch(rows.format, [], rows.places, rows.prompts, rows.completions)
    return gather_rows(rows.format, [*rows.raws], rows.places)


def _apply_filter(
    fix: DatasetFilter, stats: FixStats, hashes: RowHashes, places: RowPlaces, stream: BinaryIO
) -> int:
    """Apply a dataset filter, and keep the first dropped rows as examples."""
    hashes.first = []
    stats.count = fix.drop_rows(hashes)
    if hashes.first:
        stream.seek(0)
        wanted = set(hashes.first)
        for number, line in enumerate(islice(stream, hashes.first[-1] + 1)):
            if number in wanted:
                stats.note(places.of(number), line.decode().rstrip("\n"), None)
    return stats.count


def drop_lines(stream: BinaryIO, hashes: RowHashes) -> None:
    """Remove the lines of dropped rows from the file, in place."""
    read_at = write_at = number = 0
    tail = b""
    while True:
        stream.seek(read_at)
        piece = stream.read(_COPIED_BYTES)
        if not piece:
            break
        read_at += len(piece)
        lines = (tail + piece).split(b"\n")
        tail = lines.pop()
        chosen = hashes.rows[number : number + len(lines)]
        number += len(lines)
        kept = [line for line, row in zip(lines, chosen, strict=True) if row != DROPPED]
        if kept:
            stream.seek(write_at)
            write_at += stream.write(b"\n".join(kept) + b"\n")
    stream.seek(write_at)
    stream.truncate()
