"""The help of all commands, for `help.txt` and `docs/cli.md`."""

from collections.abc import Iterator

from typer.testing import CliRunner

from ftops.cli.main import COMMANDS, GROUPS, app

_INTRODUCTION = """\
# Commands

Every command takes `--json` (one JSON document on the standard output: an array for lists, an
object otherwise; the API's field names where it has one; times as whole seconds since 1970) and
`--quiet` (only what a script needs, one value per line). Diagnostics and errors go to the standard
error. With `--json`, an error is a document too: `{"error": {"message", "type", "hint", …}}`.

This page consists of the commands' own help.
"""


def render_reference() -> str:
    """All commands with their help, as Markdown; the same text on every machine."""
    sections = [_INTRODUCTION]
    for path in list_paths():
        level = "##" if " " not in path else "###"
        sections.append(f"{level} {f'ftops {path}'.rstrip()}\n\n```text\n{render_help(path)}```\n")
    return "\n".join(sections)


def render_transcript() -> str:
    """What `ftops COMMAND --help` prints, for each command."""
    helps = [f"$ {f'ftops {path}'.rstrip()} --help\n{render_help(path)}" for path in list_paths()]
    return "\n".join(helps)


def list_paths() -> Iterator[str]:
    """The words after `ftops` of each group and command; a group stands before its commands."""
    yield ""
    listed: set[str] = set()
    for command in COMMANDS:
        words = command.split(" ")
        for length in range(1, len(words)):
            group = " ".join(words[:length])
            if group not in listed:
                listed.add(group)
                yield group
        yield command
    assert listed == set(GROUPS)


def render_help(path: str) -> str:
    """The help of a command at 80 columns."""
    result = CliRunner().invoke(
        app, [*path.split(), "--help"], prog_name="ftops", env={"COLUMNS": "80"}, color=False
    )
    if result.exit_code != 0:
        raise RuntimeError(f"no help for {path}: {result.output}")
    return "".join(f"{line.rstrip()}\n" for line in result.output.splitlines())
