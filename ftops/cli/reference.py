"""The help of all commands, for `help.txt` and `docs/cli.md`."""

from collections.abc import Iterator

from typer.testing import CliRunner

from ftops.cli.main import COMMANDS, GROUPS, app

_INTRODUCTION = """\
# Commands

All commands take `--json` (one JSON document on stdout: an array for lists, otherwise an object;
with the API's field names where they exist; times in whole seconds since 1970) and `--quiet` (only
what scripts need, one value per line). Progress and errors go to stderr. With `--json`, an error is
a document, too: `{"error": {"message", "type", "hint", …}}`.

This page is generated from the help of the commands.
"""


def render_reference() -> str:
    """All commands with their help, as Markdown."""
    sections = [_INTRODUCTION]
    for path in list_paths():
        level = "##" if " " not in path else "###"
        sections.append(f"{level} {f'ftops {path}'.rstrip()}\n\n```text\n{render_help(path)}```\n")
    return "\n".join(sections)


def render_transcript() -> str:
    """The output of `ftops COMMAND --help` for each command."""
    helps = [f"$ {f'ftops {path}'.rstrip()} --help\n{render_help(path)}" for path in list_paths()]
    return "\n".join(helps)


def list_paths() -> Iterator[str]:
    """The words after `ftops` of each group and command; a group comes before its commands."""
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
