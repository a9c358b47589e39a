"""`ftops init` and `ftops schema`: a first job file, and the JSON Schema of job files."""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.data.next_steps import find_plan_file
from ftops.cli.data.options import (
    CompletionColumn,
    LayoutName,
    PromptColumn,
    say_layout,
)
from ftops.cli.output import Output
from ftops.data.findings import format_rows
from ftops.data.fixes.registry import FIX_PARAMS
from ftops.data.plans.planner import open_for_plan, pin_layout, write_prepared
from ftops.data.reading.options import AUTO, ReadOptions, options_to_plan
from ftops.data.reading.source import open_source
from ftops.data.summary import DataSummary, check_file
from ftops.errors import StorageError
from ftops.files import write_atomic
from ftops.records import Json, RowFormat
from ftops.spec.job_file import ALLOW_OUTSIDE, find_outside
from ftops.spec.plan_file import read_plan
from ftops.spec.schema import render_schema
from ftops.spec.template import render_starter

DataFile = Annotated[Path, typer.Argument(metavar="DATA.jsonl", help="The training data.")]
Target = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="JOB.yaml", help="Where to; default: DATA.yaml."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a job file that is there.")]
Plan = Annotated[
    Path | None,
    typer.Option("--plan", metavar="PLAN", help="Plan for the data; default: the one beside it."),
]
Validation = Annotated[
    Path | None,
    typer.Option("--validation", metavar="FILE", help="Validation data: the job's second file."),
]


@command(
    "init",
    examples=[
        "ftops init data/train.jsonl",
        "ftops init data/train.jsonl -o jobs/first.yaml",
        "ftops init rows_train.jsonl --validation rows_validation.jsonl",
        "ftops init data/train.csv --prompt '{question} ->' --completion answer",
        "ftops init alpaca.json --layout alpaca",
    ],
)
def init(
    out: Output,
    data_file: DataFile,
    target: Target = None,
    force: Force = False,
    plan: Plan = None,
    validation: Validation = None,
    prompt: PromptColumn = None,
    completion: CompletionColumn = None,
    layout: LayoutName = None,
) -> None:
    """Write a commented job file for a data file.

    The layout that rows are recognised by, such as Alpaca or ShareGPT, goes into the job file.
    A plan that `ftops data prepare` has left beside the data, or beside what it was split from,
    goes into the job file.
    """
    plan = plan or find_plan_file(data_file)
    options = ReadOptions(prompt=prompt, completion=completion, layout=layout or AUTO)
    options = options if plan else _find_layout(out, data_file, options)
    summary = _look(data_file, options, plan)
    if validation:
        _look(validation, options, plan)
    path = target or Path(f"{data_file.stem}.yaml")
    if path.exists() and not force:
        raise StorageError(
            f"{path} is there already", hint="Name another with -o, or overwrite it with --force."
        )
    text = render_starter(
        _relative(data_file, path.parent),
        name=_make_name(path.stem),
        preference=summary.format is RowFormat.PREFERENCE,
        classes=len(summary.classes) if summary.classes else None,
        rows=summary.rows,
        validation_file=_relative(validation, path.parent) if validation else None,
        prepare={"plan": _relative(plan, path.parent)} if plan else options_to_plan(options),
    )
    write_atomic(path, text.encode(), mode=0o644)
    document: dict[str, Json] = {
        "job_file": str(path),
        "training_file": str(data_file),
        **({"validation_file": str(validation)} if validation else {}),
        **({"plan": str(plan)} if plan else {}),
        **({"layout": options.layout} if options.layout not in (None, AUTO) else {}),
        "rows": summary.rows,
    }
    files = [file for file in (data_file, validation, plan) if file is not None]
    out.finish(document, essential=[str(path)], human=lambda: _say_next(path, files, summary.rows))


def _say_next(path: Path, files: list[Path], rows: int) -> Iterator[str]:
    yield f"{path} is written, for {format_rows(rows)}."
    if any(find_outside(file, path.parent) for file in files):
        yield f"Its data is outside its folder, so its commands need {ALLOW_OUTSIDE}."
        yield f"Next: ftops run {path} {ALLOW_OUTSIDE}"
    else:
        yield f"Next: ftops run {path}"


def _find_layout(out: Output, data_file: Path, options: ReadOptions) -> ReadOptions:
    """The options with the layout that the rows have, once that is said."""
    source = open_source(data_file, options)
    say_layout(out, source)
    return pin_layout(options, source)


def _look(data_file: Path, options: ReadOptions, plan: Path | None) -> DataSummary:
    """What the data holds once it is made ready."""
    if plan is None:
        return check_file(data_file, options)
    with tempfile.TemporaryDirectory(prefix="ftops-") as folder:
        steps = read_plan(plan, FIX_PARAMS)
        rows = Path(folder) / "rows.jsonl"
        write_prepared(open_for_plan(data_file, options, steps), steps, rows)
        return check_file(rows)


def _relative(data_file: Path, folder: Path) -> str:
    """The data file as the job file in `folder` names it, with slashes."""
    return Path(os.path.relpath(data_file.absolute(), folder.absolute())).as_posix()


def _make_name(stem: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "first-job"


@command("schema", examples=["ftops schema > job.schema.json"])
def schema(out: Output) -> None:
    """Print the JSON Schema of the job file."""
    text = render_schema()
    out.finish_text(json.loads(text), text)
