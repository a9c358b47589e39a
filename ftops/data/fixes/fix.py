"""What a fix is: a pure function over rows, with values that stand in the plan.

A `RecordFix` makes a row of a record that is none; a `TextFix` changes the texts of good rows; a
`RowFilter` leaves rows out; and a `Choice` leaves out what only all rows together tell. Nothing is
inferred here: what a fix needs to know stands in its values, so that the same plan does the same to
other data.
"""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias, cast

from ftops.data.reading.batch import RowError
from ftops.records import Json, RowFormat
from ftops.rows.messages import JsonObject

ParamKind: TypeAlias = Literal["text", "texts", "labels", "number"]


@dataclass(frozen=True, slots=True)
class FixParam:
    """A value that a fix takes: `texts` is a list of them, `labels` a mapping of text to text.

    `of` holds the texts that may stand in a list; without it any may.
    """

    kind: ParamKind
    about: str
    required: bool = True
    of: tuple[str, ...] = ()


@dataclass(slots=True)
class FixBatch:
    """Good rows of one shape on their way; of pairs, `prompts` and `completions` are what counts.

    `refused` are rows that a fix can do nothing with, though it was to: the whole fails with them.
    """

    format: RowFormat
    places: Sequence[int]
    raws: Sequence[JsonObject]
    prompts: Sequence[str] = ()
    completions: Sequence[str] = ()
    refused: list[RowError] = field(default_factory=list)

    def keep(self, flags: Sequence[bool]) -> None:
        """Leave the rows out whose flag is not set."""

        def chosen(values: Sequence[object]) -> list[object]:
            return [value for value, flag in zip(values, flags, strict=True) if flag]

        self.places = cast("list[int]", chosen(self.places))
        self.raws = cast("list[JsonObject]", chosen(self.raws)) if self.raws else self.raws
        if self.format is RowFormat.COMPLETION:
            self.prompts = cast("list[str]", chosen(self.prompts))
            self.completions = cast("list[str]", chosen(self.completions))


class Fix(ABC):
    """One entry of the catalogue of fixes."""

    CODE: ClassVar[str]
    TITLE: ClassVar[str]
    ABOUT: ClassVar[str]
    PARAMS: ClassVar[Mapping[str, FixParam]] = {}

    def __init__(self, values: Mapping[str, Json]) -> None:
        self.values = values

    def text(self, name: str) -> str:
        """The value of that name, "" when it was left out."""
        return cast(str, self.values.get(name, ""))

    def texts(self, name: str) -> tuple[str, ...]:
        """The list of that name."""
        return tuple(cast("list[str]", self.values.get(name, [])))

    def labels(self, name: str) -> dict[str, str]:
        """The mapping of that name."""
        return dict(cast("dict[str, str]", self.values.get(name, {})))

    def number(self, name: str) -> int:
        """The number of that name."""
        return cast(int, self.values[name])


class RecordFix(Fix):
    """Mends records that fail the checks called `CODES`."""

    CODES: ClassVar[tuple[str, ...]]

    @abstractmethod
    def repair(self, record: object) -> object | None:
        """A record to look at again; None when this one cannot be mended for certain."""


class TextFix(Fix):
    """Changes texts of pairs; `EVERY` also those of chats and preferences, by `change`."""

    ALL_FORMATS: ClassVar[bool] = False

    @abstractmethod
    def apply(self, rows: FixBatch) -> None:
        """Put new lists in the place of those that change."""

    def change(self, text: str) -> str:
        """What becomes of any one text; only asked where `EVERY` is set."""
        return text

    def prepare_prompt(self, text: str) -> str:
        """What becomes of a prompt that a model is asked, which has learned of rows so fixed."""
        rows = FixBatch(RowFormat.COMPLETION, (0,), (), (text,), ("",))
        self.apply(rows)
        return rows.prompts[0]


class RowFilter(Fix):
    """Leaves single rows out."""

    @abstractmethod
    def find_kept_rows(self, rows: FixBatch) -> Sequence[bool] | None:
        """A flag for each row, or None when all stay."""


DROPPED = -1  # no hash is -1
_SHOWN = 2


@dataclass(slots=True)
class RowHashes:
    """A 64-bit number for each row, the same for equal rows, and one for what is asked in it.

    A row that is left out has `LEFT_OUT` for its number. `questions` is empty where nobody wants
    them.
    """

    rows: "array[int]" = field(default_factory=lambda: array("q"))
    questions: "array[int]" = field(default_factory=lambda: array("q"))
    first: list[int] = field(default_factory=list)  # the first rows that were left out last

    def drop(self, row: int) -> None:
        """Leave the row with that number, from 0, out."""
        self.rows[row] = DROPPED
        if len(self.first) < _SHOWN or row < self.first[-1]:
            self.first = sorted([*self.first, row])[:_SHOWN]


class DatasetFilter(Fix):
    """Leaves rows out that only all rows together tell."""

    NEEDS_PROMPTS: ClassVar[bool] = False  # whether it wants `Hashes.questions`

    @abstractmethod
    def drop_rows(self, hashes: RowHashes) -> int:
        """Leave rows out; how many."""
