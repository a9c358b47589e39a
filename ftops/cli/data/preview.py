"""`ftops data preview`: rows as the model will see them, of a data file or of a job file."""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.data.aims import make_gauge, parse_target
from ftops.cli.data.options import Reading, Target, say_layout
from ftops.cli.data.preview_view import Look, preview_to_json, render_preview
from ftops.cli.data.vocabularies import Fetch, fetch_missing
from ftops.cli.factory import open_provider
from ftops.cli.job_file import load_job_file
from ftops.cli.options import AllowOutside
from ftops.cli.output import Output
from ftops.data.checks.check import DataTarget
from ftops.data.prepare import Recipe, prepare_row
from ftops.data.preview import preview_rows, select_rows
from ftops.data.profile import TokenLimit, get_removable_markers
from ftops.data.reading.options import ReadOptions
from ftops.data.reading.source import open_source
from ftops.data.rows import Row
from ftops.data.tokens.counter import open_counter
from ftops.errors import DatasetError
from ftops.records import RowFormat
from ftops.runs.preprocessing import choose_recipe
from ftops.runs.stages.prepare import make_file

Subject = Annotated[
    str, typer.Argument(metavar="FILE", help="The data, of any kind, or a JOB.yaml; - for stdin.")
]
Rows = Annotated[int, typer.Option("--rows", "-n", min=1, max=1000, help="How many rows to show.")]
Line = Annotated[
    int | None, typer.Option("--line", min=1, help="Show the one row of this line (or row).")
]
Tokens = Annotated[
    bool, typer.Option("--tokens", help="Part the tokens; the vocabulary must be on this machine.")
]
Whole = Annotated[bool, typer.Option("--whole", help="Do not shorten long texts.")]
_JOB_FILES = (".yaml", ".yml")
_USUAL = ("openai", "gpt-4.1")  # by whose vocabulary tokens are counted where nobody is named


@command(
    "data preview",
    examples=[
        "ftops data preview train.jsonl",
        "ftops data preview train.jsonl --line 120 --for openai/gpt-4o-mini --tokens",
        "ftops data preview train.csv --prompt '{question} ->' --completion answer",
        "ftops data preview job.yaml --rows 10",
    ],
)
def preview(
    out: Output,
    subject: Subject,
    rows: Rows = 3,
    line: Line = None,
    tokens: Tokens = False,
    whole: Whole = False,
    *,
    reading: Reading,
    target_name: Target = None,
    fetch: Fetch = False,
    allow_outside: AllowOutside = False,
) -> None:
    """Show rows as the model will see them, and what is learned.

    Of a job file, they are shown as its `prepare:` makes them. Nothing is sent, and nothing fetched
    without --fetch.
    """
    if Path(subject).suffix.lower() in _JOB_FILES:
        shown = _choose_of_job(Path(subject), rows, line, allow_outside=allow_outside)
    else:
        options = reading.find_options()
        shown = _choose_of_data(out, subject, options, parse_target(target_name), rows, line)
    if fetch:
        fetch_missing([shown.token_limit.vocabulary], out.info)
    counter = open_counter(shown.token_limit)
    seen = list(preview_rows(shown.rows, counter))
    look = Look(shown.unit, shown.separator, shown.stop, tokens, whole)
    if tokens and not seen[0].pieces[-1].parts:
        out.info("note: the model's vocabulary is not on this machine, so tokens cannot be parted")
    out.finish(
        preview_to_json(shown.name, seen, counter, look, shown.changes),
        essential=[f"{row.place} {row.tokens} {row.learned}" for row in seen],
        human=lambda: render_preview(
            [("rows of", shown.name), ("for", shown.model or None), ("shown", shown.changes)],
            seen,
            counter,
            look,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """Rows to be shown, and what is known of them."""

    name: str
    rows: Sequence[Row]
    unit: str
    token_limit: TokenLimit
    model: str = ""
    separator: str = ""
    stop: str = ""
    changes: str | None = None


def _choose_of_data(
    out: Output, name: str, options: ReadOptions, target: DataTarget, rows: int, line: int | None
) -> _Shown:
    """Rows of a data file: as they stand, or as chats where the model wants chats."""
    source = open_source(None if name == "-" else Path(name), options, stdin=sys.stdin.buffer)
    say_layout(out, source)
    chosen = select_rows(source, rows=rows, place=line)
    found, profile, changes = list(chosen.rows), chosen.profile, None
    if target.row_format is RowFormat.CHAT and profile.format is RowFormat.COMPLETION:
        recipe = Recipe(RowFormat.CHAT, *get_removable_markers(profile))
        found = [Row(row.line, RowFormat.CHAT, prepare_row(row, recipe)) for row in found]
        changes = "as chats, which the model wants"
    return _Shown(
        name=source.name,
        rows=found,
        unit=source.unit,
        token_limit=target.token_limit if target.model else make_gauge(*_USUAL),
        model=f"{target.provider}/{target.model}" if target.model else "",
        separator="" if changes else profile.separator,
        stop="" if changes else profile.stop,
        changes=changes,
    )


def _choose_of_job(path: Path, rows: int, line: int | None, *, allow_outside: bool) -> _Shown:
    """Rows of a job's training file as they would be sent."""
    job = load_job_file(path, [], allow_outside=allow_outside)
    spec = job.spec
    with (
        tempfile.TemporaryDirectory(prefix="ftops-") as folder,
        open_provider(spec.provider_settings()) as provider,
    ):
        recipe = choose_recipe(spec, job.path, provider)
        made = make_file(job.path, "train", spec.training_file, recipe, Path(folder))
        if made.summary is None:
            raise DatasetError(
                f"{path}: training_file is {spec.training_file}, which lies at the provider",
                hint="Only data on this machine can be shown.",
            )
        source = replace(open_source(made.summary.path), name=spec.training_file)
        chosen = select_rows(source, rows=rows, place=line)
        name = provider.name
    pairs = recipe.format is RowFormat.COMPLETION
    return _Shown(
        name=spec.training_file,
        rows=chosen.rows,
        unit="row",
        token_limit=make_gauge(name, spec.model),
        model=f"{name}/{spec.model}",
        separator=(recipe.separator or chosen.profile.separator) if pairs else "",
        stop=(recipe.stop or chosen.profile.stop) if pairs else "",
        changes=f"as {path} prepares them",
    )
