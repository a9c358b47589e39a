"""`ftops data preview`: rows as the model will see them, of a data file or of a job file."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ftops.cli.command import command
from ftops.cli.data.options import (
    Fetch,
    Reading,
    Target,
    fetch_missing,
    get_token_limit,
    parse_target,
    print_layout,
)
from ftops.cli.data.token_preview import find_base_model, show_tokens
from ftops.cli.factory import open_provider
from ftops.cli.format import cell, indent, render_pairs
from ftops.cli.job_file import load_job_file
from ftops.cli.options import AllowOutside
from ftops.cli.output import Output, clean
from ftops.data.checks.check import DataTarget
from ftops.data.prepare import Recipe, prepare_row
from ftops.data.preview import PreviewRow, PreviewSegment, preview_rows, select_rows
from ftops.data.profile import TokenLimit, get_removable_markers
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import open_source
from ftops.data.rows import Row
from ftops.data.summary import CharCounts, count_chars
from ftops.data.tokens.counter import VocabularyCounter, estimate_error, format_method, open_counter
from ftops.engine.base_models import BaseModel
from ftops.errors import DatasetError
from ftops.records import ENGINE_PROVIDER, Json, RowFormat
from ftops.runs.preprocessing import choose_recipe, prepare_data_file

_LEARN, _READ, _MARK, _SIGN = "green", "none", "bold yellow", "dim"
_SHOWN_CHARACTERS = 600  # characters of a segment


@dataclass(frozen=True, slots=True)
class PreviewStyle:
    """How rows are shown: their separators and stops, with token boundaries, and in full."""

    unit: str = "line"
    separator: str = ""
    stop: str = ""
    tokens: bool = False
    whole: bool = False


def get_token_error(rows: Sequence[PreviewRow], counter: VocabularyCounter) -> float:
    """The relative error of the token counts of the rows, by the scripts of their texts."""
    letters = (count_chars(segment.text) for row in rows for segment in row.segments)
    return estimate_error(sum(letters, CharCounts())) if counter.error else 0.0


def render_preview(
    about: list[tuple[str, object]],
    rows: list[PreviewRow],
    counter: VocabularyCounter,
    look: PreviewStyle,
) -> Iterator[RenderableType]:
    """A summary, then each row."""
    marks = [
        ("separator", repr(look.separator) if look.separator else None),
        ("stop", repr(look.stop) if look.stop else None),
        ("tokens", format_method(counter.method, get_token_error(rows, counter))),
    ]
    yield render_pairs([*about, *marks])
    for row in rows:
        yield ""
        counted = f"{'about ' if counter.error else ''}{row.tokens:,}"
        yield Text.assemble(
            (f"{look.unit} {row.place:,}", "bold"),
            f"  {counted} tokens, {row.trained_tokens:,} trained on",
        )
        yield indent(_render_row(row, look))


def _render_row(row: PreviewRow, look: PreviewStyle) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for segment in row.segments:
        how = ("learn", _LEARN) if segment.trained else ("read", _SIGN)
        table.add_row(
            Text(*how),
            cell(segment.role, "cyan"),
            f"{segment.tokens:,}",
            render_segment(segment, look),
        )
    return table


def render_segment(segment: PreviewSegment, look: PreviewStyle) -> Text:
    """The text of a segment, with its separator or stop marked."""
    style = _LEARN if segment.trained else _READ
    if look.tokens and segment.parts:
        return _render_tokens(segment, style)
    mark = {"prompt": look.separator, "completion": look.stop}.get(segment.role, "")
    body, end = segment.text, ""
    if mark and body.endswith(mark):
        body, end = body.removesuffix(mark), mark
    text = _render_body(body if look.whole else _shorten(body), style)
    if end:
        text.append("⟦", _SIGN).append(_show_breaks(end, blanks=True), _MARK).append("⟧", _SIGN)
    return text


def _render_body(body: str, style: str) -> Text:
    left = len(body) - len(body.lstrip(" "))
    right = len(body) - len(body.rstrip(" ")) if left < len(body) else 0
    text = Text("·" * left, _SIGN)
    text.append(_show_breaks(body[left : len(body) - right]), style)
    return text.append("·" * right, _SIGN)


def _render_tokens(segment: PreviewSegment, style: str) -> Text:
    text = Text()
    for number, part in enumerate(segment.parts):
        if number:
            text.append("|", _SIGN)
        text.append(_show_breaks(part, blanks=True), style)
    return text


def _show_breaks(text: str, *, blanks: bool = False) -> str:
    text = clean(text.replace("\r", "␍").replace("\t", "⇥")).replace("\n", "⏎")
    return text.replace(" ", "·") if blanks else text


def _shorten(text: str) -> str:
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    half = _SHOWN_CHARACTERS // 2
    return f"{text[:half]} … {len(text) - 2 * half:,} characters … {text[-half:]}"


def preview_to_json(
    name: str,
    rows: list[PreviewRow],
    counter: VocabularyCounter,
    look: PreviewStyle,
    changes: str | None,
) -> Json:
    """The preview as JSON, with full texts."""
    return {
        "file": name,
        "unit": look.unit,
        "as": changes,
        "separator": look.separator or None,
        "stop": look.stop or None,
        "tokens_method": counter.method,
        "tokens_error": get_token_error(rows, counter),
        "rows": [
            {
                "location": row.place,
                "tokens": row.tokens,
                "trained_tokens": row.trained_tokens,
                "segments": [
                    {**asdict(segment), "parts": list(segment.parts) or None}
                    for segment in row.segments
                ],
            }
            for row in rows
        ],
    }


Subject = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="Data file in any supported format, or a JOB.yaml; - for stdin."
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(
        "--rows",
        "-n",
        min=1,
        max=1000,
        help="Number of rows to show; default: 3, or 1 for a base model of the built-in engine.",
    ),
]
Line = Annotated[
    int | None,
    typer.Option("--line", "--row", min=1, help="Show only the row at this line (or row)."),
]
Tokens = Annotated[
    bool, typer.Option("--tokens", help="Show token boundaries (needs a local vocabulary).")
]
Whole = Annotated[bool, typer.Option("--whole", help="Do not truncate long texts.")]
_JOB_FILES = (".yaml", ".yml")
_USUAL = ("openai", "gpt-4.1")  # its vocabulary counts tokens if no model is named


@dataclass(frozen=True, slots=True)
class PreviewOptions:
    """Which rows are shown, and how."""

    rows: Rows = None
    line: Line = None
    tokens: Tokens = False
    whole: Whole = False

    def count_rows(self, base: BaseModel | None) -> int:
        """The number of rows to show."""
        return self.rows or (3 if base is None else 1)


@command(
    "data preview",
    examples=[
        "ftops data preview train.jsonl",
        "ftops data preview train.jsonl --line 120 --for openai/gpt-4o-mini --tokens",
        "ftops data preview train.jsonl --row 3 --for smollm2-135m",
        "ftops data preview train.csv --prompt '{question} ->' --completion answer",
        "ftops data preview job.yaml --rows 10",
    ],
)
def preview(
    out: Output,
    subject: Subject,
    *,
    options: PreviewOptions,
    reading: Reading,
    target_name: Target = None,
    fetch: Fetch = False,
    allow_outside: AllowOutside = False,
) -> None:
    """Show rows as the model sees them, and which tokens are trained on.

    The rows of a job file are shown as its `prepare:` section makes them. For a base model of the
    built-in engine they are shown as its tokens, after its chat template. Nothing is sent, and
    nothing is downloaded without --fetch.
    """
    if Path(subject).suffix.lower() in _JOB_FILES:
        shown = _choose_of_job(Path(subject), options, allow_outside=allow_outside)
    else:
        read_options, base = reading.to_read_options(), find_base_model(target_name)
        target = DataTarget() if base else parse_target(target_name)
        shown = _choose_of_data(out, subject, read_options, target, options, base)
    if shown.base is not None:
        place = shown.name, shown.unit
        show_tokens(out, *place, shown.rows, shown.base, with_borders=options.tokens)
        return
    if fetch:
        fetch_missing([shown.token_limit.vocabulary], out.info)
    counter = open_counter(shown.token_limit)
    seen = list(preview_rows(shown.rows, counter))
    look = PreviewStyle(shown.unit, shown.separator, shown.stop, options.tokens, options.whole)
    if options.tokens and not seen[0].segments[-1].parts:
        out.info(
            "note: the model's vocabulary is not on this machine; token boundaries are not shown"
        )
    out.finish(
        preview_to_json(shown.name, seen, counter, look, shown.changes),
        essential=[f"{row.place} {row.tokens} {row.trained_tokens}" for row in seen],
        human=lambda: render_preview(
            [("rows of", shown.name), ("for", shown.model or None), ("shown", shown.changes)],
            seen,
            counter,
            look,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """The rows to show, with their source and target."""

    name: str
    rows: Sequence[Row]
    unit: str
    token_limit: TokenLimit
    model: str = ""
    separator: str = ""
    stop: str = ""
    changes: str | None = None
    base: BaseModel | None = None  # that encodes the rows


def _choose_of_data(
    out: Output,
    name: str,
    read_options: ReadOptions,
    target: DataTarget,
    options: PreviewOptions,
    base: BaseModel | None,
) -> _Shown:
    """Choose rows of a data file, converted to chats if the model requires chats."""
    source = open_source(None if name == "-" else Path(name), read_options, stdin=sys.stdin.buffer)
    print_layout(out, source)
    chosen = select_rows(source, rows=options.count_rows(base), place=options.line)
    found, profile, changes = list(chosen.rows), chosen.profile, None
    if target.row_format is RowFormat.CHAT and profile.format is RowFormat.COMPLETION:
        recipe = Recipe(RowFormat.CHAT, *get_removable_markers(profile))
        found = [Row(row.line, RowFormat.CHAT, prepare_row(row, recipe)) for row in found]
        changes = "as chats, which the model wants"
    return _Shown(
        name=source.name,
        rows=found,
        unit=source.unit,
        token_limit=target.token_limit if target.model else get_token_limit(*_USUAL),
        model=f"{target.provider}/{target.model}" if target.model else "",
        separator="" if changes else profile.separator,
        stop="" if changes else profile.stop,
        changes=changes,
        base=base,
    )


def _choose_of_job(path: Path, options: PreviewOptions, *, allow_outside: bool) -> _Shown:
    """Choose rows of a job's training file, prepared for the upload."""
    job = load_job_file(path, [], allow_outside=allow_outside)
    spec = job.spec
    with (
        tempfile.TemporaryDirectory(prefix="ftops-") as folder,
        open_provider(spec.provider_settings()) as provider,
    ):
        recipe = choose_recipe(spec, job.path, provider)
        made = prepare_data_file(
            job.find_data(spec.training_file), "train", spec.training_file, recipe, Path(folder)
        )
        if made.summary is None:
            raise DatasetError(
                f"{path}: training_file is {spec.training_file}, which lies at the provider",
                hint="Only data on this machine can be shown.",
            )
        source = replace(open_source(made.summary.path), name=spec.training_file)
        name = provider.name
        base = find_base_model(f"{name}/{spec.model}") if name == ENGINE_PROVIDER else None
        chosen = select_rows(source, rows=options.count_rows(base), place=options.line)
    pairs = recipe.format is RowFormat.COMPLETION
    return _Shown(
        name=spec.training_file,
        rows=chosen.rows,
        unit="row",
        token_limit=get_token_limit(name, spec.model),
        model=f"{name}/{spec.model}",
        separator=(recipe.separator or chosen.profile.separator) if pairs else "",
        stop=(recipe.stop or chosen.profile.stop) if pairs else "",
        changes=f"as {path} prepares them",
        base=base,
    )
