"""The base class of checks, and decorators that make a check from a function."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, cast

from ftops.capabilities import BatchRule, EpochRule
from ftops.data.batch_parser import RowBatch
from ftops.data.findings import Finding, Occurrences, Rule, create_finding, format_rows
from ftops.data.profile import NO_TOKEN_LIMIT, DatasetProfile, TokenLimit
from ftops.records import Json, RowFormat

CLASSIFICATION, GENERATION, OPEN_ENDED = "classification", "generation", "open-ended"
TASKS = (CLASSIFICATION, GENERATION, OPEN_ENDED)


@dataclass(frozen=True, slots=True)
class DataTarget:
    """The provider and model that the data is for; a `row_format` of None allows any."""

    min_rows: int = 10
    row_format: RowFormat | None = None
    model: str = ""
    provider: str = "most providers"
    token_limit: TokenLimit = NO_TOKEN_LIMIT
    auto_epochs: EpochRule | None = None  # the value that "auto" resolves to
    auto_batch: BatchRule | None = None
    tools: bool = True  # whether tool use is trained


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What findings depend on besides the counts of the check; known after the pass.

    `task` is inferred from the rows unless the user sets it.
    """

    profile: DatasetProfile
    target: DataTarget
    rows: int
    task: str
    classes: Mapping[str, int] | None = None
    unit: str = "line"


class Check:
    """A check that reads all rows in one pass; a subclass defines what it needs.

    It holds a constant amount of memory, or at most 8 bytes per row and value. The result does not
    depend on how rows are split into batches or parts: a check merged with the check of the next
    part equals one pass over both. Checks are sent between processes, so their attributes have
    types that `check_runner.py` lists.

    For a check without state, write a function and decorate it with `row_check` or `dataset_check`.
    """

    RULES: ClassVar[tuple[Rule, ...]]
    OPTIONAL: ClassVar[str] = ""  # the name that enables it; "" for a check that always runs

    def __init__(self, profile: DatasetProfile) -> None:
        """Start with the profile of the first rows."""

    def add(self, batch: RowBatch) -> None:
        """Count the rows and row errors of a batch, which may be empty."""

    def merge(self, later: Self, shift: int) -> None:
        """Add the counts of the next part; `shift` is added to its line or row numbers."""

    def findings(self, context: CheckContext) -> Iterable[Finding]:
        """The findings, in the order of the rules."""
        return ()


class _RowCheck(Check):
    """Counts the rows that `find_rows` returns."""

    DETAIL: ClassVar[str]
    find_rows: ClassVar[Callable[[RowBatch], Iterable[int]]]

    def __init__(self, profile: DatasetProfile) -> None:
        self._seen = Occurrences()

    def add(self, batch: RowBatch) -> None:
        for index in sorted(set(type(self).find_rows(batch))):
            self._seen.add(batch.places[index])

    def merge(self, later: Self, shift: int) -> None:
        self._seen.merge(later._seen, shift)

    def findings(self, context: CheckContext) -> Iterator[Finding]:
        if self._seen.count:
            (rule,) = self.RULES
            message = f"{format_rows(self._seen.count)} {self.DETAIL}"
            params: dict[str, Json] | None = {} if rule.fix else None
            yield create_finding(rule, message, self._seen, fix_params=params)


def row_check(
    rule: Rule, detail: str
) -> Callable[[Callable[[RowBatch], Iterable[int]]], type[Check]]:
    """Create a check from a function that returns the indices of rows that break `rule`.

    `detail` ends the message "3 rows …".
    """

    def decorate(function: Callable[[RowBatch], Iterable[int]]) -> type[Check]:
        members = {"RULES": (rule,), "DETAIL": detail, "find_rows": staticmethod(function)}
        return cast("type[Check]", type(function.__name__, (_RowCheck,), members))

    return decorate


def dataset_check(
    rule: Rule,
) -> Callable[[Callable[[CheckContext], Iterable[Finding]]], type[Check]]:
    """Create a check from a function that returns the findings of `rule` for a context."""

    def decorate(function: Callable[[CheckContext], Iterable[Finding]]) -> type[Check]:
        members = {"RULES": (rule,), "findings": lambda _, context: function(context)}
        return cast("type[Check]", type(function.__name__, (Check,), members))

    return decorate
