"""Compares training with validation data: leaked rows, and drift of lengths and vocabulary."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ftops.data.batch_parser import RowBatch
from ftops.data.check_set import CheckSet, get_common_shingles
from ftops.data.checks.check import Check
from ftops.data.checks.duplicates import NearDuplicates, RowPlaces, index_first
from ftops.data.checks.validation import LENGTH, NEARLY, PROMPTS, ROWS, VOCABULARY, Drift, Leaks
from ftops.data.findings import (
    SHOWN_PLACES,
    Finding,
    Occurrences,
    Rule,
    create_finding,
    format_rows,
)
from ftops.data.profile import PROFILED_ROWS, DatasetProfile
from ftops.data.reading.source import open_source
from ftops.data.rows import read_batches
from ftops.data.words import get_unknown_share, list_words

_SHOWN_LINES = 10
_ASKED = ("validation", "near-duplicates")
Wanted = TypeVar("Wanted", bound=Check)
_LEAST_ROWS = 50
_LENGTH_FACTOR, _LENGTH_CHARS = 2.0, 20
_WORDS_FACTOR, _WORDS_MORE = 1.5, 0.10


@dataclass(frozen=True, slots=True)
class LeakedRows:
    """The leaked lines of a file, and a message for each kind of leak."""

    lines: frozenset[int] = frozenset()
    sentences: tuple[str, ...] = ()

    def say(self, name: str) -> str:
        """A message about the file `name`."""
        shown = sorted(self.lines)[:_SHOWN_LINES]
        numbers = ", ".join(map(str, shown)) + (", …" if len(self.lines) > len(shown) else "")
        if len(self.lines) == 1:
            head = f"leak: 1 row of {name} is a training row: line {numbers}"
        else:
            head = f"leak: {len(self.lines):,} rows of {name} are training rows: lines {numbers}"
        return f"{head} ({'; '.join(self.sentences)})"


class LeakIndex:
    """Hashes and sketches of training rows, which are added a batch at a time."""

    def __init__(self) -> None:
        self._first: list[RowBatch] = []  # until the common shingles are known
        self._checks: CheckSet | None = None

    @classmethod
    def read(cls, path: Path) -> "LeakIndex":
        """The index of the rows of a file."""
        index = cls()
        for batch in read_batches(open_source(path)):
            index.add(batch)
        return index

    def add(self, batch: RowBatch) -> None:
        if self._checks is not None:
            self._checks.add(batch)
            return
        self._first.append(batch)
        if sum(len(first.raws) for first in self._first) >= PROFILED_ROWS:
            self.get_checks()

    def get_checks(self) -> CheckSet:
        """The checks of all rows."""
        if self._checks is None:
            profile = DatasetProfile(common=get_common_shingles(self._first))
            self._checks = _check_for_leaks(profile, self._first)
            self._first = []
        return self._checks


def _check_for_leaks(profile: DatasetProfile, batches: Iterable[RowBatch]) -> CheckSet:
    checks = CheckSet(profile, _ASKED, (Leaks, NearDuplicates))
    for batch in batches:
        checks.add(batch)
    return checks


def detect_leaked_rows(training: LeakIndex, evaluated: Path) -> LeakedRows:
    """Rows of `evaluated` that equal, contradict or nearly equal training rows."""
    known = training.get_checks()
    held = _check_for_leaks(known.profile, read_batches(open_source(evaluated)))
    findings = check_leaks(known, held, name="the training rows", unit="line")
    sentences = tuple(finding.message for finding in findings)
    return LeakedRows(frozenset(list_leaked_places(known, held)), sentences)


def check_leaks(
    training: CheckSet, validation: CheckSet, *, name: str, unit: str
) -> Iterator[Finding]:
    """Findings about validation rows that are also in the training data, called `name`.

    Both check sets need the optional checks `validation` and, for near-duplicates,
    `near-duplicates`. `unit` is "line" or "row".
    """
    known, held = _get(training, Leaks), _get(validation, Leaks)
    for rule, like, found in match_rows(training, validation):
        yield from _create_finding(rule, like, found, known.places, held.places, name, unit)


def list_leaked_places(training: CheckSet, validation: CheckSet) -> set[int]:
    """The line or row numbers of all leaked rows in the validation data."""
    held = _get(validation, Leaks)
    pairs = match_rows(training, validation)
    return {held.places.of(row) for _, _, found in pairs for row in found}


def match_rows(
    training: CheckSet, validation: CheckSet
) -> Iterator[tuple[Rule, str, dict[int, int]]]:
    """For each rule, a mapping of validation row to training row, by index."""
    known, held = _get(training, Leaks), _get(validation, Leaks)
    rows = index_first(known.rows, held.rows)
    prompts = index_first(known.prompts, held.prompts)
    if training.prompt_chars == 0:
        prompts = rows
    yield ROWS, "the same as", rows
    yield PROMPTS, "asked as in", {row: at for row, at in prompts.items() if row not in rows}
    if any(isinstance(check, NearDuplicates) for check in training.checks):
        # NumPy is imported only for this check.
        from ftops.data.screening import near_duplicates

        matches = near_duplicates.match_rows(
            _get(training, NearDuplicates).sketch_bytes(),
            _get(validation, NearDuplicates).sketch_bytes(),
        )
        yield (
            NEARLY,
            "nearly like",
            {row: at for row, at in matches.items() if row not in prompts},
        )


def _get(examination: CheckSet, kind: type[Wanted]) -> Wanted:
    return next(check for check in examination.checks if isinstance(check, kind))


def _create_finding(
    rule: Rule,
    like: str,
    found: dict[int, int],
    known: RowPlaces,
    held: RowPlaces,
    name: str,
    unit: str,
) -> Iterator[Finding]:
    if not found:
        return
    places = [held.of(row) for row in sorted(found)[:SHOWN_PLACES]]
    first = known.of(found[min(found)])
    verb = "is" if len(found) == 1 else "are"
    text = (
        f"{format_rows(len(found))} {verb} {like} one of {name}, as {unit} {places[0]} here"
        f" and {first} there"
    )
    yield create_finding(rule, text, Occurrences(len(found), places))


def check_drift(training: CheckSet, validation: CheckSet) -> Iterator[Finding]:
    """Findings about drift; both check sets need the optional check `validation`."""
    from statistics import median

    rows = [
        next(check for check in one.checks if isinstance(check, Drift)).rows()
        for one in (training, validation)
    ]
    if min(map(len, rows)) < _LEAST_ROWS:
        return
    for column, name in ((1, "prompts"), (2, "completions")):
        known, held = (median(int(row[column]) for row in part) for part in rows)
        low, high = sorted((known, held))
        if high >= low * _LENGTH_FACTOR and high - low >= _LENGTH_CHARS:
            text = f"{name} have {held:,.0f} characters (median), {known:,.0f} in the training data"
            yield create_finding(LENGTH, text)
    yield from _compare_words(*([row[0] for row in part] for part in rows))


def _compare_words(known: Sequence[str], held: Sequence[str]) -> Iterator[Finding]:
    vocabulary = {word for text in known[::2] for word in list_words(text)}
    usual = get_unknown_share(known[1::2], vocabulary)
    here = get_unknown_share(held, vocabulary)
    if here >= usual * _WORDS_FACTOR and here - usual >= _WORDS_MORE:
        text = f"{here:.0%} of the words are not in half of the training data, {usual:.0%} would be"
        yield create_finding(VOCABULARY, f"{text} usual")
