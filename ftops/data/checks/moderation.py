"""Checks for rows that a moderation endpoint flags, or that contain words of the user's list.

Findings do not show the texts of flagged rows.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import ClassVar, Self, TypeAlias, cast

from ftops.data.batch_parser import TEXT_SEPARATOR, BatchParser, RowBatch
from ftops.data.checks.check import Check, CheckContext
from ftops.data.findings import (
    Finding,
    Occurrences,
    Rule,
    Severity,
    create_finding,
    format_occurrences,
    format_rows,
)
from ftops.data.profile import DatasetProfile
from ftops.data.reading.source import Source
from ftops.data.screening.word_list import normalize_text, open_search
from ftops.records import RowFormat
from ftops.rows.formats import COMPLETION, OUTPUTS, PREFERENCE
from ftops.rows.messages import JsonObject, message_text

FLAGGED = Rule(
    "flagged-content", Severity.WARNING, "content flagged by moderation",
    "With `--moderate`, the texts of the rows are sent to the provider's moderation endpoint, which"
    " returns categories such as violence or harassment. Each text of a row is checked: prompt,"
    " messages, completion, both answers of a preference; names and tool calls are not sent. A"
    " provider that flags such rows may reject the data, or the trained model after you paid for"
    " the training. A text that passes may still be rejected after the training.",
    "Read these rows and remove harmful content; a text that only describes harm can stay.",
)  # fmt: skip
LISTED_WORDS = Rule(
    "listed-words", Severity.WARNING, "words of your list",
    "With `--word-list FILE`, prompts, completions and messages are searched for the words and"
    " phrases of a text file: one per line; `# language: de` names the language of the following"
    " lines, other lines that start with # are comments. ftops ships no list, because what offends"
    " depends on the language, the place and the readers. Matches are whole words, in any case and"
    " width; text written without spaces (Chinese, Japanese, Thai) matches anywhere, Korean at the"
    " start of a word. A match says little about the meaning: a text without any can be harmful,"
    " and a text that quotes one can be what the model should learn.",
    "Read these rows and remove what the model must not say: `ftops data sample --annotate` with"
    " drop.",
)  # fmt: skip
_SHOWN_WORDS = 3

# The categories of each row, from all of its texts.
Moderate: TypeAlias = Callable[[Iterable[Sequence[str]]], list[frozenset[str]]]


def check_moderation(source: Source, moderate: Moderate) -> Iterator[Finding]:
    """Findings for the flagged rows of a source, which is read once, a batch at a time."""
    rows = Occurrences()
    categories: dict[str, Occurrences] = {}
    parser = BatchParser(unit=source.unit)
    for batch in source.batches():
        parsed = parser.parse(batch)
        texts = map(list_row_texts, [parsed.format] * len(parsed.raws), parsed.raws)
        _count(parsed, moderate(texts), rows, categories)
    if rows.count:
        ranked = sorted(categories.items(), key=lambda item: (-item[1].count, item[0]))
        shown = ", ".join(format_occurrences(name, seen, source.unit) for name, seen in ranked)
        yield create_finding(FLAGGED, f"{format_rows(rows.count)}: {shown}", rows)


def list_row_texts(format: RowFormat, raw: JsonObject) -> list[str]:
    """All texts of a valid row."""
    if format is COMPLETION:
        return [cast(str, raw["prompt"]), cast(str, raw["completion"])]
    if format is PREFERENCE:
        messages = list(cast("dict[str, list[JsonObject]]", raw["input"])["messages"])
        for key in OUTPUTS:
            messages += cast("list[JsonObject]", raw[key])
    else:
        messages = cast("list[JsonObject]", raw["messages"])
    return [message_text(message) for message in messages]


def _count(
    batch: RowBatch,
    verdicts: list[frozenset[str]],
    rows: Occurrences,
    categories: dict[str, Occurrences],
) -> None:
    for place, names in zip(batch.places, verdicts, strict=True):
        if names:
            rows.add(place)
        for name in names:
            categories.setdefault(name, Occurrences()).add(place)


class WordMatches(Check):
    """Searches all texts of a batch at once for all words, since most texts contain none."""

    RULES = (LISTED_WORDS,)
    OPTIONAL: ClassVar[str] = "word-list"

    def __init__(self, profile: DatasetProfile) -> None:
        self._words = profile.words
        self._rows = Occurrences()
        self._languages: dict[str, Occurrences] = {}
        self._counts: dict[str, int] = {}  # rows per word

    def add(self, batch: RowBatch) -> None:
        found: set[tuple[int, int]] = set()
        for column in (batch.prompts, batch.completions, batch.others):
            if column:
                found.update(self._look(column))
        languages: dict[str, set[int]] = {}
        for row, index in found:
            language, word = self._words.entries[index]
            languages.setdefault(language, set()).add(row)
            self._counts[word] = self._counts.get(word, 0) + 1
        for row in sorted({row for row, _ in found}):
            self._rows.add(batch.places[row])
        for language, rows in languages.items():
            seen = self._languages.setdefault(language, Occurrences())
            for row in sorted(rows):
                seen.add(batch.places[row])

    def _look(self, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
        """The number of the text and of the entry, for each match."""
        plain = list(map(normalize_text, texts))
        ends = list(accumulate(len(text) + len(TEXT_SEPARATOR) for text in plain))
        for place, index in open_search(self._words).find(TEXT_SEPARATOR.join(plain)):
            yield bisect_right(ends, place), index

    def merge(self, later: Self, shift: int) -> None:
        self._rows.merge(later._rows, shift)
        for language, seen in later._languages.items():
            self._languages.setdefault(language, Occurrences()).merge(seen, shift)
        for word, count in later._counts.items():
            self._counts[word] = self._counts.get(word, 0) + count

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        if not self._rows.count:
            return
        ranked = sorted(self._languages.items(), key=lambda one: (-one[1].count, one[0]))
        shown = ", ".join(
            format_occurrences(language, seen, context.unit) for language, seen in ranked
        )
        often = sorted(self._counts, key=lambda word: (-self._counts[word], word))
        words = ", ".join(f"{word!r} {self._counts[word]:,}" for word in often[:_SHOWN_WORDS])
        more = ", …" if len(often) > _SHOWN_WORDS else ""
        text = f"{format_rows(self._rows.count)}: {shown}; {words}{more}"
        yield create_finding(LISTED_WORDS, text, self._rows)
