"""The options for reading a source; what they leave open is detected and reported."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from ftops.errors import DatasetError

AUTO, AS_IS = "auto", "none"  # layouts: detect one, or use none
MAX_LINE_BYTES = 8 << 20  # per line, cell or record
MAX_COLUMNS = 2048
MAX_DOCUMENT_BYTES = 256 << 20  # of a document that can only be read as a whole


class Format(StrEnum):
    """The format of a source."""

    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    TSV = "tsv"
    XLSX = "xlsx"
    TXT = "txt"
    PARQUET = "parquet"
    DATASET = "dataset"  # a folder that Hugging Face `datasets` wrote, or one of Parquet files


TABLES = frozenset({Format.CSV, Format.TSV, Format.XLSX, Format.PARQUET, Format.DATASET})


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The user's choices for a source; None and "" leave the choice to detection.

    `sheet` is the sheet of a workbook or the split of a datasets folder. `prompt` and `completion`
    are each a column, or a template such as "{sentence}\\nHow is {head} related to {tail}?".
    `layout` is the name of one in `layouts.py`, AUTO to detect one, or AS_IS for none. Without a
    choice, a source of a known layout is an error that names the layout. `drop` are keys and
    columns without training data.
    """

    format: Format | None = None
    sheet: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    prompt: str | None = None
    completion: str | None = None
    layout: str | None = None
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.layout not in (None, AUTO, AS_IS) and (self.prompt or self.completion):
            raise DatasetError(
                f"the layout {self.layout} defines prompts and completions",
                hint="Pass either the layout or the columns.",
            )


def options_to_plan(options: ReadOptions) -> dict[str, str]:
    """The options as a plan stores them."""
    said = {name: value for name, value in asdict(options).items() if value}
    if said.get("layout") == AUTO:
        del said["layout"]
    return {name: ",".join(one) if name == "drop" else str(one) for name, one in said.items()}


def options_from_plan(read: Mapping[str, str]) -> ReadOptions:
    """The options of a plan. Raises DatasetError for an unknown format."""
    said = {name: read.get(name) for name in ("sheet", "encoding", "delimiter")}
    columns = {name: read.get(name) for name in ("prompt", "completion", "layout")}
    return ReadOptions(
        parse_format(read.get("format")),
        **said,
        **columns,
        drop=split_names([read.get("drop", "")]),
    )


def split_names(given: Iterable[str]) -> tuple[str, ...]:
    """Key names, given separately or joined by commas."""
    return tuple(dict.fromkeys(filter(None, ",".join(given).split(","))))


def parse_format(name: str | None) -> Format | None:
    """The format of that name. Raises DatasetError for an unknown name."""
    if name is None:
        return None
    try:
        return Format(name.lower().removeprefix("."))
    except ValueError:
        known = ", ".join(Format)
        raise DatasetError(f"unknown format {name!r}", hint=f"The formats are {known}.") from None
