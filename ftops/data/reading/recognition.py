"""Detects the layout of the records of a source.

The first records of a file decide its layout; a later record that does not fit it is a row error.
"""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ftops.data.keys import is_metadata
from ftops.data.reading.columns import RowMapper
from ftops.data.reading.layouts import BY_NAME, EMPTY, LAYOUTS, TEXT, Layout
from ftops.data.reading.options import AS_IS, AUTO
from ftops.errors import DatasetError
from ftops.rows.formats import ROW_KEYS
from ftops.rows.messages import InvalidRow, JsonObject, describe_type, quote
from ftops.text import find_nearest

SAMPLED_RECORDS = 200
# Keys with training data: no option drops them.
_MEANING_KEYS = frozenset(
    {"image", "images", "video", "videos", "audio", "audios", "label", "labels", "kto_tag", "tools",
     "functions", "system", "history", "chosen", "rejected", "weight", "weights", "messages",
     "conversations"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecognizedLayout:
    """The layout of a source's first records; `extra` are filled keys outside it.

    `names` maps each key in lower case to its spelling in the records.
    """

    layout: Layout
    names: Mapping[str, str]
    extra: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The title of the layout, with its keys in the rows."""
        layout = self.layout
        keys = [key for key in (*layout.required, *layout.optional) if key in self.names]
        return f"{layout.title} ({', '.join(self.names[key] for key in keys)})"

    @property
    def columns(self) -> str:
        """The options that name the same columns; "" if no options do."""
        return self.layout.name_columns(self.names)

    @property
    def unused(self) -> list[str]:
        """Keys that are not training data."""
        unused = self.layout.unused
        return [key for key in self.extra if key in unused or is_metadata(key)]

    @property
    def unknown(self) -> list[str]:
        """Keys that only the user can drop."""
        return [key for key in self.extra if key not in self.unused]

    @property
    def refused(self) -> list[str]:
        """Keys that must not be dropped."""
        return [key for key in self.unknown if key in _MEANING_KEYS]


def get_layout(name: str) -> Layout:
    """The layout of that name; DatasetError, with the nearest name, for an unknown one."""
    layout = BY_NAME.get(name)
    if layout is None or (layout.read is None and not layout.kept):
        known = [each.name for each in LAYOUTS if each.read]
        near = find_nearest(name, known)
        raise DatasetError(
            f"unknown layout {name!r}",
            hint=f"Did you mean {near!r}?" if near else f"Layouts: {', '.join(known)}.",
        )
    return layout


def recognize_layout(
    records: Sequence[object], wanted: Layout | None = None
) -> RecognizedLayout | None:
    """The layout that most of the records have, or the `wanted` one.

    None for an unknown layout, and for rows in a training format. Keys that are empty in every
    record (a data frame fills them with null) do not count.
    """
    objects = [cast(JsonObject, record) for record in records if isinstance(record, dict)]
    rows = [lowercase_keys(record) for record in objects]
    if wanted is None:
        known: dict[tuple[str, ...], list[Layout]] = {}  # most records have the same keys
        layouts = [
            match_layout(row, known.get(keys) or known.setdefault(keys, _list_candidates(row)))
            for row, keys in zip(rows, map(tuple, rows), strict=True)
        ]
        counts = Counter(layout.name for layout in layouts if layout)
        if not counts:
            return None
        wanted = BY_NAME[counts.most_common(1)[0][0]]
        if wanted.wider in counts:
            wanted = BY_NAME[wanted.wider]
    if wanted.kept:
        return None
    carried = {*wanted.required, *wanted.optional}
    extra = dict.fromkeys(
        key
        for row in rows
        for key, value in row.items()
        if key not in carried and value not in EMPTY and wanted.fits(row)
    )
    names = {
        plain: key
        for raw, row in zip(objects, rows, strict=True)
        for plain, key in zip(row, raw, strict=True)
    }
    return RecognizedLayout(wanted, names, tuple(extra))


def _list_candidates(record: JsonObject) -> list[Layout]:
    return [layout for layout in LAYOUTS if layout.required.keys() <= record.keys()]


def match_layout(record: JsonObject, candidates: Sequence[Layout] = LAYOUTS) -> Layout | None:
    """The layout with the most keys of the record; None if no layout fits."""
    best, most = None, 0
    filled = [key for key, value in record.items() if value not in EMPTY] if candidates else ()
    for layout in candidates:
        if layout.fits(record):
            covered = len(layout.keys.intersection(filled))
            if covered > most:
                best, most = layout, covered
    return best


def lowercase_keys(record: JsonObject) -> JsonObject:
    """The record with its keys in lower case, unless two of them become equal."""
    if all(key.islower() or key in _CASED_KEYS for key in record):
        return record
    lower = {
        key if key in _CASED_KEYS else key.strip().lower(): value for key, value in record.items()
    }
    return lower if len(lower) == len(record) else record


_CASED_KEYS = frozenset(key for layout in LAYOUTS for key in layout.keys if not key.islower())


def choose_layout(
    name: str, records: Sequence[object], wanted: str | None
) -> RecognizedLayout | None:
    """The layout of the source `name`; None if its rows are read as they are.

    `wanted` is the user's choice: a layout's name, AUTO, AS_IS, or None without one.
    DatasetError if the detected layout needs the user's choice or is not supported: the message
    names its keys, and the hint the option that reads it.
    """
    if wanted == AS_IS:
        return None
    asked = get_layout(wanted) if wanted not in (None, AUTO) else None
    recognized = recognize_layout(records, asked)
    if recognized is None:
        return None
    layout, title = recognized.layout, recognized.title
    or_columns = f"; or name the columns: {recognized.columns}" if recognized.columns else ""
    if layout.read is None or (layout.asked_only and asked is None):
        raise DatasetError(f"{name}: {title} are not supported: {layout.why}", hint=layout.hint)
    if recognized.refused:
        raise DatasetError(
            f"{name}: {title} with {_list(recognized.refused)}, which would be lost:"
            f" {layout.becomes}",
            hint=f"Remove {_list(recognized.refused)} from the rows{or_columns}.",
        )
    if asked is None and recognized.unknown:
        raise DatasetError(
            f"{name}: {title} with {_list(recognized.unknown)}, which would be dropped:"
            f" {layout.becomes}",
            hint=f"`--layout {layout.name}` reads them and drops {_list(recognized.unknown)}"
            f" (in a job file `prepare: {{layout: {layout.name}}}`){or_columns}.",
        )
    if wanted is None:
        raise DatasetError(
            f"{name}: {title}, but the job file has no `prepare.layout`: {layout.becomes}",
            hint=f"Add `prepare: {{layout: {layout.name}}}` to the job file; `ftops init {name}`"
            f" writes one with it{or_columns}.",
        )
    return recognized


def _list(keys: Sequence[str]) -> str:
    return ", ".join(map(quote, keys[:8])) + (", …" if len(keys) > 8 else "")


def describe_layout(recognized: RecognizedLayout) -> list[str]:
    """Lines that describe how a source is read."""
    layout = recognized.layout
    ways = " or ".join(filter(None, (f"--layout {layout.name}", recognized.columns)))
    lines = [f"{layout.title}: {layout.becomes} ({ways})"]
    left = [*recognized.unused, *recognized.unknown]
    return lines + ([f"not used: {_list(left)}"] if left else [])


def create_row_mapper(recognized: RecognizedLayout) -> RowMapper:
    """The function that converts a record to a row; InvalidRow if the record does not fit.

    A non-empty key that the first records do not have is also an error, since it was not reported.
    """
    layout, read = recognized.layout, recognized.layout.read
    assert read is not None
    known = layout.keys | {*recognized.extra}

    def convert(record: JsonObject) -> JsonObject:
        plain = lowercase_keys(record)
        for key, kinds in layout.required.items():
            value = plain.get(key)
            if value is None:
                code = "null-value" if key in plain else "missing-key"
                raise InvalidRow(f"{key} is {'null' if key in plain else 'missing'}", code)
            if not isinstance(value, kinds):
                raise InvalidRow(f"{key} is {describe_type(value)}", "not-text")
        for key, value in plain.items():
            if key not in known and value not in EMPTY and not is_metadata(key):
                raise InvalidRow(f"{quote(key)} is not a key of the layout", "unexpected-key")
        return read(plain)

    return convert


def suggest_columns(record: object) -> str:
    """Example options that name two columns of a record without any row key; "" for none.

    Only a hint: columns are never guessed.
    """
    if not isinstance(record, dict) or not ROW_KEYS.isdisjoint(record):
        return ""
    texts = [key for key, value in record.items() if isinstance(value, TEXT)]
    if len(texts) < 2:
        return ""
    prompt, completion = guess_columns(texts)
    return f"--prompt {shlex.quote(f'{{{prompt}}}')} --completion {shlex.quote(completion)}"


_ASKED = ("prompt", "question", "instruction", "input", "text", "sentence", "query", "title")
_ANSWERED = (
    "completion", "answer", "response", "reply", "output", "label", "class", "category", "relation",
)  # fmt: skip


def guess_columns(columns: Sequence[str]) -> tuple[str, str]:
    """The columns that are probably prompt and completion."""
    return _guess(columns, _ASKED, 0), _guess(columns, _ANSWERED, -1)


def _guess(columns: Sequence[str], names: Sequence[str], otherwise: int) -> str:
    for name in names:
        for column in columns:
            if name in column.lower():
                return column
    return columns[otherwise]
