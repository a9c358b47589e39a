"""Assembles the command line: one line per group of commands."""

import contextlib
import io
import sys
from typing import Annotated

import typer

from ftops import __version__
from ftops.cli import (
    adopt,
    backup,
    batch,
    chat,
    check,
    complete,
    doctor,
    evaluate,
    files,
    init,
    logs,
    models,
    pause,
    promptfoo,
    prune,
    report,
    results,
    run,
    runs,
    schema,
    track,
    trust,
)
from ftops.cli.command import AsJson, Flags, Quiet, make_app
from ftops.cli.data import group as data
from ftops.cli.engine import add_to as add_engine
from ftops.cli.failures import EXIT_CODES

_EPILOG = "\n".join(
    ["Start with:\n\n\b\n  ftops run configs/news-topics.yaml\n", "Exit codes:\n\n\b"]
    + [f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES]
    + ["\n`ftops COMMAND --help` shows the options and an example of each command."]
)

app = make_app("One fine-tuning job file, any engine, nothing lost.", epilog=_EPILOG)
for part in (
    run, adopt, check, data, runs, pause, logs, results, report, evaluate, track, models, files,
    complete, chat, batch, promptfoo, doctor, trust, prune, backup, schema, init,
):  # fmt: skip
    part.add_to(app)
add_engine(app)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ftops {__version__}")
        raise typer.Exit


@app.callback()
def accept_flags(
    ctx: typer.Context,
    as_json: AsJson = False,
    quiet: Quiet = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """One fine-tuning job file, any engine, nothing lost."""
    ctx.obj = Flags(as_json=as_json, quiet=quiet)


def run_app() -> None:
    """Run the command that the process was started with, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError):  # a stream that is closed
                stream.reconfigure(errors="backslashreplace")  # no text may end a command
    app(prog_name="ftops")
