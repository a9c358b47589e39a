"""The reference of the command line as Markdown, made of the help that each command prints."""

import re
from collections.abc import Iterator, Sequence

from typer.testing import CliRunner

from ftops.cli.main import app

_INTRODUCTION = """\
# Commands

Every command takes `--json` (one JSON document on the standard output: an array for lists, an
object otherwise; the API's field names where it has one; times as whole seconds since 1970) and
`--quiet` (only what a script needs, one a line). Diagnostics and errors go to the standard error.
With `--json`, an error is a document too: `{"error": {"message", "type", "hint", …}}`.

This page is made of the commands' own help.
"""
_COMMAND = re.compile(r"^  ([a-z]+)  ", re.MULTILINE)


def render_reference() -> str:
    """All commands with their help; the same text on every machine."""
    sections = [_INTRODUCTION]
    for path, text in _list_helps(()):
        title = " ".join(("ftops", *path))
        sections.append(f"{'##' if len(path) < 2 else '###'} {title}\n\n```text\n{text}```\n")
    return "\n".join(sections)


def _list_helps(path: Sequence[str]) -> Iterator[tuple[Sequence[str], str]]:
    """Every command below `path` with its help, the group itself first."""
    text = _read_help(path)
    yield path, text
    _, found, listed = text.partition("Commands:\n")
    if found:
        block = listed.partition("\n\n")[0]
        for name in _COMMAND.findall(block):
            yield from _list_helps((*path, name))


def _read_help(path: Sequence[str]) -> str:
    result = CliRunner().invoke(
        app, [*path, "--help"], prog_name="ftops", env={"COLUMNS": "80"}, color=False
    )
    if result.exit_code != 0:
        raise RuntimeError(f"no help for {' '.join(path)}: {result.output}")
    return "".join(f"{line.rstrip()}\n" for line in result.output.splitlines())
