"""The real `ftops` as a program for the process harness, with a fast clock."""

from collections.abc import Sequence
from pathlib import Path

from ftops.providers import openai
from tests.crash import command
from tests.faults.fast_clock import use_fast_clock

_LOADED = (openai,)


def main(arguments: Sequence[str]) -> int:
    """Run `ftops`; the arguments are the clock's file and those of `ftops`."""
    clock, *command_line = arguments
    use_fast_clock(Path(clock))
    return command.main([command.NO_POINT, "1", *command_line])
