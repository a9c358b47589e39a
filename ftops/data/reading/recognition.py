"""Which layout the records of a source have, and what is said about it.

A file is recognised once, by its first records; each later row is read by the layout that was
found, and what does not fit it is a row error of that row.
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
# They change what a row teaches: no option leaves them out.
_MEANING_KEYS = frozenset(
    {"image", "images", "video", "videos", "audio", "audios", "label", "labels", "kto_tag", "tools",
     "functions", "system", "history", "chosen", "rejected", "weight", "weights", "messages",
     "conversations"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecognizedLayout:
    """The layout of a source's first records, and the filled keys that it has no place for.

    `names` are all keys of the records, each as it is written there.
    """

    layout: Layout
    names: Mapping[str, str]
    extra: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the rows are, with those keys of the layout that they have."""
        layout = self.layout
        keys = [key for key in (*layout.required, *layout.optional) if key in self.names]
        return f"{layout.title} ({', '.join(self.names[key] for key in keys)})"

    @property
    def columns(self) -> str:
        """The options that name the same columns; "" where none do."""
        return self.layout.name_columns(self.names)

    @property
    def unused(self) -> list[str]:
        """Keys that say nothing that is trained on."""
        unused = self.layout.unused
        return [key for key in self.extra if key in unused or is_metadata(key)]

    @property
    def unknown(self) -> list[str]:
        """Keys of which only the user knows whether they may be left out."""
        return [key for key in self.extra if key not in self.unused]

    @property
    def refused(self) -> list[str]:
        """Keys that must not be left out."""
        return [key for key in self.unknown if key in _MEANING_KEYS]


def get_layout(name: str) -> Layout:
    """The layout of that name; DatasetError, with the nearest, for any other."""
    found = BY_NAME.get(name)
    if found is None or (found.read is None and not found.kept):
        known = [layout.name for layout in LAYOUTS if layout.read]
        near = find_nearest(name, known)
        raise DatasetError(
            f"there is no layout {name!r} that is read",
            hint=f"Did you mean {near!r}?" if near else f"The layouts are {', '.join(known)}.",
        )
    return found


def recognize_layout(
    records: Sequence[object], wanted: Layout | None = None
) -> RecognizedLayout | None:
    """The layout that most of the records have, or the `wanted` one.

    None for none that is known, and for rows that stand there as they are trained on.
    Keys that hold nothing in any record (a data frame fills them with null) do not count.
    """
    stood = [cast(JsonObject, one) for one in records if isinstance(one, dict)]
    rows = [lowercase_keys(one) for one in stood]
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
        for raw, row in zip(stood, rows, strict=True)
        for plain, key in zip(row, raw, strict=True)
    }
    return RecognizedLayout(wanted, names, tuple(extra))


def _list_candidates(record: JsonObject) -> list[Layout]:
    return [layout for layout in LAYOUTS if layout.required.keys() <= record.keys()]


def match_layout(record: JsonObject, candidates: Sequence[Layout] = LAYOUTS) -> Layout | None:
    """The layout that accounts for the most keys of the record; None when none fits."""
    best, most = None, 0
    filled = [key for key, value in record.items() if value not in EMPTY] if candidates else ()
    for layout in candidates:
        if layout.fits(record):
            covered = len(layout.keys.intersection(filled))
            if covered > most:
                best, most = layout, covered
    return best


def lowercase_keys(record: JsonObject) -> JsonObject:
    """The record with its keys in lower case, where they stay different ones."""
    if all(key.islower() or key in _CASED_KEYS for key in record):
        return record
    lower = {key if key in _CASED_KEYS else key.strip().lower(): one for key, one in record.items()}
    return lower if len(lower) == len(record) else record


_CASED_KEYS = frozenset(key for layout in LAYOUTS for key in layout.keys if not key.islower())


def choose_layout(
    name: str, records: Sequence[object], wanted: str | None
) -> RecognizedLayout | None:
    """The layout by which the source `name` is read; None where its rows are read as they stand.

    `wanted` is what the user said: a layout's name, AUTO, AS_IS, or None when nothing was said.
    DatasetError where a layout is recognised that is not read without a word of the user, or not
    read at all: the message names its keys, and the option that reads it.
    """
    if wanted == AS_IS:
        return None
    asked = get_layout(wanted) if wanted not in (None, AUTO) else None
    found = recognize_layout(records, asked)
    if found is None:
        return None
    layout, title = found.layout, found.title
    or_columns = f"; or name the columns: {found.columns}" if found.columns else ""
    if layout.read is None or (layout.asked_only and asked is None):
        raise DatasetError(f"{name}: {title} are not read: {layout.why}", hint=layout.hint)
    if found.refused:
        raise DatasetError(
            f"{name}: {title} with {_list(found.refused)}, and nothing is made of that:"
            f" {layout.becomes}",
            hint=f"Take {_list(found.refused)} out of the rows{or_columns}.",
        )
    if asked is None and found.unknown:
        raise DatasetError(
            f"{name}: {title} with {_list(found.unknown)}, which nothing is made of:"
            f" {layout.becomes}",
            hint=f"`--layout {layout.name}` reads them and leaves {_list(found.unknown)} out"
            f" (in a job file `prepare: {{layout: {layout.name}}}`){or_columns}.",
        )
    if wanted is None:
        raise DatasetError(
            f"{name}: {title}, and it is not said that they are to be read so: {layout.becomes}",
            hint=f"Add `prepare: {{layout: {layout.name}}}` to the job file; `ftops init {name}`"
            f" writes one with it{or_columns}.",
        )
    return found


def _list(keys: Sequence[str]) -> str:
    return ", ".join(map(quote, keys[:8])) + (", …" if len(keys) > 8 else "")


def describe_layout(found: RecognizedLayout) -> list[str]:
    """What is said about how a source is read."""
    layout = found.layout
    ways = " or ".join(filter(None, (f"--layout {layout.name}", found.columns)))
    said = [f"{layout.title}: {layout.becomes} ({ways})"]
    left = [*found.unused, *found.unknown]
    return said + ([f"not used: {_list(left)}"] if left else [])


def create_row_mapper(found: RecognizedLayout) -> RowMapper:
    """What turns a record of the layout into a row; InvalidRow where the record does not fit it.

    A filled key that the first records do not have, so that nothing was said about it, is not
    left out either.
    """
    layout, read = found.layout, found.layout.read
    assert read is not None
    known = layout.keys | {*found.extra}

    def make(record: JsonObject) -> JsonObject:
        plain = lowercase_keys(record)
        for key, kinds in layout.required.items():
            value = plain.get(key)
            if value is None:
                code = "null-value" if key in plain else "missing-key"
                raise InvalidRow(f"{key} is {'null' if key in plain else 'missing'}", code)
            if not isinstance(value, kinds):
                raise InvalidRow(f"{key} is {describe_type(value)}", "not-text")
        for key, one in plain.items():
            if key not in known and one not in EMPTY and not is_metadata(key):
                raise InvalidRow(
                    f"{quote(key)} stands there, and nothing is made of it", "unexpected-key"
                )
        return read(plain)

    return make


def suggest_columns(record: object) -> str:
    """Options that name two columns of a record without any key that rows have; "" for none.

    An example for people: what is read is never guessed.
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
    """The columns that are probably prompt and completion, for an example."""
    return _guess(columns, _ASKED, 0), _guess(columns, _ANSWERED, -1)


def _guess(columns: Sequence[str], names: Sequence[str], otherwise: int) -> str:
    for name in names:
        for column in columns:
            if name in column.lower():
                return column
    return columns[otherwise]
