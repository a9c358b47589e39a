"""Where the files of a run are; imports nothing that is slow to load."""

from pathlib import Path

from ftops.records import RunId


def get_run_folder(home: Path, run_id: RunId) -> Path:
    """The folder of that run in FTOPS_HOME; it may not be there yet."""
    return home / "runs" / run_id
