"""Rows of the validation data that stand in the training data, too.

Sixteen bytes a row are kept, of hashes that are the same in every process.
"""

from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from ftops.data.checks.duplicates import Places
from ftops.data.checks.near import Near
from ftops.data.checks.protocol import Check, Facts
from ftops.data.examining.sifting import SEAM, RowBatch
from ftops.data.examining.survey import Survey
from ftops.data.findings import (
    SHOWN_PLACES,
    Finding,
    Rule,
    Seen,
    Severity,
    make_finding,
    say_rows,
)
from ftops.records import RowFormat
from ftops.text import to_nfc

if TYPE_CHECKING:
    from ftops.data.examining.examination import Examination

Wanted = TypeVar("Wanted", bound=Check)
_W = Severity.WARNING
_APART = "Take them out of one of the files, or split again: `ftops data split`."
_TOO_GOOD = "The score then says how well rows were remembered, not how well the task was learned."
ROWS = Rule(
    "leaked-rows", _W, "validation rows that are training rows",
    "Rows that stand in the training data, too. " + _TOO_GOOD, _APART,
)  # fmt: skip
PROMPTS = Rule(
    "leaked-prompts", _W, "validation prompts that are training prompts",
    "The same prompt stands in the training data with another completion, so the model was taught"
    " an answer that counts as wrong here.",
    _APART,
)  # fmt: skip
NEARLY = Rule(
    "leaked-nearly", _W, "validation rows that are nearly training rows",
    "Told with `--near`: prompts that are nearly like one of the training data. " + _TOO_GOOD,
    "Split again with `ftops data split --group-near`, or take them out of one of the files.",
)  # fmt: skip


class Leaks(Check):
    """Keeps a hash of each row and of each prompt; `find_leaks` compares those of two files."""

    RULES = (ROWS, PROMPTS, NEARLY)
    ASKED: ClassVar[str] = "validation"

    def __init__(self, survey: Survey) -> None:
        self.rows = array("Q")
        self.prompts = array("Q")
        self.places = Places()

    def add(self, batch: RowBatch) -> None:
        if not batch.raws:
            return
        asked, completions = batch.prompts_in_nfc(), batch.completions_in_nfc()
        if batch.format is RowFormat.PREFERENCE:
            pairs = map(sorted, zip(completions, map(to_nfc, batch.others), strict=True))
            asked = [SEAM.join((p, *pair)) for p, pair in zip(asked, pairs, strict=True)]
        answers = zip(asked, completions, strict=True)
        self.prompts.frombytes(_digest(asked))
        self.rows.frombytes(_digest(f"{asked}\n{SEAM}{answer}" for asked, answer in answers))
        self.places.add(batch.places)

    def merge(self, later: Self, shift: int) -> None:
        self.rows.extend(later.rows)
        self.prompts.extend(later.prompts)
        self.places.merge(later.places, shift)

    def findings(self, facts: Facts) -> Iterator[Finding]:
        return iter(())  # one file has no leaks


def _digest(texts: Iterable[str]) -> bytes:
    return b"".join(
        [blake2b(text.encode("utf-8", "replace"), digest_size=8).digest() for text in texts]
    )


def find_leaks(
    training: "Examination", validation: "Examination", *, name: str, unit: str
) -> Iterator[Finding]:
    """Findings about rows of the validation data, which `unit` counts, that `name` holds, too.

    Both must have been asked for `validation`; for `near`, too, to tell what is nearly the same.
    """
    known, held = _get(training, Leaks), _get(validation, Leaks)
    for rule, like, found in find_pairs(training, validation):
        yield from _tell(rule, like, found, known.places, held.places, name, unit)


def find_leaked_places(training: "Examination", validation: "Examination") -> set[int]:
    """Where in the validation data all rows stand that the training data holds, too."""
    held = _get(validation, Leaks)
    pairs = find_pairs(training, validation)
    return {held.places.of(row) for _, _, found in pairs for row in found}


def find_pairs(
    training: "Examination", validation: "Examination"
) -> Iterator[tuple[Rule, str, dict[int, int]]]:
    """For each rule the numbers of the rows that it is about, with that of the one in training."""
    known, held = _get(training, Leaks), _get(validation, Leaks)
    rows = _find_first(known.rows, held.rows)
    prompts = _find_first(known.prompts, held.prompts)
    if training.prompt_chars == 0:
        prompts = rows
    yield ROWS, "the same as", rows
    yield PROMPTS, "asked as in", {row: at for row, at in prompts.items() if row not in rows}
    if any(isinstance(check, Near) for check in training.checks):
        from ftops.data.screening.neighbours import find_twins

        twins = find_twins(*(_get(one, Near).sketches() for one in (training, validation)))
        yield NEARLY, "nearly like", {row: at for row, at in twins.items() if row not in prompts}


def _get(examination: "Examination", kind: type[Wanted]) -> Wanted:
    return next(check for check in examination.checks if isinstance(check, kind))


def _find_first(known: "array[int]", held: "array[int]") -> dict[int, int]:
    """Which values of `held` stand in `known`, and where first; memory grows with `held`."""
    wanted = set(held)
    first: dict[int, int] = {}
    for row, value in enumerate(known):
        if value in wanted:
            first.setdefault(value, row)
    return {row: first[value] for row, value in enumerate(held) if value in first}


def _tell(
    rule: Rule,
    like: str,
    found: dict[int, int],
    known: Places,
    held: Places,
    name: str,
    unit: str,
) -> Iterator[Finding]:
    if not found:
        return
    places = [held.of(row) for row in sorted(found)[:SHOWN_PLACES]]
    first = known.of(found[min(found)])
    verb = "is" if len(found) == 1 else "are"
    text = (
        f"{say_rows(len(found))} {verb} {like} one of {name}, as {unit} {places[0]} here"
        f" and {first} there"
    )
    yield make_finding(rule, text, Seen(len(found), places))
