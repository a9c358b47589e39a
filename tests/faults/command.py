"""The real `ftops` as a program for the process harness, with a fast clock."""

from collections.abc import Sequence
from pathlib import Path

from ftops.providers import openai
from tests.crash import command
from tests.faults.fast_clock import hurry

_LOADED = (openai,)


def main(arguments: Sequence[str]) -> int:
    """Run `ftops`; the arguments are the clock's file and what a user would type."""
    clock, *typed = arguments
    hurry(Path(clock))
    return command.main([command.NO_POINT, "1", *typed])
