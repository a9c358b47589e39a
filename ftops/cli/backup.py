"""`ftops backup` and `ftops restore`: copy the ledger, and restore a copy."""

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
from ftops.run_folder import RunFolder, get_runs_folder
from ftops.text import format_count

BackupFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="The backup file.", show_default=False)
]

Force = Annotated[bool, typer.Option("--force", help="Overwrite FILE.")]


@command("backup", examples=["ftops backup ledger-backup.db"])
def backup(out: Output, file: BackupFile, force: Force = False) -> None:
    """Back up the ledger, also while other commands use it.

    The ledger records runs, jobs and models. Data, results and reports are in FTOPS_HOME/runs, and
    the jobs of the engine in FTOPS_HOME/engine; neither is part of the backup.
    """
    path = get_home() / "ledger.db"
    if not path.exists():
        raise LedgerError(
            f"{path}: there is no ledger yet",
            hint="Set FTOPS_HOME to a folder that has one.",
        )
    check_output_path(file, path)
    if file.exists() and not force:
        raise StorageError(f"{file} exists already", hint="--force overwrites it.")
    with open_ledger() as ledger:
        size = write_backup(ledger, file)
    out.finish(
        {"file": str(file), "bytes": size},
        essential=[str(file)],
        human=lambda: [f"Wrote {file} ({size:,} bytes). `ftops restore {file}` restores it."],
    )


@command("restore", examples=["ftops restore ledger-backup.db"])
def restore(out: Output, file: BackupFile) -> None:
    """Replace the ledger with a backup of `ftops backup`.

    The backup is validated first, and the current ledger is kept next to the new one. Runs that are
    newer than the backup are lost, but their job files find the jobs again.
    """
    home = get_home()
    for folder in sorted(get_runs_folder(home).glob("*")):
        if is_locked(RunFolder(folder).lock):
            raise RunBusy(
                f"{folder.name} runs in another process, which uses the ledger",
                hint="Stop it with Ctrl-C (its job continues), restore, then run `ftops follow`.",
            )
    runs, former = restore_backup(file, home / "ledger.db", SystemClock())
    kept = f" The former ledger is {former}." if former else ""
    out.finish(
        {"file": str(file), "runs": runs, "former": str(former) if former else None},
        essential=[str(former or "")],
        human=lambda: [f"Restored {format_count(runs, 'run')} from {file}.{kept}"],
    )
