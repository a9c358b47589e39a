"""Does what a plan says to rows, a batch at a time, and keeps account of it.

The rows of a batch are looked at as columns: what a fix leaves as it is costs next to nothing.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from operator import ne, or_
from typing import BinaryIO, cast

import orjson

from ftops.data.batch_parser import RowBatch, Sifter
from ftops.data.checks.duplicates import RowPlaces
from ftops.data.fixes.fix import (
    LEFT_OUT,
    Choice,
    Fix,
    Hashes,
    Portion,
    RecordFix,
    RowFilter,
    TextFix,
)
from ftops.data.fixes.records import DropBadRows
from ftops.data.fixes.redaction import Redact, Replaced
from ftops.data.fixes.registry import FIXES
from ftops.data.reading.batch import Batch, Batches, Fault
from ftops.data.reading.source import Source
from ftops.data.rows import RowErrors
from ftops.errors import DatasetError
from ftops.records import DataPlan, Json, PlanStep, RowFormat
from ftops.rows.json_values import Literal
from ftops.rows.messages import JsonObject, change_texts
from ftops.rows.tools import change_arguments, number_calls
from ftops.text import json_to_nfc, to_nfc

COMPLETION = RowFormat.COMPLETION
SHOWN_EXAMPLES = 2


@dataclass(frozen=True, slots=True)
class Example:
    """A text before and after a fix; `after` is None when its row was left out.

    The text of a `whole` row is the row as it stood, or as JSON.
    """

    place: int
    before: str
    after: str | None
    whole: bool = True


@dataclass(slots=True)
class Deed:
    """What one fix did: to how many rows, and the first of them.

    `check` is set where a fix answers several checks, each by itself. Where `hides` is set, nothing
    private or secret is shown whole.
    """

    code: str
    check: str = ""
    count: int = 0
    examples: list[Example] = field(default_factory=list)
    hides: bool = False

    def note(self, place: int, before: str, after: str | None, *, whole: bool = True) -> None:
        """Keep an example, while there is room."""
        if len(self.examples) >= SHOWN_EXAMPLES:
            return
        if self.hides:
            from ftops.data.screening.private import hide  # its patterns take 20 ms

            before, after = hide(before), after if after is None else hide(after)
        self.examples.append(Example(place, before, after, whole))


def build_fix(step: PlanStep) -> Fix:
    """The fix of a step whose code and values were checked."""
    return FIXES[step.code](step.values)


class Treatment:
    """One execution of a plan; `deeds` and `bad` are its account."""

    def __init__(self, plan: DataPlan, name: str, unit: str) -> None:
        fixes = [build_fix(step) for step in plan.steps]
        self.choices = [fix for fix in fixes if isinstance(fix, Choice)]
        hides = any(isinstance(fix, Redact) for fix in fixes)
        self.deeds: dict[str, Deed] = {}
        self.bad = RowErrors(name)
        self.rows = 0
        self._records = [fix for fix in fixes if isinstance(fix, RecordFix)]
        self._steps = [fix for fix in fixes if isinstance(fix, TextFix | RowFilter)]
        self._dropped: dict[str, Deed] = {}
        for fix in fixes:
            by_check = isinstance(fix, DropBadRows | Redact)
            for code in fix.texts("codes") if by_check else [fix.CODE]:
                deed = Deed(fix.CODE, code if by_check else "", hides=hides)
                self.deeds[code] = deed
                if isinstance(fix, DropBadRows):
                    self._dropped[code] = deed
        self._sifter = Sifter(unit=unit)

    def treat(self, batch: Batch) -> Portion:
        """The good rows of a batch, after every fix but the choices; faults go into `bad`."""
        portion, faults = self.mend(batch)
        for fault in [*faults, *self._apply_all(portion)]:
            self._give_up(fault)
        for fault in portion.refused:
            self.bad.add_fault(fault)
        self.rows += len(portion.places)
        self.bad.good = self.rows
        return portion

    def treat_early(self, batch: Batch) -> Batch:
        """The same for the checks to look at: faults stay among the records."""
        portion, faults = self.mend(batch)
        faults = sorted([*faults, *self._apply_all(portion)], key=lambda fault: fault.place)
        values: list[object] = [*portion.raws]
        if portion.format is COMPLETION:
            pairs = zip(portion.prompts, portion.completions, strict=True)
            values = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs]
        return Batch(values, portion.places, None, faults)

    def mend(self, batch: Batch) -> tuple[Portion, list[Fault]]:
        """The good and the mended rows of a batch in their order, and the faults that are left."""
        rows = self._sifter.sift(batch)
        if not rows.faults:
            return _to_portion(rows), []
        left: list[Fault] = []
        mended: list[tuple[int, JsonObject]] = []
        for fault in rows.faults:
            found = self._mend(fault)
            if isinstance(found, Fault):
                left.append(found)
            else:
                mended.append((fault.place, found))
        if not mended:
            return _to_portion(rows), left
        # Names of shapes are decided by the first good row, which may be a mended one.
        both = sorted([*zip(rows.places, rows.raws, strict=True), *mended], key=lambda one: one[0])
        values: list[object] = [raw for _, raw in both]
        again = self._sifter.sift(Batch(values, [place for place, _ in both]))
        return _to_portion(again), left

    def _mend(self, fault: Fault) -> JsonObject | Fault:
        """A good row, or the fault that no fix can mend."""
        for fix in self._records:
            if fault.code not in fix.CODES or fault.record is None:
                continue
            value = fix.mend(fault.record)
            if value is None or value == fault.record:
                continue
            sifted = self._sifter.sift(Batch([value], [fault.place]))
            if not sifted.raws and sifted.faults[0].code == fault.code:
                continue
            deed = self.deeds[fix.CODE]
            deed.count += 1
            deed.note(fault.place, show_record(fault.record), show_record(value))
            if sifted.raws:
                return sifted.raws[0]
            fault = sifted.faults[0]  # which another fix may mend
        return fault

    def _give_up(self, fault: Fault) -> None:
        deed = self._dropped.get(fault.code)
        if deed is None:
            self.bad.add_fault(fault)
            return
        deed.count += fault.count
        shown = show_record(fault.record) if fault.record is not None else ""
        deed.note(fault.place, f"{shown}  ({fault.reason})" if shown else fault.reason, None)

    def _apply_all(self, portion: Portion) -> Iterator[Fault]:
        """Every step; faults are rows that one of them made useless."""
        for fix in self._steps:
            if not portion.raws and not portion.prompts:
                return
            if isinstance(fix, Redact):
                replaced, faults = fix.redact(portion)
                for one in replaced:
                    self._note_replaced(one)
                yield from faults
            else:
                self._apply(fix, portion)

    def _note_replaced(self, one: Replaced) -> None:
        deed = self.deeds[one.code]
        deed.count += 1
        if isinstance(one.before, str) and isinstance(one.after, str):
            deed.note(one.place, one.before, one.after, whole=False)
        else:
            deed.note(one.place, show_record(one.before), show_record(one.after))

    def _apply(self, fix: Fix, portion: Portion) -> None:
        deed = self.deeds[fix.CODE]
        if isinstance(fix, RowFilter):
            flags = fix.find_kept(portion)
            if flags is not None:
                _note_dropped(deed, portion, flags)
                portion.keep(flags)
        elif isinstance(fix, TextFix) and portion.format is COMPLETION:
            before = portion.prompts, portion.completions
            fix.apply(portion)
            _note_changed(deed, portion, *before)
        elif isinstance(fix, TextFix) and fix.EVERY:
            _change_raws(deed, portion, fix.change)


def _to_portion(rows: RowBatch) -> Portion:
    if rows.format is COMPLETION:
        return Portion(rows.format, rows.places, (), rows.prompts, rows.completions)
    return Portion(rows.format, rows.places, rows.raws)


def _note_changed(
    deed: Deed, portion: Portion, prompts: Sequence[str], completions: Sequence[str]
) -> None:
    columns = [
        (old, new)
        for old, new in ((prompts, portion.prompts), (completions, portion.completions))
        if new is not old
    ]
    flags = [list(map(ne, old, new)) for old, new in columns]
    if not flags:
        return
    changed = sum(map(or_, flags[0], flags[-1]))
    deed.count += changed
    if not changed or len(deed.examples) >= SHOWN_EXAMPLES:
        return
    for (old, new), flagged in zip(columns, flags, strict=True):
        for index, flag in zip(count(), flagged):
            if flag:
                deed.note(portion.places[index], old[index], new[index], whole=False)
            if len(deed.examples) >= SHOWN_EXAMPLES:
                return


def _note_dropped(deed: Deed, portion: Portion, flags: Sequence[bool]) -> None:
    deed.count += len(flags) - sum(flags)
    for index, flag in enumerate(flags):
        if not flag and len(deed.examples) < SHOWN_EXAMPLES:
            deed.note(portion.places[index], show_row(portion, index), None)


def _change_raws(deed: Deed, portion: Portion, change: Callable[[str], str]) -> None:
    raws = [
        change_arguments(cast(JsonObject, change_texts(raw, change)), change)
        for raw in portion.raws
    ]
    for place, old, new in zip(portion.places, portion.raws, raws, strict=True):
        if old != new:
            deed.count += 1
            deed.note(place, show_record(old), show_record(new))
    portion.raws = raws


def show_row(portion: Portion, index: int) -> str:
    """A row as one line of JSON."""
    if portion.format is COMPLETION:
        pair = {"prompt": portion.prompts[index], "completion": portion.completions[index]}
        return show_record(pair)
    return show_record(portion.raws[index])


def _show_value(value: object) -> object:
    return orjson.Fragment(value.text) if isinstance(value, Literal) else str(value)


def show_record(record: object) -> str:
    """A record as text: as it stood, or as JSON."""
    if isinstance(record, bytes):
        return record.decode("utf-8", "replace")
    try:
        data = orjson.dumps(record, default=_show_value, option=orjson.OPT_PASSTHROUGH_DATACLASS)
        return data.decode("utf-8", "replace")
    except TypeError:  # it nests too deep
        return "…"


_ORDER = list(FIXES)
_COPIED_BYTES = 1 << 20
_NEWLINE = orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan did: rows that are there now, and one deed for each of its fixes."""

    rows: int
    format: RowFormat
    deeds: tuple[Deed, ...]

    @property
    def changed(self) -> list[Deed]:
        """The deeds that did something."""
        return [deed for deed in self.deeds if deed.count]


def apply_plan(source: Source, plan: DataPlan, stream: BinaryIO) -> Outcome:
    """Write the rows of `source` as JSON lines to the empty `stream`, which can be read again.

    DatasetError, with the first ten places, when rows are bad and the plan does not say what to do.
    """
    treatment = Treatment(plan, source.name, source.unit)
    hashes, places = Hashes(), RowPlaces()
    collecting = gc.isenabled()
    gc.disable()  # rows hold no cycles, and walking them over and over costs a tenth of the time
    try:
        shape = _write_rows(source.batches(), treatment, hashes, places, stream)
    finally:
        if collecting:
            gc.enable()
    if treatment.bad.bad:
        raise treatment.bad.error()
    left_out = 0
    for fix in treatment.choices:
        left_out += _choose(fix, treatment.deeds[fix.CODE], hashes, places, stream)
    if left_out:
        leave_out(stream, hashes)
    rows = treatment.rows - left_out
    if not rows:
        raise DatasetError(f"{source.name}: no row is left", hint=_advise(treatment.deeds.values()))
    deeds = sorted(treatment.deeds.values(), key=lambda deed: _ORDER.index(deed.code))
    return Outcome(rows, shape, tuple(deeds))


def _advise(deeds: Iterable[Deed]) -> str:
    """What to do where no row is left: a fix may be left out where one left rows out."""
    taken = [
        deed.check or deed.code
        for deed in deeds
        if deed.count and issubclass(FIXES[deed.code], RowFilter | Choice | DropBadRows)
    ]
    if not taken:
        return "The source holds no rows; `ftops data check` says what it holds."
    return f"Leave a fix out, such as with --skip {taken[0]}."


def _write_rows(
    batches: Batches, treatment: Treatment, hashes: Hashes, places: RowPlaces, stream: BinaryIO
) -> RowFormat:
    """All rows but those that bad ones make useless; their shape."""
    wants_questions = any(fix.QUESTIONS for fix in treatment.choices)
    shape = RowFormat.COMPLETION
    for batch in batches:
        portion = treatment.treat(batch)
        shape = portion.format
        if treatment.bad.bad:
            continue  # nothing will come of it: only what is wrong is still looked for
        stream.write(b"".join(render_lines(portion)))
        if treatment.choices:
            places.add(portion.places)
            hashes.rows.extend(hash_rows(portion))
            if wants_questions:
                hashes.questions.extend(hash_questions(portion))
    return shape


def treat_early(source: Source, plan: DataPlan) -> Source:
    """The source as the checks see it once the plan's fixes are done; its faults stay in it."""

    def read() -> Batches:
        treatment = Treatment(plan, source.name, source.unit)
        return map(treatment.treat_early, source.batches())

    return replace(source, batches=read, plain=None)


def render_lines(portion: Portion) -> Iterable[bytes]:
    """Each row as a line of JSON."""
    if portion.format is RowFormat.COMPLETION:
        return [
            orjson.dumps({"prompt": prompt, "completion": completion}, option=_NEWLINE)
            for prompt, completion in zip(portion.prompts, portion.completions, strict=True)
        ]
    return [orjson.dumps(raw, option=_NEWLINE) for raw in portion.raws]


def hash_rows(portion: Portion) -> Iterable[int]:
    """A number for each row, the same for equal rows within one process."""
    if portion.format is RowFormat.COMPLETION:
        columns = map(to_nfc, portion.prompts), map(to_nfc, portion.completions)
        return map(hash, zip(*columns, strict=True))
    return list(map(_hash_json, map(number_calls, portion.raws)))


def _hash_json(value: object) -> int:
    return hash(json_to_nfc(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)))


def hash_questions(portion: Portion) -> Iterable[int]:
    """A number for what is asked in each row."""
    if portion.format is RowFormat.COMPLETION:
        return map(hash, map(to_nfc, portion.prompts))
    return [_hash_json(_asked(raw)) for raw in map(number_calls, portion.raws)]


def _asked(raw: JsonObject) -> object:
    if "input" in raw:
        return raw["input"]
    return {**raw, "messages": cast("list[Json]", raw["messages"])[:-1]}


def _choose(fix: Choice, deed: Deed, hashes: Hashes, places: RowPlaces, stream: BinaryIO) -> int:
    """Let the fix choose, and note what it did with the first rows that go."""
    hashes.first = []
    deed.count = fix.choose(hashes)
    if hashes.first:
        stream.seek(0)
        wanted = set(hashes.first)
        for number, line in enumerate(islice(stream, hashes.first[-1] + 1)):
            if number in wanted:
                deed.note(places.of(number), line.decode().rstrip("\n"), None)
    return deed.count


def leave_out(stream: BinaryIO, hashes: Hashes) -> None:
    """Take the lines of the rows that are left out out of the file, in its own place."""
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
        kept = [line for line, row in zip(lines, chosen, strict=True) if row != LEFT_OUT]
        if kept:
            stream.seek(write_at)
            write_at += stream.write(b"\n".join(kept) + b"\n")
    stream.seek(write_at)
    stream.truncate()
