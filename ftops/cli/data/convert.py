"""`ftops data convert`: converts data between file formats and row formats."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.data.files import buffer_input, open_buffered, refuse_input
from ftops.cli.data.options import OneSource, Reading, print_layout
from ftops.cli.output import Output
from ftops.data.check_set import read_profile
from ftops.data.convert import DROPPABLE, OTHER, Conversion
from ftops.data.convert import convert as convert_rows
from ftops.data.profile import get_removable_markers
from ftops.data.reading.options import split_names
from ftops.data.reading.source import Source
from ftops.errors import UsageError
from ftops.files import open_atomic
from ftops.records import RowFormat

OutFile = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT", help="Output file: .jsonl or .csv.")
]
Shape = Annotated[
    str | None,
    typer.Option("--to", metavar="FORMAT", help="completion, chat or preference."),
]
Separator = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Separator to strip from prompts. Default: a known one, such as ' ->'.",
    ),
]
Stop = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Stop sequence to strip from completions. Default: a known one, such as ' END'.",
    ),
]
System = Annotated[
    str | None, typer.Option(metavar="TEXT", help="System message to add to each chat.")
]
DropSystem = Annotated[bool, typer.Option("--drop-system", help="Same as --drop system.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite OUT.")]
_MODE = 0o644
_KINDS = {".jsonl": False, ".ndjson": False, ".csv": True}


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """The target row format, and what is added to the rows or removed from them."""

    to: Shape = None
    separator: Separator = None
    stop: Stop = None
    system: System = None
    drop_system: DropSystem = False
    force: Force = False


@command(
    "data convert",
    examples=[
        "ftops data convert train.xlsx -o train.jsonl",
        "ftops data convert pairs.jsonl -o chats.jsonl --to chat --system 'Be brief.'",
        "ftops data convert chats.jsonl -o pairs.csv --to completion --drop system",
    ],
)
def convert(
    out: Output,
    file: OneSource,
    target: OutFile,
    *,
    options: ConvertOptions,
    reading: Reading,
) -> None:
    """Convert data to JSON lines or CSV, in the same or another row format.

    Completion rows become chats, single-turn chats become completion rows, preferences become chats
    with the preferred answer. Texts are unchanged except for a separator and a stop sequence. A row
    with content that the new format cannot hold is an error, and nothing is written, unless --drop
    names it (system, tools, name, weight, non_preferred_output).
    """
    read_options = reading.to_read_options(also=[OTHER])
    dropped = {*split_names(reading.drop or ()), *(["system"] if options.drop_system else [])}
    conversion = Conversion(
        _find_shape(options.to),
        options.separator or "",
        options.stop or "",
        options.system,
        dropped & DROPPABLE,
    )
    as_csv = _is_csv(target)
    refuse_input(target, Path(file), force=options.force)
    with buffer_input(file) as path:
        if conversion.row_format is RowFormat.CHAT and None in (options.separator, options.stop):
            separator, stop = _detect_markers(open_buffered(path, file, read_options))
            conversion = replace(
                conversion,
                separator=separator if options.separator is None else options.separator,
                stop=stop if options.stop is None else options.stop,
            )
        source = open_buffered(path, file, read_options)
        print_layout(out, source)
        with open_atomic(target, mode=_MODE) as stream:
            rows, shape = convert_rows(source, stream, conversion, as_csv=as_csv)
    markers = {}
    if conversion.row_format is RowFormat.CHAT:
        markers = {"separator": conversion.separator or None, "stop": conversion.stop or None}
    out.finish(
        {
            "file": source.name,
            "out": str(target),
            "rows": rows,
            "row_format": shape.value,
            **markers,
        },
        essential=[str(target)],
        human=lambda: [
            f"{target} is written: {rows:,} {'row' if rows == 1 else 'rows'} of {shape.value}.",
            *(f"  without the {name} {marker!r}" for name, marker in markers.items() if marker),
        ],
    )


def _find_shape(name: str | None) -> RowFormat | None:
    if name is None:
        return None
    try:
        return RowFormat(name)
    except ValueError:
        known = ", ".join(RowFormat)
        raise UsageError(f"--to {name}: unknown row format", hint=f"{known}.") from None


def _is_csv(target: Path) -> bool:
    if target.suffix.lower() not in _KINDS:
        raise UsageError(
            f"{target}: the output format is JSON lines or CSV", hint="Name it .jsonl or .csv."
        )
    return _KINDS[target.suffix.lower()]


def _detect_markers(source: Source) -> tuple[str, str]:
    """The known separator and stop sequence that most of the first rows end with."""
    _, profile = read_profile(source.batches(), source.unit)
    return get_removable_markers(profile)
