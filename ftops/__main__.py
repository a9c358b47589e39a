"""`ftops` and `python -m ftops`: answers `--version` at once, leaves the rest to `ftops.cli`."""

import sys

from ftops import __version__


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"ftops {__version__}\n")
        return
    from ftops.cli.main import run_app

    run_app()


if __name__ == "__main__":
    main()
