"""Looks at the folder of everything that ftops keeps, and at the ledger in it."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ftops.errors import FtopsError
from ftops.files import PRIVATE_DIR, remove_path
from ftops.ledger.ledger import Ledger
from ftops.run_folder import PRUNED_PREFIX, RunFolder, get_runs_folder
from ftops.runs.checkup.findings import CheckStatus, HealthCheck

LEAST_FREE_BYTES = 500_000_000


def check_home(home: Path) -> Iterator[HealthCheck]:
    """Whether the folder is there, writable, private, and on a disk with room."""
    if not home.is_dir():
        yield HealthCheck(
            "home",
            CheckStatus.PROBLEM,
            "the home is no folder" if home.exists() else "the home does not exist",
            str(home),
            "`ftops run` makes it; or point FTOPS_HOME at the folder that you mean.",
        )
        return
    before = len(found := list(_find_home_problems(home)))
    yield from found
    if not before:
        yield HealthCheck(
            "home", CheckStatus.OK, "there, writable, private, with room on the disk", str(home)
        )


def _find_home_problems(home: Path) -> Iterator[HealthCheck]:
    where = str(home)
    if not os.access(home, os.W_OK | os.X_OK):
        yield HealthCheck(
            "home", CheckStatus.PROBLEM, "cannot be written", where, f"chmod u+rwx {where}"
        )
    if home.stat().st_mode & 0o077:
        yield HealthCheck(
            "home",
            CheckStatus.PROBLEM,
            "others on this machine may look into it",
            where,
            f"chmod 700 {where}",
            mend=lambda: home.chmod(PRIVATE_DIR),
            safe=True,
        )
    free = shutil.disk_usage(home).free
    if free < LEAST_FREE_BYTES:
        yield HealthCheck(
            "home",
            CheckStatus.PROBLEM,
            f"only {free / 1e6:.0f} MB are free on its disk",
            where,
            "Free some space: `ftops prune` shows what old runs take.",
        )


def check_ledger(ledger: Ledger) -> HealthCheck:
    """Whether every page and every row of the file is sound."""
    where = str(ledger.path)
    try:
        complaints = ledger.list_damages()
    except FtopsError as error:
        return HealthCheck("ledger", CheckStatus.PROBLEM, error.message, where, error.hint)
    if not complaints:
        return HealthCheck("ledger", CheckStatus.OK, "sound", where)
    return HealthCheck(
        "ledger",
        CheckStatus.PROBLEM,
        f"damaged: {complaints[0]}",
        where,
        "`ftops restore FILE` restores a backup. Without one, move it away: `ftops run` then finds"
        " the jobs of job files at their provider.",
    )


def check_folders(home: Path, ledger: Ledger) -> Iterator[HealthCheck]:
    """Folders of runs that the ledger does not know."""
    runs = get_runs_folder(home)
    if not runs.is_dir():
        return
    known = {run.id for run in ledger.list_runs()}
    for folder in sorted(path for path in runs.iterdir() if path.name not in known):
        if folder.name.startswith(PRUNED_PREFIX):
            yield HealthCheck(
                "runs",
                CheckStatus.PROBLEM,
                "left by `ftops prune`, which was interrupted",
                str(folder),
                "`ftops prune --yes` or `ftops doctor --fix` removes it.",
                mend=partial(remove_path, folder),
                safe=True,
            )
            continue
        empty = folder.is_dir() and list(folder.iterdir()) in ([], [RunFolder(folder).lock])
        yield HealthCheck(
            "runs",
            CheckStatus.PROBLEM,
            "an empty folder of no run" if empty else "lies among the runs, but is of none",
            str(folder),
            "`ftops doctor --fix` removes it." if empty else "Look into it; nothing here needs it.",
            mend=partial(remove_path, folder),
            safe=empty,
        )
