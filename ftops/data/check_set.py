"""The checks of one pass over a source, with what they count, and their result."""

import gc
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ftops.capabilities import BatchRule, EpochRule
from ftops.data.batch_parser import RowBatch, Sifter
from ftops.data.checks.check import (
    CLASSIFICATION,
    GENERATION,
    OPEN_ENDED,
    Check,
    CheckContext,
    DataTarget,
)
from ftops.data.checks.classes import Classes
from ftops.data.checks.duplicates import NearDuplicates, list_compared_texts
from ftops.data.checks.registry import CHECKS
from ftops.data.findings import Finding
from ftops.data.profile import SURVEYED_ROWS, Survey, survey_rows
from ftops.data.reading.batch import Batch
from ftops.records import (
    RowFormat,
)


class Examination:
    """All checks with what they have seen so far; parts merge in the order of the file."""

    def __init__(self, survey: Survey, asked: Collection[str] = ()) -> None:
        self.survey = survey
        self.rows = 0
        self.last_place = 0
        self.prompt_chars = 0
        self.completion_chars = 0
        self.longest_chars = 0
        self.checks: list[Check] = [
            check(survey) for check in CHECKS if not check.OPTIONAL or check.OPTIONAL in asked
        ]

    def add(self, batch: RowBatch) -> None:
        """Show a batch to all checks."""
        self.rows += len(batch.raws)
        if batch.raws:
            self.last_place = max(self.last_place, batch.places[-1])
            self.prompt_chars += sum(batch.prompt_lengths())
            self.completion_chars += sum(batch.completion_lengths())
            self.longest_chars = max(self.longest_chars, *batch.row_lengths())
        for row_error in batch.row_errors[-1:]:
            self.last_place = max(self.last_place, row_error.place + row_error.count - 1)
        for check in self.checks:
            check.add(batch)

    def merge(self, later: "Examination") -> None:
        """Take in the part that follows; its places begin at 1 again."""
        for check, other in zip(self.checks, later.checks, strict=True):
            check.merge(other, self.last_place)
        self.rows += later.rows
        self.last_place += later.last_place
        self.prompt_chars += later.prompt_chars
        self.completion_chars += later.completion_chars
        self.longest_chars = max(self.longest_chars, later.longest_chars)

    def conclude(
        self, target: DataTarget, *, task: str | None = None, unit: str = "line"
    ) -> "Verdict":
        """What was found; `task` says what the rows are when the user knows better."""
        (classes_check,) = (check for check in self.checks if isinstance(check, Classes))
        classes = classes_check.find_classes(asked=task == CLASSIFICATION)
        looks_like = self._guess_task(classes)
        context = CheckContext(
            survey=self.survey,
            target=target,
            rows=self.rows,
            task=task or looks_like,
            classes=classes if (task or looks_like) == CLASSIFICATION else None,
            unit=unit,
        )
        findings = [found for check in self.checks for found in check.findings(context)]
        return Verdict(
            findings=tuple(findings),
            rows=self.rows,
            format=self.survey.format if self.rows else None,
            task=context.task,
            classes=context.classes,
            prompt_chars=self.prompt_chars,
            completion_chars=self.completion_chars,
            longest_chars=self.longest_chars,
            separator=self.survey.separator,
            stop=self.survey.stop,
            task_inferred=task is None,
            auto_epochs=_apply(target.auto_epochs, self.rows),
            auto_batch=_apply(target.auto_batch, self.rows),
        )

    def _guess_task(self, classes: Mapping[str, int] | None) -> str:
        if self.rows and not self.prompt_chars:
            return OPEN_ENDED
        if self.survey.format is RowFormat.PREFERENCE:
            return GENERATION
        return CLASSIFICATION if classes else GENERATION


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of an examination: findings, and figures of the good rows.

    `longest_chars` is the most characters of a prompt with its completion; `separator` and `stop`
    are what most prompts and completions end with, "" for nothing. `auto_epochs` and `auto_batch`
    are what the provider will make of "auto", where that is known.
    """

    findings: tuple[Finding, ...]
    rows: int
    format: RowFormat | None
    task: str
    classes: Mapping[str, int] | None
    prompt_chars: int
    completion_chars: int
    longest_chars: int
    separator: str
    stop: str
    task_inferred: bool
    auto_epochs: int | None = None
    auto_batch: int | None = None


def _apply(rule: EpochRule | BatchRule | None, rows: int) -> int | None:
    return rule.estimate(rows) if rule and rows else None


def take_survey(
    batches: Iterator[Batch], unit: str, asked: Collection[str] = (), like: Survey | None = None
) -> tuple[list[Batch], Survey]:
    """The first batches, and what their rows look like."""
    kept, rows, sifted = [], 0, []
    sifter = Sifter(unit=unit)
    for batch in batches:
        kept.append(batch)
        copy = Batch(batch.values, batch.places, batch.lines)
        sifted.append(sifter.sift(copy))
        rows += len(sifted[-1].raws)
        if rows >= SURVEYED_ROWS or len(kept) >= SURVEYED_ROWS:
            break
    survey = survey_rows(sifted)
    if NearDuplicates.OPTIONAL not in asked:
        return kept, survey
    if like is not None:
        return kept, replace(survey, common=like.common)
    from ftops.data.screening.minhash import find_common

    texts = [text for batch in sifted for text in list_compared_texts(batch)]
    return kept, replace(survey, common=find_common(texts[:SURVEYED_ROWS]))


def examine_batches(
    batches: Iterable[Batch], survey: Survey, unit: str, asked: Collection[str] = ()
) -> Examination:
    """One pass, in this process."""
    examination = Examination(survey, asked)
    sifter = Sifter(survey.format, unit)
    collecting = gc.isenabled()
    gc.disable()  # rows hold no cycles, and walking them over and over costs a tenth of the time
    try:
        for batch in batches:
            examination.add(sifter.sift(batch))
    finally:
        if collecting:
            gc.enable()
    return examination
