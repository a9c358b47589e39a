"""`ftops COMMAND --help` prints stored text that equals the help of the command."""

import pytest

from ftops.__main__ import find_help
from ftops.cli.command import DEFINED
from ftops.cli.main import COMMANDS
from ftops.cli.reference import list_paths, render_help, render_transcript
from tests.cli.running import ftops


@pytest.mark.parametrize("path", [*list_paths()])
def test_the_stored_help_equals_the_help_of_the_command(path: str) -> None:
    assert find_help(path.split()) == render_help(path)


def test_an_unknown_command_has_no_stored_help() -> None:
    assert find_help(["fly"]) is None
    assert find_help(["data", "check", "x.jsonl"]) is None


def test_every_module_defines_its_commands_of_the_table() -> None:
    render_transcript()  # imports them all
    assert set(DEFINED) == set(COMMANDS)


def test_h_shows_the_help_and_a_mistyped_command_a_suggestion() -> None:
    assert ftops("run", "-h").out == ftops("run", "--help").out
    assert "Did you mean 'check'" in ftops("data", "chekc").err
