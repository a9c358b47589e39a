"""Turns parsed records into valid rows and row errors, a batch at a time.

A batch of completion rows is validated by columns, and row by row only after a failure. Each string
of a row has two quotes, so the number of quotes reveals duplicate keys.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import compress
from operator import add, itemgetter, sub
from typing import Any, cast

import orjson

from ftops.data.keys import check_placeholders, classify_unexpected, may_hold_placeholder
from ftops.data.reading.batch import Batch, RowError
from ftops.data.reading.json_text import read_literally
from ftops.records import RowFormat
from ftops.rows.formats import (
    COMPLETION,
    OUTPUTS,
    PREFERENCE,
    check_format,
    check_row_without_nulls,
)
from ftops.rows.json_values import count_quotes, duplicate_reason, has_nul
from ftops.rows.messages import InvalidRow, JsonObject, UnexpectedKeys, message_text
from ftops.rows.tools import answer_text, number_calls, write_tools
from ftops.text import all_to_nfc, json_to_nfc, to_nfc

_PAIRS = (None, COMPLETION)
_PAIR = itemgetter("prompt", "completion")
TEXT_SEPARATOR = "\x1e"  # between joined texts
_TWICE_BYTES = len('{"prompt":"","completion":""}') + len('"prompt":0,')


def _lengths(texts: Sequence[str]) -> list[int]:
    return list(map(len, texts))


@dataclass(slots=True)
class RowBatch:
    """Valid rows of one format, and the errors among them.

    For chats, the prompt is the text of all messages except the last, and the completion is the
    text of the last; tool calls count as text. For preferences, the completion is the preferred
    answer, and `others` has the other answers; `others` is empty for other formats.
    """

    format: RowFormat
    raws: list[JsonObject]
    places: Sequence[int]
    prompts: Sequence[str]
    completions: Sequence[str]
    row_errors: list[RowError] = field(default_factory=list)
    others: Sequence[str] = ()
    pairs: Sequence[tuple[str, str]] = ()  # prompts with completions, if already built
    _kept: dict[str, Any] = field(default_factory=dict)  # values shared by several checks

    def prompt_text(self) -> str:
        """All prompts, joined by U+001E, for one search over all."""
        return cast(str, self._keep("prompt text", TEXT_SEPARATOR.join, self.prompts))

    def completion_text(self) -> str:
        """All completions, joined by U+001E."""
        return cast(str, self._keep("completion text", TEXT_SEPARATOR.join, self.completions))

    def prompt_lengths(self) -> list[int]:
        """The length of each prompt in characters."""
        return cast("list[int]", self._keep("prompt lengths", _lengths, self.prompts))

    def completion_lengths(self) -> list[int]:
        """The length of each completion in characters."""
        return cast("list[int]", self._keep("completion lengths", _lengths, self.completions))

    def row_lengths(self) -> list[int]:
        """The length of each prompt with its completion."""
        lengths = self.prompt_lengths(), self.completion_lengths()
        return cast(
            "list[int]", self._keep("row lengths", lambda pair: list(map(add, *pair)), lengths)
        )

    def prompts_in_nfc(self) -> Sequence[str]:
        """The prompts in NFC; `prompts` itself if nothing changes."""
        return self._in_nfc("prompts in NFC", self.prompts, self.prompt_text())

    def completions_in_nfc(self) -> Sequence[str]:
        """The completions in NFC; `completions` itself if nothing changes."""
        return self._in_nfc("completions in NFC", self.completions, self.completion_text())

    def _in_nfc(self, name: str, texts: Sequence[str], joined: str) -> Sequence[str]:
        if joined.isascii():
            return texts
        return cast("Sequence[str]", self._keep(name, partial(all_to_nfc, joined=joined), texts))

    def _keep(self, name: str, make: Callable[[Any], object], of: object) -> Any:
        if name not in self._kept:
            self._kept[name] = make(of)
        return self._kept[name]

    def row_hashes(self) -> Iterable[int]:
        """A hash for each row, equal for equal rows within one process."""
        if self.format is COMPLETION:
            prompts, completions = self.prompts_in_nfc(), self.completions_in_nfc()
            same = prompts is self.prompts and completions is self.completions
            return map(
                hash, self.pairs if same and self.pairs else zip(prompts, completions, strict=True)
            )
        numbered = map(number_calls, self.raws)
        return [
            hash(json_to_nfc(orjson.dumps(raw, option=orjson.OPT_SORT_KEYS))) for raw in numbered
        ]

    def question_hashes(self) -> Iterable[int]:
        """A hash for the question of each row; different rows with the same question contradict.

        The question of a preference is its prompt with both answers in any order: the same two
        answers must have the same ranking. The question of a chat includes its tools.
        """
        prompts = self.prompts_in_nfc()
        if self.format is COMPLETION:
            return map(hash, prompts)
        if self.format is not PREFERENCE:
            offered = (tuple(write_tools(raw).values()) for raw in self.raws)
            return map(hash, zip(prompts, offered, strict=True))
        pairs = zip(self.completions_in_nfc(), map(to_nfc, self.others), strict=True)
        return map(hash, zip(prompts, map(frozenset, pairs), strict=True))

    def digests(self) -> tuple[bytes, bytes]:
        """8 bytes for the question of each row, and 8 for each row; the same in every process."""
        questions, completions = self.prompts_in_nfc(), self.completions_in_nfc()
        if self.format is PREFERENCE:
            pairs = map(sorted, zip(completions, map(to_nfc, self.others), strict=True))
            questions = [
                TEXT_SEPARATOR.join((question, *pair))
                for question, pair in zip(questions, pairs, strict=True)
            ]
        rows = map(f"{{}}\n{TEXT_SEPARATOR}{{}}".format, questions, completions)
        return b"".join(map(digest_text, questions)), b"".join(map(digest_text, rows))


def digest_text(text: str) -> bytes:
    """8 bytes that depend on nothing but the text."""
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()


class BatchParser:
    """Parses batches into rows of one format: that of the first row, or `expected`."""

    def __init__(self, expected: RowFormat | None = None, unit: str = "line") -> None:
        self.format = expected
        self._unit = unit
        self._first = 0  # the place of the first row, if that row sets the format

    def parse(self, batch: Batch) -> RowBatch:
        """The valid rows of a batch; row errors of reading stay row errors."""
        if self.format in _PAIRS and batch.values:
            rows = _take_pairs(batch)
            if rows is not None:
                if self.format is None:
                    self.format, self._first = COMPLETION, batch.places[0]
                return rows
        return self._parse_each(batch)

    def _describe_mixed(self, row_format: RowFormat) -> str:
        if not self._first:
            return f"a {row_format} row among {self.format} rows"
        return f"a {row_format} row; {self._unit} {self._first} began with {self.format} rows"

    def _parse_each(self, batch: Batch) -> RowBatch:
        raws: list[JsonObject] = []
        places: list[int] = []
        row_errors = batch.row_errors
        for index, (value, place) in enumerate(zip(batch.values, batch.places, strict=True)):
            try:
                line = batch.lines[index] if batch.lines is not None else b""
                row = cast(JsonObject, value)
                try:
                    row_format, strings = check_format(value)
                except InvalidRow:
                    row, row_format, strings = check_row_without_nulls(value)
                check_placeholders(row, row_format)
                if line and count_quotes(line) != 2 * strings:
                    raise InvalidRow(duplicate_reason(line), "duplicate-key")
                if has_nul(value):
                    raise InvalidRow("it holds the character U+0000", "nul-character")
                if self.format is None:
                    self.format, self._first = row_format, place
                elif row_format is not self.format:
                    raise InvalidRow(self._describe_mixed(row_format), "mixed-formats")
            except InvalidRow as problem:
                error = problem
                if isinstance(problem, UnexpectedKeys):
                    error = classify_unexpected(problem)
                record = value
                if error.code == "not-text" and batch.lines is not None:
                    record = read_literally(batch.lines[index])
                row_errors.append(RowError(place, error.code, str(error), record=record))
            else:
                raws.append(row)
                places.append(place)
        row_errors.sort(key=lambda row_error: row_error.place)
        return gather_rows(self.format or COMPLETION, raws, places, row_errors)


def gather_rows(
    format: RowFormat,
    raws: list[JsonObject],
    places: Sequence[int],
    row_errors: list[RowError] | None = None,
) -> RowBatch:
    """The batch of these valid rows of one format."""
    row_errors = row_errors or []
    if format is COMPLETION:
        prompts = [cast(str, raw["prompt"]) for raw in raws]
        completions = [cast(str, raw["completion"]) for raw in raws]
    elif format is PREFERENCE:
        return _gather_preferences(raws, places, row_errors)
    else:
        chats = [cast("list[JsonObject]", raw["messages"]) for raw in raws]
        prompts = ["\n".join(map(answer_text, chat[:-1])) for chat in chats]
        completions = [answer_text(chat[-1]) for chat in chats]
    return RowBatch(format, raws, places, prompts, completions, row_errors)


def _gather_preferences(
    raws: list[JsonObject], places: Sequence[int], row_errors: list[RowError]
) -> RowBatch:
    chats = [cast("dict[str, list[JsonObject]]", raw["input"])["messages"] for raw in raws]
    prompts = ["\n".join(map(answer_text, chat)) for chat in chats]
    completions, others = (
        [message_text(cast("list[JsonObject]", raw[key])[0]) for raw in raws] for key in OUTPUTS
    )
    return RowBatch(PREFERENCE, raws, places, prompts, completions, row_errors, others)


def _take_pairs(batch: Batch) -> RowBatch | None:
    """The batch as rows if all of its records are valid pairs; else None."""
    values = batch.values
    if set(map(type, values)) != {dict} or set(map(len, cast("list[JsonObject]", values))) != {2}:
        return None
    raws = cast("list[JsonObject]", values)
    try:
        pairs = cast("list[tuple[str, str]]", list(map(_PAIR, raws)))
    except KeyError:
        return None
    prompts, completions = cast("Iterable[tuple[str, ...]]", zip(*pairs, strict=True))
    if set(map(type, prompts)) != {str} or set(map(type, completions)) != {str}:
        return None
    rows = RowBatch(
        COMPLETION, raws, batch.places, prompts, completions, batch.row_errors, pairs=pairs
    )
    if not all(rows.completion_lengths()):
        return None
    if may_hold_placeholder(rows.prompt_text()):
        return None
    if "\0" in rows.prompt_text() or "\0" in rows.completion_text():
        return None
    return rows if batch.lines is None or _keys_stand_once(batch.lines, rows) else None


def _keys_stand_once(lines: list[bytes], rows: RowBatch) -> bool:
    """Whether no row has a duplicate key.

    A duplicate key makes its line longer, as do escapes, white space and multi-byte characters.
    Only in such longer lines are the quotes counted.
    """
    extra = list(map(sub, map(len, lines), rows.row_lengths()))
    if max(extra) < _TWICE_BYTES:
        return True
    long = map(_TWICE_BYTES.__le__, extra)
    return all(count_quotes(line) == 8 for line in compress(lines, long))
