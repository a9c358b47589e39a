"""What a check is: fed with rows in one pass, merged with its like, asked for findings."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from ftops.capabilities import BatchRule, EpochRule
from ftops.data.batch_parser import RowBatch
from ftops.data.findings import Finding, Rule
from ftops.data.profile import UNKNOWN, Gauge, Survey
from ftops.records import (
    RowFormat,
)

CLASSIFICATION, GENERATION, OPEN_ENDED = "classification", "generation", "open-ended"
TASKS = (CLASSIFICATION, GENERATION, OPEN_ENDED)


@dataclass(frozen=True, slots=True)
class DataTarget:
    """What the data is for; `row_format` None means that it may be any."""

    min_rows: int = 10
    row_format: RowFormat | None = None
    model: str = ""
    provider: str = "most providers"
    gauge: Gauge = UNKNOWN
    auto_epochs: EpochRule | None = None  # what "auto" becomes there
    auto_batch: BatchRule | None = None
    tools: bool = True  # whether calls of tools are trained there


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What findings depend on beside the check's own figures, known after the pass.

    `task` is what the rows look like, or what the user said they are.
    """

    survey: Survey
    target: DataTarget
    rows: int
    task: str
    classes: Mapping[str, int] | None = None
    unit: str = "line"


class Check(ABC):
    """One pass over rows in constant memory, or at most 8 bytes a row and figure.

    The outcome must not depend on how rows are cut into batches or parts: `merge` with the check of
    the part that follows gives what one pass over both gives. `shift` is how far places of that
    part begin behind; figures per row are simply put behind one another. Checks travel
    from one process to another, so what they hold is of the kinds that `parcels.py` names.
    """

    RULES: ClassVar[tuple[Rule, ...]]
    OPTIONAL: ClassVar[str] = (
        ""  # by which name it is asked for; "" for a check that is always made
    )

    @abstractmethod
    def __init__(self, survey: Survey) -> None: ...

    @abstractmethod
    def add(self, batch: RowBatch) -> None:
        """Take the rows and row errors of a batch in; it may hold none."""

    @abstractmethod
    def merge(self, later: Self, shift: int) -> None:
        """Take in what the same check saw in the part that follows."""

    @abstractmethod
    def findings(self, context: CheckContext) -> Iterable[Finding]:
        """What there is to say, in the order of the rules."""
