"""`ftops backup` and `ftops restore`: a copy of the ledger, and the way back."""

from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.options import check_output_path
from ftops.cli.output import Output
from ftops.clock import SystemClock
from ftops.errors import LedgerError, RunBusy, StorageError
from ftops.ledger.backup import restore_backup, write_backup
from ftops.locks import is_locked
from ftops.runs.lock import FILENAME

BackupFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="The copy of the ledger.", show_default=False)
]

Force = Annotated[bool, typer.Option("--force", help="Overwrite FILE.")]


@command("backup", examples=["ftops backup ledger-backup.db"])
def backup(out: Output, file: BackupFile, force: Force = False) -> None:
    """Copy the ledger to a file, also while other commands use it.

    The ledger knows runs, jobs and models. Data, results and reports are in FTOPS_HOME/runs, and
    the engine's jobs in FTOPS_HOME/engine; neither is part of the copy.
    """
    path = get_home() / "ledger.db"
    if not path.exists():
        raise LedgerError(
            f"{path}: there is no ledger yet", hint="FTOPS_HOME names the folder that has one."
        )
    check_output_path(file, path)
    if file.exists() and not force:
        raise StorageError(f"{file} exists already", hint="--force overwrites it.")
    with open_ledger() as ledger:
        size = write_backup(ledger, file)
    out.finish(
        {"file": str(file), "bytes": size},
        essential=[str(file)],
        human=lambda: [f"Wrote {file} ({size:,} bytes). `ftops restore {file}` brings it back."],
    )


@command("restore", examples=["ftops restore ledger-backup.db"])
def restore(out: Output, file: BackupFile) -> None:
    """Replace the ledger by a copy that `ftops backup` wrote.

    The copy is checked first, and the present ledger is kept beside the new one. Runs that were
    made after the copy are missing afterwards: the same job file finds their jobs at the provider.
    """
    home = get_home()
    for folder in sorted((home / "runs").glob("*")):
        if is_locked(folder / FILENAME):
            raise RunBusy(
                f"{folder.name} is under way in another process, which uses the ledger",
                hint="Stop it with Ctrl-C (its job continues), restore, then `ftops follow` it.",
            )
    runs, former = restore_backup(file, home / "ledger.db", SystemClock())
    kept = f" The former ledger is {former}." if former else ""
    out.finish(
        {"file": str(file), "runs": runs, "former": str(former) if former else None},
        essential=[str(former or "")],
        human=lambda: [f"Restored {runs:,} run{'' if runs == 1 else 's'} from {file}.{kept}"],
    )
