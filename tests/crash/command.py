"""The real `ftops` as a program for the process harness, which may die at a crash point."""

from collections.abc import Sequence

from ftops import crashpoints
from ftops.cli.main import app

# What a command imports only once it needs it: loaded here, where it is loaded once for all.
from ftops.providers import local
from ftops.runs import open_run

NOWHERE = "-"
_LOADED = (open_run, local)


def main(arguments: Sequence[str]) -> int:
    """Run `ftops`; the arguments are the point at which to die or "-", at its how manieth
    passing, and what a user would type."""
    point, count, *typed = arguments
    if point != NOWHERE:
        crashpoints.arm(point, int(count))
    try:
        app(list(typed), prog_name="ftops")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
