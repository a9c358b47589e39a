"""`ftops init`: the first job file for a data file."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.output import Output
from ftops.errors import StorageError

DataFile = Annotated[Path, typer.Argument(metavar="DATA.jsonl", help="The training data.")]
Target = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="JOB.yaml", help="Where to; default: DATA.yaml."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a job file that is there.")]


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "init",
        examples=["ftops init data/train.jsonl", "ftops init data/train.jsonl -o jobs/first.yaml"],
    )(init)


def init(out: Output, data_file: DataFile, target: Target = None, force: Force = False) -> None:
    """Write a commented job file for a data file."""
    from ftops.dataset.summary import check_file
    from ftops.files import write_atomic
    from ftops.spec.starter import render_starter

    summary = check_file(data_file)
    path = target or Path(f"{data_file.stem}.yaml")
    if path.exists() and not force:
        raise StorageError(
            f"{path} is there already", hint="Name another with -o, or overwrite it with --force."
        )
    text = render_starter(
        _relative(data_file, path.parent),
        name=_make_name(path.stem),
        classes=len(summary.classes) if summary.classes else None,
        rows=summary.rows,
    )
    write_atomic(path, text.encode(), mode=0o644)
    out.finish(
        {"job_file": str(path), "training_file": str(data_file), "rows": summary.rows},
        essential=[str(path)],
        human=lambda: [f"{path} is written, for {summary.rows} rows.", f"Next: ftops run {path}"],
    )


def _relative(data_file: Path, folder: Path) -> str:
    """The data file as the job file in `folder` names it, with slashes."""
    return Path(os.path.relpath(data_file.absolute(), folder.absolute())).as_posix()


def _make_name(stem: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "first-job"
