"""The real `ftops` as a program for the process harness, with an optional crash point."""

from collections.abc import Sequence

from ftops import crashpoints
from ftops.cli.main import app

# Imported here, once for all commands; `ftops` imports them only when a command needs them.
from ftops.providers import local
from ftops.runs import open_run

NO_POINT = "-"
_LOADED = (open_run, local)


def main(arguments: Sequence[str]) -> int:
    """Run `ftops`.

    The arguments are the crash point or "-", the count at which the process dies there, and the
    arguments of `ftops`.
    """
    point, count, *command_line = arguments
    if point != NO_POINT:
        crashpoints.arm(point, int(count))
    try:
        app(list(command_line), prog_name="ftops")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
