"""The base classes of fixes.

A `RecordFix` repairs a record that is not a valid row; a `TextFix` changes the texts of valid rows;
a `RowFilter` drops rows by their own content; a `DatasetFilter` drops rows by comparison with all
others. A fix infers nothing: its parameters are in the plan, so the same plan has the same effect
on other data.
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
    """A parameter of a fix: `texts` is a list of texts, `labels` a mapping of text to text.

    `of` lists the allowed texts; empty allows any.
    """

    kind: ParamKind
    about: str
    required: bool = True
    of: tuple[str, ...] = ()


@dataclass(slots=True)
class FixBatch:
    """Valid rows of one format; fixes of completion rows read `prompts` and `completions`.

    `refused` are rows that a fix should change but cannot: they fail the whole run.
    """

    format: RowFormat
    places: Sequence[int]
    raws: Sequence[JsonObject]
    prompts: Sequence[str] = ()
    completions: Sequence[str] = ()
    refused: list[RowError] = field(default_factory=list)

    def keep(self, flags: Sequence[bool]) -> None:
        """Keep the rows whose flag is set."""

        def chosen(values: Sequence[object]) -> list[object]:
            return [value for value, flag in zip(values, flags, strict=True) if flag]

        self.places = cast("list[int]", chosen(self.places))
        self.raws = cast("list[JsonObject]", chosen(self.raws)) if self.raws else self.raws
        if self.format is RowFormat.COMPLETION:
            self.prompts = cast("list[str]", chosen(self.prompts))
            self.completions = cast("list[str]", chosen(self.completions))


class Fix(ABC):
    """A fix: its code, texts for the docs, and parameters."""

    CODE: ClassVar[str]
    TITLE: ClassVar[str]
    ABOUT: ClassVar[str]
    PARAMS: ClassVar[Mapping[str, FixParam]] = {}

    def __init__(self, values: Mapping[str, Json]) -> None:
        self.values = values

    def text(self, name: str) -> str:
        """A text parameter; "" if it is not set."""
        return cast(str, self.values.get(name, ""))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list parameter."""
        return tuple(cast("list[str]", self.values.get(name, [])))

    def labels(self, name: str) -> dict[str, str]:
        """A mapping parameter."""
        return dict(cast("dict[str, str]", self.values.get(name, {})))

    def number(self, name: str) -> int:
        """A number parameter."""
        return cast(int, self.values[name])


class RecordFix(Fix):
    """Repairs records that fail one of the checks in `CODES`."""

    CODES: ClassVar[tuple[str, ...]]

    @abstractmethod
    def repair(self, record: object) -> object | None:
        """The repaired record, to be checked again; None if the repair is not certain."""


class TextFix(Fix):
    """Changes texts of completion rows; with `ALL_FORMATS`, `change` also applies to others."""

    ALL_FORMATS: ClassVar[bool] = False

    @abstractmethod
    def apply(self, rows: FixBatch) -> None:
        """Replace the columns that change by new lists."""

    def change(self, text: str) -> str:
        """The changed text of a message; used if `ALL_FORMATS` is set."""
        return text

    def prepare_prompt(self, text: str) -> str:
        """A prompt at inference, changed like the prompts of the training data."""
        rows = FixBatch(RowFormat.COMPLETION, (0,), (), (text,), ("",))
        self.apply(rows)
        return rows.prompts[0]


class RowFilter(Fix):
    """Drops rows by their content."""

    @abstractmethod
    def find_kept_rows(self, rows: FixBatch) -> Sequence[bool] | None:
        """A flag per row, or None if all stay."""


DROPPED = -1  # `hash` never returns -1
_SHOWN = 2


@dataclass(slots=True)
class RowHashes:
    """A 64-bit hash of each row, and of each prompt if a filter needs it.

    Equal rows have equal hashes. A dropped row has the hash `DROPPED`.
    """

    rows: "array[int]" = field(default_factory=lambda: array("q"))
    prompts: "array[int]" = field(default_factory=lambda: array("q"))
    first: list[int] = field(default_factory=list)  # the first rows that the last filter dropped

    def drop(self, row: int) -> None:
        """Drop the row with this index."""
        self.rows[row] = DROPPED
        if len(self.first) < _SHOWN or row < self.first[-1]:
            self.first = sorted([*self.first, row])[:_SHOWN]


class DatasetFilter(Fix):
    """Drops rows by comparison with all others."""

    NEEDS_PROMPTS: ClassVar[bool] = False  # whether it needs `RowHashes.prompts`

    @abstractmethod
    def drop_rows(self, hashes: RowHashes) -> int:
        """Drop rows and return their number."""
