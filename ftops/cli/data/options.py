"""Arguments and options that several commands for data share."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.output import Output
from ftops.data.reading.options import AUTO, ReadOptions, parse_format, split_names
from ftops.data.reading.source import Source, open_source
from ftops.errors import DatasetError
from ftops.rows.formats import ROW_KEYS

Sources = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="The data, of any kind; - for stdin.")
]
OneSource = Annotated[
    str, typer.Argument(metavar="FILE", help="The data, of any kind; - for stdin.")
]
OneFile = Annotated[Path, typer.Argument(metavar="FILE", help="The data, of any kind.")]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="NAME", help="jsonl, json, csv, tsv, xlsx, txt, parquet or dataset."
    ),
]
Sheet = Annotated[
    str | None,
    typer.Option("--sheet", metavar="NAME", help="Sheet of a workbook, split of a data set."),
]
Encoding = Annotated[
    str | None, typer.Option("--encoding", metavar="NAME", help="Encoding of the text: cp1252, …")
]
Delimiter = Annotated[
    str | None, typer.Option("--delimiter", metavar="SIGN", help="What parts the columns of a CSV.")
]
PromptColumn = Annotated[
    str | None,
    typer.Option("--prompt", metavar="COLUMN", help="Column or '{template}' of the prompts."),
]
CompletionColumn = Annotated[
    str | None,
    typer.Option(
        "--completion", metavar="COLUMN", help="Column or '{template}' of the completions."
    ),
]
LayoutName = Annotated[
    str | None,
    typer.Option(
        "--layout",
        metavar="NAME",
        help="Layout of the rows: alpaca, sharegpt, … (docs/data-formats.md), or none for rows as"
        " they stand. Default: the one that their keys tell.",
    ),
]
DropKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--drop", metavar="KEY", help="Leave this key or column out; nothing is learned from it."
    ),
]


@dataclass(frozen=True, slots=True)
class PromptReading:
    """How a file of prompts is read."""

    format: FormatName = None
    sheet: Sheet = None
    encoding: Encoding = None
    delimiter: Delimiter = None
    prompt: PromptColumn = None

    def get_read_options(self) -> ReadOptions:
        """The options for the readers; DatasetError for an unknown format."""
        return ReadOptions(
            parse_format(self.format), self.sheet, self.encoding, self.delimiter, self.prompt
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """The options that say how data is to be read; what they leave open, the content decides."""

    format: FormatName = None
    sheet: Sheet = None
    encoding: Encoding = None
    delimiter: Delimiter = None
    prompt: PromptColumn = None
    completion: CompletionColumn = None
    layout: LayoutName = None
    drop: DropKeys = None

    def find_options(self, also: Collection[str] = ()) -> ReadOptions:
        """How data is read, with layouts recognised.

        DatasetError when there is no such format, or no row without a key that is dropped. The
        keys of rows in `also` may be dropped by the command itself.
        """
        dropped = split_names(self.drop or ())
        for name in dropped:
            if name in ROW_KEYS - set(also):
                raise DatasetError(
                    f"--drop {name}: there is no row without it",
                    hint="Name a key or column that stands beside it.",
                )

        return ReadOptions(
            parse_format(self.format),
            self.sheet,
            self.encoding,
            self.delimiter,
            self.prompt,
            self.completion,
            self.layout or AUTO,
            tuple(name for name in dropped if name not in ROW_KEYS),
        )


def say_layout(out: Output, source: Source) -> None:
    """Say on stderr how rows are read that are not read as they stand."""
    if source.layout:
        out.info(f"{source.name}: read as {', '.join(source.inferred)}")


def say_layouts(out: Output, options: ReadOptions, *files: Path) -> None:
    """The same for files that are opened later, and more than once."""
    for file in files:
        say_layout(out, open_source(file, options))


Target = Annotated[
    str | None,
    typer.Option("--for", metavar="PROVIDER/MODEL", help="Who is to be trained with the data."),
]
Task = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help="classification, generation or open-ended."),
]
Validation = Annotated[
    str | None,
    typer.Option("--validation", metavar="FILE", help="Validation data, to be compared with."),
]
Private = Annotated[bool, typer.Option("--private", help="Look for private data and secrets, too.")]
Near = Annotated[bool, typer.Option("--near", help="Look for texts that are nearly the same, too.")]
WordCounter = Annotated[
    Path | None,
    typer.Option("--words", metavar="LIST", help="Look for words, one a line of LIST, too."),
]
Moderate = Annotated[
    bool,
    typer.Option(
        "--moderate",
        help="Send all texts to the provider (--for; default: openai), which judges whether they"
        " are harmful. They leave this machine.",
    ),
]
SendYes = Annotated[
    bool, typer.Option("--yes", "-y", help="Send texts (--moderate) without a question.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Fail on warnings, too.")]
Sarif = Annotated[
    Path | None, typer.Option("--sarif", metavar="FILE", help="Write a report for code hosts, too.")
]
Processes = Annotated[
    int | None,
    typer.Option("--processes", min=1, max=64, help="How many to use; default: idle ones."),
]
