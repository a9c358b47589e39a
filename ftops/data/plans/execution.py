"""Carries a plan out: one pass over the data, and a second over what was written if rows go.

The same plan and data always give the same bytes. Beside a batch of rows, memory holds 8 bytes a
row where duplicates are left out, and 16 where there is a vote.
"""

import gc
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import BinaryIO, cast

import orjson

from ftops.data.checks.duplicates import Places
from ftops.data.fixes.fix import LEFT_OUT, Choice, Hashes, Portion, RowFilter
from ftops.data.fixes.records import DropBadRows
from ftops.data.fixes.registry import FIXES
from ftops.data.plans.treatment import Deed, Treatment
from ftops.data.reading.batches import Batches
from ftops.data.reading.source import Source
from ftops.errors import DatasetError
from ftops.records import DataPlan, Json, RowFormat
from ftops.rows.messages import JsonObject
from ftops.rows.tools import number_calls
from ftops.text import json_to_nfc, to_nfc

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
    hashes, places = Hashes(), Places()
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
    batches: Batches, treatment: Treatment, hashes: Hashes, places: Places, stream: BinaryIO
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


def _choose(fix: Choice, deed: Deed, hashes: Hashes, places: Places, stream: BinaryIO) -> int:
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
