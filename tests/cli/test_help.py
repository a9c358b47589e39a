"""`ftops COMMAND --help` is printed from a file: it says what the command itself would say."""

import pytest

from ftops.__main__ import find_help
from ftops.cli.command import DEFINED
from ftops.cli.main import COMMANDS
from ftops.cli.reference import list_paths, render_help, render_transcript
from tests.cli.running import ftops


@pytest.mark.parametrize("path", [*list_paths()])
def test_the_stored_help_of_a_command_is_the_help_of_the_command(path: str) -> None:
    assert find_help(path.split()) == render_help(path)


def test_there_is_no_stored_help_of_what_is_no_command() -> None:
    assert find_help(["fly"]) is None
    assert find_help(["data", "check", "x.jsonl"]) is None


def test_every_module_defines_the_commands_that_the_table_names_there() -> None:
    render_transcript()  # imports them all
    assert set(DEFINED) == set(COMMANDS)


def test_a_short_flag_shows_the_help_and_a_mistyped_command_the_nearest_one() -> None:
    assert ftops("run", "-h").out == ftops("run", "--help").out
    assert "Did you mean 'check'" in ftops("data", "chekc").err
