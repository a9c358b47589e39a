"""Opens data: a file, a folder or standard input, in any supported format.

`open_source` detects the format from the first bytes and notes what it detected. The source then
yields its records in batches, in constant memory where the format allows.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from ftops.data.keys import describe_key_content, is_metadata
from ftops.data.reading.arrow import read_folder, read_parquet
from ftops.data.reading.batch import Batch, Batches
from ftops.data.reading.columns import (
    RowMapper,
    create_pair_mapper,
    create_template,
    drop_keys,
    map_batches,
)
from ftops.data.reading.decoding import Stream, detect_encoding, open_stream, read_text
from ftops.data.reading.detection import (
    DELIMITERS,
    check_text,
    detect_binary_format,
    detect_text_format,
    find_delimiter,
    find_format_by_name,
)
from ftops.data.reading.json_document import read_document
from ftops.data.reading.lines import limit_line_length, read_json_lines, read_plain_text
from ftops.data.reading.options import AS_IS, MAX_DOCUMENT_BYTES, TABLES, Format, ReadOptions
from ftops.data.reading.recognition import (
    SAMPLED_RECORDS,
    RecognizedLayout,
    choose_layout,
    create_row_mapper,
    describe_layout,
    guess_columns,
)
from ftops.data.reading.tables import Table, read_delimited
from ftops.errors import DatasetError

_READ_ON_OPEN = frozenset({Format.XLSX, Format.PARQUET})  # read when they are opened
_SIGNS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_SAMPLED_BATCHES = 20
_ROW_PLACES = frozenset({Format.JSON, Format.XLSX, Format.PARQUET, Format.DATASET})


@dataclass(frozen=True, slots=True)
class Source:
    """An open source: its format, what was detected, and its records.

    `batches` reads from the start each time; workbooks, Parquet and standard input are read only
    once. `unit` is what places count: "line" or "row". `inferred` are notes on what was detected.
    `plain` is the path of uncompressed UTF-8 JSON lines, which can be read by byte ranges. `layout`
    is the detected or requested layout, if rows are converted.
    """

    name: str
    format: Format
    unit: str
    inferred: tuple[str, ...]
    batches: Callable[[], Batches]
    plain: Path | None = None
    layout: str | None = None


def open_source(
    path: Path | None, options: ReadOptions | None = None, *, stdin: BinaryIO | None = None
) -> Source:
    """Open the file or folder at `path` (None: standard input) and detect its format.

    Raises DatasetError for data that cannot be read; so may the batches, later.
    """
    options = options or ReadOptions()
    if path is not None and path.is_dir():
        return _open_folder(path, options)
    stream, compression = open_stream(path, stdin)
    if path is None:
        return _open(path, stream, compression, options)
    with closing(stream):
        source = _open(path, stream, compression, options)
    if source.format in _READ_ON_OPEN:
        return source
    return replace(source, batches=lambda: _read_again(path, options))


def _read_again(path: Path, options: ReadOptions) -> Batches:
    """The records of a file from the start; it is not kept open after detection."""
    stream, compression = open_stream(path)
    with closing(stream):
        yield from _open(path, stream, compression, options).batches()


def _open(path: Path | None, stream: Stream, compression: str, options: ReadOptions) -> Source:
    head = stream.peek()
    found = detect_binary_format(stream.name, head)
    if found is None and options.format in (Format.XLSX, Format.PARQUET):
        raise DatasetError(f"{stream.name}: not a {options.format} file")
    notes = [f"compressed with {compression}"] if compression else []
    if found is not None:
        return _open_binary(path if not compression else None, stream, found, notes, options)
    encoding = detect_encoding(head, options.encoding)
    text = _decode_head(head, encoding)
    hint = find_format_by_name(stream.name)
    check_text(stream.name, text, hint)
    kind = options.format or detect_text_format(stream.name, text, hint)
    if options.format is None:
        notes.insert(0, f"format {kind}")
    if options.encoding is None and (encoding != "utf-8" or kind is not Format.JSONL):
        notes.append(f"encoding {encoding}")
    if kind in TABLES:
        return _open_delimited(stream, kind, encoding, text, notes, options)
    return _open_records(path if not compression else None, stream, kind, encoding, notes, options)


def _open_records(
    path: Path | None,
    stream: Stream,
    kind: Format,
    encoding: str,
    notes: list[str],
    options: ReadOptions,
) -> Source:
    pieces = read_text(stream, encoding)
    if kind is not Format.JSON:
        pieces = limit_line_length(stream.name, pieces)
    if kind is Format.TXT:
        notes.append("each line is a completion with an empty prompt")
    if kind is Format.TXT:
        batches, found = read_plain_text(pieces), None
    else:
        read = (
            read_json_lines(pieces) if kind is Format.JSONL else read_document(stream.name, pieces)
        )
        batches, found = _recognise(stream.name, read, options)
    make = _choose_free_rows(stream.name, options) if kind is not Format.TXT else None
    make = create_row_mapper(found) if found else make
    plain = kind is Format.JSONL and encoding == "utf-8" and not make and not options.drop
    return Source(
        name=stream.name,
        format=kind,
        unit="row" if kind in _ROW_PLACES else "line",
        inferred=(*notes, *(describe_layout(found) if found else ())),
        batches=lambda: map_batches(batches, make) if make else batches,
        plain=path if plain else None,
        layout=found.layout.name if found else None,
    )


def _recognise(
    name: str, batches: Batches, options: ReadOptions
) -> tuple[Batches, RecognizedLayout | None]:
    """The batches without dropped keys, and the layout of their first records.

    The layout is None if the rows are read as they are.
    """
    if options.drop and options.prompt is None and options.completion is None:
        batches = drop_keys(batches, options.drop)
    if options.layout == AS_IS or (options.prompt or options.completion) is not None:
        return batches, None
    first: list[Batch] = []
    records: list[object] = []
    for batch in batches:
        first.append(batch)
        records += batch.values
        if len(records) >= SAMPLED_RECORDS or len(first) >= _SAMPLED_BATCHES:
            break
    return chain(first, batches), choose_layout(name, records[:SAMPLED_RECORDS], options.layout)


def _decode_head(head: bytes, encoding: str) -> str:
    return head.decode(encoding, "replace").removeprefix("\ufeff")


def _open_delimited(
    stream: Stream, format: Format, encoding: str, head: str, notes: list[str], options: ReadOptions
) -> Source:
    delimiter = options.delimiter
    if delimiter is None:
        delimiter = find_delimiter(head) or ("\t" if format is Format.TSV else ",")
        notes.append(f"columns separated by {_SIGNS[delimiter]}")
    elif delimiter == r"\t":
        delimiter = "\t"
    elif len(delimiter) != 1 or delimiter in '"\r\n':
        signs = " ".join(sign for sign in DELIMITERS if sign != "\t")
        raise DatasetError(
            f"{delimiter!r} is not a delimiter: use one character", hint=rf"Such as {signs} \t"
        )
    pieces = limit_line_length(stream.name, read_text(stream, encoding))
    table = read_delimited(stream.name, pieces, delimiter)
    source = _make_table_source(stream.name, format, table, notes, options)
    return replace(source, unit="line")


def _open_binary(
    path: Path | None, stream: Stream, format: Format, notes: list[str], options: ReadOptions
) -> Source:
    if options.format not in (None, format):
        raise DatasetError(f"{stream.name}: this is not {options.format}, it is {format}")
    notes.insert(0, f"format {format}")
    if format is Format.PARQUET:
        table = read_parquet(stream.name, path if path else _read_whole(stream))
        return _make_table_source(stream.name, format, table, notes, options)
    from ftops.data.reading.xlsx import read_sheet

    data = _read_whole(stream)
    table, sheet, sheets = read_sheet(stream.name, data, options.sheet)
    if options.sheet is None:
        others = f", of {', '.join(sheets)}" if len(sheets) > 1 else ""
        notes.append(f"sheet {sheet}{others}")
    return _make_table_source(stream.name, format, table, notes, options)


def _read_whole(stream: Stream) -> bytes:
    pieces, size = [], 0
    for piece in stream.pieces():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_DOCUMENT_BYTES:
            raise DatasetError(
                f"{stream.name}: larger than {MAX_DOCUMENT_BYTES >> 20} MiB, the limit for this"
                " format",
                hint="Save it as CSV or JSON lines, which are read row by row.",
            )
    return b"".join(pieces)


def _open_folder(folder: Path, options: ReadOptions) -> Source:
    name = str(folder)
    if options.format not in (None, Format.DATASET):
        raise DatasetError(f"{name}: this is a folder, not {options.format}")
    table, split, splits = read_folder(name, folder, options.sheet)
    notes = ["format dataset"]
    if options.sheet is None and len(splits) > 1:
        notes.append(f"split {split}, of {', '.join(splits)}")
    return _make_table_source(name, Format.DATASET, table, notes, options)


def _make_table_source(
    name: str, format: Format, table: Table, notes: list[str], options: ReadOptions
) -> Source:
    batches, found = _recognise(name, table.batches, options)
    if found:
        inferred = (*notes, *describe_layout(found))
        make = create_row_mapper(found)
        layout = found.layout.name
        return Source(
            name, format, "row", inferred, lambda: map_batches(batches, make), None, layout
        )
    try:
        chosen = _choose_table_rows(name, table.columns, notes, options)
    except DatasetError as error:
        parts = (one for one in notes if one.startswith(("sheet ", "split ")) and ", of " in one)
        for part in parts:
            error.hint += f" This is {part}; --sheet names another."
        raise
    return Source(
        name,
        format,
        "row",
        tuple(notes),
        lambda: map_batches(batches, chosen) if chosen else batches,
    )


def _choose_free_rows(name: str, options: ReadOptions) -> RowMapper | None:
    """The mapper for records without fixed columns; None without --prompt and --completion."""
    if options.prompt is None and options.completion is None:
        return None
    prompt = create_template(options.prompt or "prompt", None, "--prompt", name)
    completion = create_template(options.completion or "completion", None, "--completion", name)
    return create_pair_mapper(prompt, completion)


def _choose_table_rows(
    name: str, columns: tuple[str, ...], notes: list[str], options: ReadOptions
) -> RowMapper | None:
    """The mapper from table columns to prompt and completion; None for a table of chats."""
    asked = options.prompt is not None or options.completion is not None
    if not asked and "messages" in columns:
        return None
    lower = {column.lower(): column for column in reversed(columns)}
    chosen = []
    for key, given in (("prompt", options.prompt), ("completion", options.completion)):
        column = given if given is not None else lower.get(key)
        if column is None:
            shown = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
            prompt, completion = guess_columns(columns)
            raise DatasetError(
                f"{name}: no column for the {key}; the columns are {shown}",
                hint="Name columns or templates of them, such as --prompt "
                f"'{{{prompt}}}' --completion '{completion}'"
                " (in a job file: `prepare: {prompt: …, completion: …}`).",
            )
        if given is None and column != key:
            notes.append(f"the {key} is the column {column}")
        chosen.append(create_template(column, columns, f"--{key}", name))
    _note_unused(name, columns, options, lower, notes)
    return create_pair_mapper(chosen[0], chosen[1])


def _note_unused(
    name: str,
    columns: tuple[str, ...],
    options: ReadOptions,
    lower: dict[str, str],
    notes: list[str],
) -> None:
    """Note unused columns. Raises DatasetError unless the user chose the columns."""
    used = {options.prompt or lower.get("prompt"), options.completion or lower.get("completion")}
    texts = "".join(one for one in used if one)
    unused = [one for one in columns if one not in used and f"{{{one}}}" not in texts]
    if options.prompt is None and options.completion is None:
        unknown = [one for one in unused if one not in options.drop and not is_metadata(one)]
        if unknown:
            raise _unused_columns_error(name, unknown, lower)
    if unused:
        shown = ", ".join(unused[:8]) + (", …" if len(unused) > 8 else "")
        notes.append(f"not used: the column{'s' if len(unused) > 1 else ''} {shown}")


def _unused_columns_error(name: str, columns: Sequence[str], lower: dict[str, str]) -> DatasetError:
    """The error for unused columns that may hold training data."""
    carried = [f"{one} holds {what}" for one in columns if (what := describe_key_content(one))]
    what = f" ({', '.join(carried)})" if carried else ""
    many = "columns" if len(columns) > 1 else "column"
    return DatasetError(
        f"{name}: the {many} {', '.join(columns)} would be lost{what}",
        hint=f"Drop them with --drop {','.join(columns)}, or name"
        f" the columns to read: --prompt '{lower['prompt']}'"
        f" --completion '{lower['completion']}'"
        " (in a job file: `prepare: {prompt: …, completion: …}`).",
    )
