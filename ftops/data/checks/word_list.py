"""Words of a list that the user hands in; what is offensive, and where, is for him to say."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import ClassVar, Self

from ftops.data.batch_parser import TEXT_SEPARATOR, RowBatch
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
from ftops.data.screening.word_list import normalize_text, open_search

_SHOWN_WORDS = 3
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


class WordMatches(Check):
    """Looks for all words in the texts of a batch at once, since most hold none."""

    RULES = (LISTED_WORDS,)
    OPTIONAL: ClassVar[str] = "word-list"

    def __init__(self, profile: DatasetProfile) -> None:
        self._words = profile.words
        self._rows = Occurrences()
        self._languages: dict[str, Occurrences] = {}
        self._counts: dict[str, int] = {}  # rows of each word

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
        """The number of the text and of the entry, for each word found."""
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
