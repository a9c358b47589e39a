"""Lives the history once for each crash point, in a process that dies there.

    python -m tests.ledger.dying FOLDER

Each ledger is left in FOLDER under the name of its point; the output is one JSON object, from each
point to how the process ended.
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


def live(path: Path, point: str) -> None:
    """All steps up to the death at `point`, as the rest of this process."""
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
    ends = {}
    for point in list_crash_points():
        process = os.fork()
        if process == 0:
            live(folder / point / "ledger.db", point)
        ends[point] = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    sys.stdout.write(json.dumps(ends))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
