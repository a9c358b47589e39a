"""`ftops init` and `ftops schema`: a first job file, and the JSON Schema of job files."""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.data.next_steps import find_plan_file
from ftops.cli.data.options import CompletionColumn, LayoutName, PromptColumn, print_layout
from ftops.cli.output import Output
from ftops.data.findings import format_rows
from ftops.data.fixes.registry import FIX_PARAMS
from ftops.data.plans.planner import open_for_plan, pin_layout, write_prepared
from ftops.data.reading.options import AUTO, ReadOptions, options_to_plan
from ftops.data.reading.source import open_source
from ftops.data.summary import DataSummary, check_file
from ftops.errors import StorageError
from ftops.files import write_atomic
from ftops.providers.registry import PROVIDERS, get_capabilities, render_provider
from ftops.records import ENGINE_PROVIDER, Json, ProviderSettings, RowFormat
from ftops.spec.job_file import ALLOW_OUTSIDE, find_outside
from ftops.spec.plan_file import read_plan
from ftops.spec.schema import render_schema, render_starter

DataFile = Annotated[Path, typer.Argument(metavar="DATA.jsonl", help="The training data.")]
Target = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="JOB.yaml", help="The job file; default: DATA.yaml."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an existing job file.")]
Plan = Annotated[
    Path | None,
    typer.Option("--plan", metavar="PLAN", help="Plan for the data; default: the plan next to it."),
]
StarterProvider = Annotated[
    str,
    typer.Option("--provider", metavar="NAME", help="Where to train: " + ", ".join(PROVIDERS)),
]
Validation = Annotated[
    Path | None,
    typer.Option("--validation", metavar="FILE", help="Validation data."),
]


@dataclass(frozen=True, slots=True)
class ColumnOptions:
    """Which parts of the data are the prompts and completions."""

    prompt: PromptColumn = None
    completion: CompletionColumn = None
    layout: LayoutName = None


@command(
    "init",
    examples=[
        "ftops init data/train.jsonl",
        "ftops init data/train.jsonl -o jobs/first.yaml",
        "ftops init rows_train.jsonl --validation rows_validation.jsonl",
        "ftops init data/train.csv --prompt '{question} ->' --completion answer",
        "ftops init alpaca.json --layout alpaca",
        "ftops init data/train.jsonl --provider nebius",
    ],
)
def init(
    out: Output,
    data_file: DataFile,
    target: Target = None,
    *,
    force: Force = False,
    plan: Plan = None,
    validation: Validation = None,
    provider: StarterProvider = ENGINE_PROVIDER,
    columns: ColumnOptions,
) -> None:
    """Write a commented job file for a data file.

    It contains the detected layout of the rows, such as Alpaca or ShareGPT, and the plan that
    `ftops data prepare` wrote next to the data, or next to the file it was split from.
    """
    plan = plan or find_plan_file(data_file)
    options = ReadOptions(
        prompt=columns.prompt, completion=columns.completion, layout=columns.layout or AUTO
    )
    get_capabilities(ProviderSettings(provider))  # raises for an unknown provider
    options = options if plan else _detect_layout(out, data_file, options)
    summary = _summarize(data_file, options, plan)
    if validation:
        _summarize(validation, options, plan)
    path = target or Path(f"{data_file.stem}.yaml")
    if path.exists() and not force:
        raise StorageError(
            f"{path} exists already", hint="Name another with -o, or overwrite it with --force."
        )
    text = render_starter(
        _relative(data_file, path.parent),
        name=_make_name(path.stem),
        provider=render_provider(provider),
        note=_describe_key(provider),
        models=PROVIDERS[provider].models,
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


def _describe_key(provider: str) -> str:
    address = PROVIDERS[provider].address
    if address is None:
        return "trains on this machine; docs/providers.md lists others"
    return f"needs {address.key_variable}"


def _say_next(path: Path, files: list[Path], rows: int) -> Iterator[str]:
    yield f"Wrote {path} for {format_rows(rows)}."
    if any(find_outside(file, path.parent) for file in files):
        yield f"Its data is outside its folder, so its commands need {ALLOW_OUTSIDE}."
        yield f"Next: ftops run {path} {ALLOW_OUTSIDE}"
    else:
        yield f"Next: ftops run {path}"


def _detect_layout(out: Output, data_file: Path, options: ReadOptions) -> ReadOptions:
    """The options with the detected layout, which is printed."""
    source = open_source(data_file, options)
    print_layout(out, source)
    return pin_layout(options, source)


def _summarize(data_file: Path, options: ReadOptions, plan: Path | None) -> DataSummary:
    if plan is None:
        return check_file(data_file, options)
    with tempfile.TemporaryDirectory(prefix="ftops-") as folder:
        steps = read_plan(plan, FIX_PARAMS)
        rows = Path(folder) / "rows.jsonl"
        write_prepared(open_for_plan(data_file, options, steps), steps, rows)
        return check_file(rows)


def _relative(data_file: Path, folder: Path) -> str:
    """The path of the data file relative to the folder of the job file, with slashes."""
    return Path(os.path.relpath(data_file.absolute(), folder.absolute())).as_posix()


def _make_name(stem: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "first-job"


@command("schema", examples=["ftops schema > job.schema.json"])
def schema(out: Output) -> None:
    """Print the JSON Schema of the job file."""
    text = render_schema(PROVIDERS)
    out.finish_text(json.loads(text), text)
