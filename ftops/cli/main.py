"""The command line: the table of commands, and the code that runs the chosen one.

A line of `COMMANDS` is a command and the module that defines it with `command`. The module is
imported when the command is used, so its own imports are at the top. `ftops COMMAND --help` does
not get here: `ftops.__main__` prints it from `help.txt`, which `make fix` writes.
"""

import contextlib
import importlib
import io
import sys
from collections import UserDict
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ftops import __version__
from ftops.cli.command import DEFINED, AsJson, Flags, Quiet
from ftops.cli.errors import EXIT_CODES

COMMANDS = {
    "run": "ftops.cli.run",
    "follow": "ftops.cli.run",
    "adopt": "ftops.cli.run",
    "check": "ftops.cli.check",
    "data check": "ftops.cli.data.check",
    "data prepare": "ftops.cli.data.prepare",
    "data convert": "ftops.cli.data.convert",
    "data split": "ftops.cli.data.split",
    "data baseline": "ftops.cli.data.baseline",
    "data stats": "ftops.cli.data.stats",
    "data preview": "ftops.cli.data.preview",
    "data sample": "ftops.cli.data.sample",
    "data diff": "ftops.cli.data.diff",
    "runs": "ftops.cli.runs",
    "show": "ftops.cli.show",
    "cancel": "ftops.cli.job_control",
    "pause": "ftops.cli.job_control",
    "resume": "ftops.cli.job_control",
    "logs": "ftops.cli.logs",
    "results": "ftops.cli.results",
    "report": "ftops.cli.report",
    "eval": "ftops.cli.evaluate",
    "compare": "ftops.cli.evaluate",
    "export": "ftops.cli.export",
    "models list": "ftops.cli.models",
    "models show": "ftops.cli.model_details",
    "models export": "ftops.cli.models_export",
    "models download": "ftops.cli.models_download",
    "models delete": "ftops.cli.models",
    "deploy": "ftops.cli.deployments",
    "undeploy": "ftops.cli.deployments",
    "deployments": "ftops.cli.deployments",
    "files list": "ftops.cli.files",
    "files delete": "ftops.cli.files",
    "complete": "ftops.cli.complete",
    "chat": "ftops.cli.chat",
    "batch": "ftops.cli.batch",
    "promptfoo import": "ftops.cli.promptfoo",
    "promptfoo export": "ftops.cli.promptfoo",
    "doctor": "ftops.cli.doctor",
    "trust": "ftops.cli.trust",
    "prune": "ftops.cli.prune",
    "backup": "ftops.cli.backup",
    "restore": "ftops.cli.backup",
    "schema": "ftops.cli.init",
    "init": "ftops.cli.init",
    "serve": "ftops.cli.serve",
    "engine status": "ftops.cli.engine",
    "engine stop": "ftops.cli.engine",
    "engine env": "ftops.cli.engine",
    "engine models add": "ftops.cli.engine_models",
    "engine models list": "ftops.cli.engine_models",
    "engine models rm": "ftops.cli.engine_models",
    "engine keys create": "ftops.cli.engine",
    "engine keys list": "ftops.cli.engine",
    "engine keys delete": "ftops.cli.engine",
}
GROUPS = {
    "data": "Check, fix, split and view training data.",
    "models": "List, inspect, export, download and delete fine-tuned models.",
    "files": "List and delete uploaded files.",
    "promptfoo": "Convert evaluations from and to promptfoo.",
    "engine": "Inspect and control the built-in engine.",
    "engine models": "Manage the base models of the built-in engine.",
    "engine keys": "Manage the API keys of the built-in engine.",
}
_ABOUT = "Run fine-tuning jobs from one YAML file: check the data, train, resume, evaluate."
_EPILOG = "\n".join(
    ["Start with:\n\n\b\n  ftops run configs/news-topics.yaml\n", "Exit codes:\n\n\b"]
    + [f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES]
    + ["\n`ftops COMMAND --help` shows the options and an example of each command."]
)


class _LazyCommands(UserDict[str, Any]):
    """The commands of a group by name; a command is imported when it is looked up."""

    def __init__(self, group: str) -> None:
        prefix = f"{group} ".lstrip()
        paths = [path for path in COMMANDS if path.startswith(prefix)]
        super().__init__({path[len(prefix) :].partition(" ")[0]: prefix for path in paths})

    def __getitem__(self, name: str) -> Any:
        path = self.data[name] + name
        if path in GROUPS:
            return LazyGroup(
                name=path, help=GROUPS[path], no_args_is_help=True, rich_markup_mode=None
            )
        importlib.import_module(COMMANDS[path])
        return DEFINED[path]


class LazyGroup(TyperGroup):
    """A group of the commands in `COMMANDS` whose names begin with its own."""

    def __init__(self, *, name: str | None = None, **settings: Any) -> None:
        super().__init__(name=name, **settings)
        self.commands = _LazyCommands(name or "")


app = typer.Typer(
    cls=LazyGroup,
    help=_ABOUT,
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_set: bool) -> None:
    if is_set:
        typer.echo(f"ftops {__version__}")
        raise typer.Exit


@app.callback()
def set_flags(
    ctx: typer.Context,
    as_json: AsJson = False,
    quiet: Quiet = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    ctx.obj = Flags(as_json=as_json, quiet=quiet)


def run_app() -> None:
    """Run the command of this process and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError):  # a closed stream
                stream.reconfigure(errors="backslashreplace")  # no text may end a command
    app(prog_name="ftops")
