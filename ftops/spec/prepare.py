"""The section `prepare` of the job file: how data is read and prepared."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftops.records import RowFormat
from ftops.spec.section import Expected, Section

_READ_OPTIONS = ("prompt", "completion", "layout", "sheet", "encoding", "delimiter")


class PrepareSpec(Section):
    """How the data is prepared before it is sent; the files themselves stay unchanged."""

    LABEL: ClassVar[str] = "prepare"

    format: Literal["auto", "completion", "chat"] = Field(
        "auto",
        description="Format of the rows that are sent; `auto` follows the model.",
    )
    separator: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="Text appended to every prompt that does not end with it.",
    )
    stop: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="Stop sequence, appended to every completion that does not end with it.",
    )
    system: str | None = Field(
        None,
        min_length=1,
        max_length=65_536,
        description="System message for every chat that has none (chat rows only).",
    )
    plan: Annotated[str | None, Expected("the path of a plan, or null")] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Plan that `ftops data prepare` wrote; its fixes are applied to the data.",
    )
    prompt: Annotated[str | None, Expected("a column, a template such as '{text}', or null")] = (
        Field(
            None,
            min_length=1,
            max_length=4096,
            description="Prompt of a table's rows: a column, or a template with columns in braces.",
        )
    )
    completion: Annotated[
        str | None, Expected("a column, a template such as '{label}', or null")
    ] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Completion of a table's rows: a column, or a template.",
    )
    layout: Annotated[str | None, Expected("a layout such as alpaca or sharegpt, or null")] = Field(
        None,
        min_length=1,
        max_length=64,
        description="Layout of the rows (docs/data-formats.md) when they are not prompt and"
        " completion, chats or preferences; `ftops init` detects it.",
    )
    sheet: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="Sheet of a workbook, or split of a data set; the first by default.",
    )
    encoding: Annotated[str | None, Expected("an encoding such as cp1252, or null")] = Field(
        None,
        min_length=1,
        max_length=64,
        description="Encoding of text that is not UTF-8 or UTF-16.",
    )
    delimiter: Annotated[str | None, Expected("one character, or null")] = Field(
        None,
        min_length=1,
        max_length=2,
        description="Delimiter of a CSV file; detected by default.",
    )

    @property
    def row_format(self) -> RowFormat | None:
        """The format of the rows; None for `auto`."""
        return None if self.format == "auto" else RowFormat(self.format)

    @property
    def reading(self) -> dict[str, str]:
        """The options for reading data that are set."""
        options = {name: getattr(self, name) for name in _READ_OPTIONS}
        return {name: value for name, value in options.items() if value is not None}
