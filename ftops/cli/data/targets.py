"""Data that a command reads more than once."""

from pathlib import Path


def check_is_file(*paths: Path) -> None:
    """DatasetError when a path stands for standard input, which can only be read once."""
    from ftops.errors import DatasetError

    if Path("-") in paths:
        raise DatasetError(
            "standard input can be read only once, and this takes more",
            hint="Save it as a file, and name that.",
        )
