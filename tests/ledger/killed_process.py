"""Runs the history once for each crash point, in a process that is killed there.

    python -m tests.ledger.killed_process FOLDER

Each ledger stays in FOLDER under the name of its point. The output is one JSON object: the exit
code of the process for each point.
"""

import json
import os
import sys
from pathlib import Path

from ftops import crashpoints
from ftops.ledger.file import list_crash_points
from ftops.ledger.ledger import Ledger
from tests.fakes import FakeClock
from tests.ledger.history import STEPS


def run_steps(path: Path, point: str) -> None:
    """Run all steps until `point` kills the process; never return."""
    code = 1
    try:
        crashpoints.arm(point)
        ledger = Ledger(path, FakeClock())
        for _, change in STEPS:
            change(ledger)
        code = 0
    finally:
        os._exit(code)


def main(folder: Path) -> None:
    exit_codes = {}
    for point in list_crash_points():
        process = os.fork()
        if process == 0:
            run_steps(folder / point / "ledger.db", point)
        exit_codes[point] = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    sys.stdout.write(json.dumps(exit_codes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
