"""Asks before something is deleted."""

import sys
from collections.abc import Sequence

import typer

from ftops.cli.output import Mode, Output, clean
from ftops.errors import FtopsError


class Refused(FtopsError):
    """Nothing was done, because nobody said yes."""


def confirm(out: Output, verb: str, names: Sequence[str], *, yes: bool) -> None:
    """Return when the user agrees; Refused when they do not, or cannot be asked."""
    if yes:
        return
    listed = ", ".join(names)
    if out.mode is not Mode.HUMAN or not sys.stdin.isatty():
        raise Refused(
            f"nothing was deleted: nobody can be asked about {listed}",
            hint="Give --yes to delete without a question.",
        )
    try:
        agreed = typer.confirm(f"{verb} {clean(listed)}?", err=True)
    except typer.Abort:  # Ctrl-C, or the end of the input
        agreed = False
    if not agreed:
        raise Refused("nothing was deleted")
