"""The section `prepare` of the job file: how data is read, and what is done to it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftops.records import RowFormat
from ftops.spec.section import Expected, Section

_READING = ("prompt", "completion", "layout", "sheet", "encoding", "delimiter")


class PrepareSpec(Section):
    """What is done to the data before it is sent; the files themselves are never changed."""

    LABEL: ClassVar[str] = "prepare"

    format: Annotated[
        Literal["auto", "completion", "chat"],
        Expected("auto, completion or chat", choices=("auto", "completion", "chat")),
    ] = Field(
        "auto",
        description="Shape of the rows that are sent; `auto` takes what the model wants.",
    )
    separator: Annotated[str | None, Expected("text of 1 to 256 characters, or null")] = Field(
        None,
        min_length=1,
        max_length=256,
        description="Appended to every prompt that does not end with it.",
    )
    stop: Annotated[str | None, Expected("text of 1 to 256 characters, or null")] = Field(
        None,
        min_length=1,
        max_length=256,
        description="Appended to every completion that does not end with it.",
    )
    system: Annotated[str | None, Expected("text, or null")] = Field(
        None,
        min_length=1,
        max_length=65_536,
        description="System message put before every chat that has none (chat rows only).",
    )

    plan: Annotated[str | None, Expected("the path of a plan, or null")] = Field(
        None,
        min_length=1,
        max_length=4096,
        description="Plan that `ftops data prepare` wrote: what it did is done to the data again.",
    )
    prompt: Annotated[str | None, Expected("a column, a template such as '{text}', or null")] = (
        Field(
            None,
            min_length=1,
            max_length=4096,
            description="Column of a table, or template of columns in braces, that is the prompt.",
        )
    )
    completion: Annotated[
        str | None, Expected("a column, a template such as '{label}', or null")
    ] = Field(None, min_length=1, max_length=4096, description="The same for the completion.")
    layout: Annotated[str | None, Expected("a layout such as alpaca or sharegpt, or null")] = Field(
        None,
        min_length=1,
        max_length=64,
        description="Layout of the rows, by a name of docs/data-formats.md, where they are not"
        " prompt and completion, chats or preferences already; `ftops init` recognises it.",
    )
    sheet: Annotated[str | None, Expected("text, or null")] = Field(
        None,
        min_length=1,
        max_length=256,
        description="Sheet of a workbook, or split of a data set; the first when left out.",
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
        description="What parts the columns of a CSV; found out when left out.",
    )

    @property
    def row_format(self) -> RowFormat | None:
        """The wanted shape of rows; None for `auto`."""
        return None if self.format == "auto" else RowFormat(self.format)

    @property
    def reading(self) -> dict[str, str]:
        """The options for reading data, those that were given."""
        given = {name: getattr(self, name) for name in _READING}
        return {name: value for name, value in given.items() if value is not None}
