"""The real `ftops` as a program for the nursery, in which nobody waits for long."""

from collections.abc import Sequence
from pathlib import Path

from ftops.providers import openai
from tests.crash import command
from tests.faults.hurry import hurry

_LOADED = (openai,)


def main(arguments: Sequence[str]) -> int:
    """Run `ftops`; the arguments are the clock's file and what a user would type."""
    clock, *typed = arguments
    hurry(Path(clock))
    return command.main([command.NOWHERE, "1", *typed])
