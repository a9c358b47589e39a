"""The checks of one pass over a source, with their counts and their result."""

import gc
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ftops.capabilities import BatchRule, EpochRule
from ftops.data.batch_parser import BatchParser, RowBatch
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
from ftops.data.profile import PROFILED_ROWS, DatasetProfile, create_profile
from ftops.data.reading.batch import Batch
from ftops.records import RowFormat


class CheckSet:
    """All checks with their counts; parts are merged in the order of the file."""

    def __init__(
        self,
        profile: DatasetProfile,
        asked: Collection[str] = (),
        checks: Sequence[type[Check]] = CHECKS,
    ) -> None:
        self.profile = profile
        self.rows = 0
        self.last_place = 0
        self.prompt_chars = 0
        self.completion_chars = 0
        self.longest_chars = 0
        self.checks: list[Check] = [
            check(profile) for check in checks if not check.OPTIONAL or check.OPTIONAL in asked
        ]

    def add(self, batch: RowBatch) -> None:
        """Run all checks over a batch."""
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

    def merge(self, later: "CheckSet") -> None:
        """Add the part that follows; its places start at 1."""
        for check, other in zip(self.checks, later.checks, strict=True):
            check.merge(other, self.last_place)
        self.rows += later.rows
        self.last_place += later.last_place
        self.prompt_chars += later.prompt_chars
        self.completion_chars += later.completion_chars
        self.longest_chars = max(self.longest_chars, later.longest_chars)

    def get_result(
        self, target: DataTarget, *, task: str | None = None, unit: str = "line"
    ) -> "CheckResult":
        """The result; `task` overrides the detected task."""
        (classes_check,) = (check for check in self.checks if isinstance(check, Classes))
        classes = classes_check.find_classes(asked=task == CLASSIFICATION)
        looks_like = self._guess_task(classes)
        context = CheckContext(
            profile=self.profile,
            target=target,
            rows=self.rows,
            task=task or looks_like,
            classes=classes if (task or looks_like) == CLASSIFICATION else None,
            unit=unit,
        )
        findings = [finding for check in self.checks for finding in check.findings(context)]
        return CheckResult(
            findings=tuple(findings),
            rows=self.rows,
            format=self.profile.format if self.rows else None,
            task=context.task,
            classes=context.classes,
            prompt_chars=self.prompt_chars,
            completion_chars=self.completion_chars,
            longest_chars=self.longest_chars,
            separator=self.profile.separator,
            stop=self.profile.stop,
            task_inferred=task is None,
            auto_epochs=_apply(target.auto_epochs, self.rows),
            auto_batch=_apply(target.auto_batch, self.rows),
        )

    def _guess_task(self, classes: Mapping[str, int] | None) -> str:
        if self.rows and not self.prompt_chars:
            return OPEN_ENDED
        if self.profile.format is RowFormat.PREFERENCE:
            return GENERATION
        return CLASSIFICATION if classes else GENERATION


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of all checks: findings, and statistics of the valid rows.

    `longest_chars` is the length of the longest prompt with its completion. `separator` and `stop`
    are the common endings of prompts and completions, "" for none. `auto_epochs` and `auto_batch`
    are the values that the provider uses for "auto", if known.
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


def read_profile(
    batches: Iterator[Batch],
    unit: str,
    asked: Collection[str] = (),
    like: DatasetProfile | None = None,
) -> tuple[list[Batch], DatasetProfile]:
    """The first batches, and their profile."""
    kept, rows, parsed = [], 0, []
    parser = BatchParser(unit=unit)
    for batch in batches:
        kept.append(batch)
        copy = Batch(batch.values, batch.places, batch.lines)
        parsed.append(parser.parse(copy))
        rows += len(parsed[-1].raws)
        if rows >= PROFILED_ROWS or len(kept) >= PROFILED_ROWS:
            break
    profile = create_profile(parsed)
    if NearDuplicates.OPTIONAL in asked:
        profile = replace(profile, common=like.common if like else get_common_shingles(parsed))
    return kept, profile


def get_common_shingles(batches: Iterable[RowBatch]) -> tuple[int, ...]:
    """The shingles that many of the first prompts share."""
    from ftops.data.screening.minhash import list_common_shingles

    texts = [text for batch in batches for text in list_compared_texts(batch)]
    return list_common_shingles(texts[:PROFILED_ROWS])


def check_batches(
    batches: Iterable[Batch], profile: DatasetProfile, unit: str, asked: Collection[str] = ()
) -> CheckSet:
    """Run all checks over the batches in this process."""
    examination = CheckSet(profile, asked)
    parser = BatchParser(profile.format, unit)
    collecting = gc.isenabled()
    gc.disable()  # rows hold no reference cycles; garbage collection takes a tenth of the time
    try:
        for batch in batches:
            examination.add(parser.parse(batch))
    finally:
        if collecting:
            gc.enable()
    return examination
