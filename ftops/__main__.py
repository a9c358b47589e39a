"""`ftops` and `python -m ftops`: prints version and help at once, leaves the rest to `ftops.cli`.

The help of a command is in `cli/help.txt`, which `make fix` writes, so no module of the command is
imported to print it. In a terminal of less than 80 columns the command prints its help itself.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ftops import __version__

_HELP = Path(__file__).with_name("cli") / "help.txt"
_HELP_COLUMNS = 80


def main() -> None:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        sys.stdout.write(f"ftops {__version__}\n")
        return
    if arguments[-1:] in (["--help"], ["-h"]):
        text = find_help(arguments[:-1])
        if text and shutil.get_terminal_size().columns >= _HELP_COLUMNS:
            sys.stdout.write(text)
            return
    from ftops.cli.main import run_app

    run_app()


def find_help(command: Sequence[str]) -> str | None:
    """The help of a command or group, named by its words; None for an unknown command."""
    title = " ".join(["$ ftops", *command, "--help\n"])
    _, found, rest = f"\n{_HELP.read_text(encoding='utf-8')}".partition(f"\n{title}")
    return rest.partition("\n$ ftops ")[0] if found else None


if __name__ == "__main__":
    main()
