"""What the ledger costs: in one real run, and once it holds 10,000 runs and 1,000,000 events.

The times of whole commands are processor time (their own and the system's), which a busy machine
lengthens little; the median of several. Size is what a full ledger adds to one that just fills the
table of `ftops runs`; the start-up is that of `ftops --help`.
"""

import contextlib
import functools
import inspect
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

JOB = Path(__file__).resolve().parent.parent / "configs" / "news-topics.yaml"
FEW, MANY, EVENTS_A_RUN = 20, 10_000, 100
ROUNDS = 7
OVERHEAD_LIMIT = 0.02  # of the wall time of a run
LIST_LIMIT_S = 0.3
SAME_LIMIT = 1.1  # a full ledger to one of few runs

# Copies of the one run that is there, in the past, each under names of its own.
_FILL = """
CREATE TEMP TABLE numbers AS
    WITH RECURSIVE n (i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
    SELECT i, printf('run-20250101-0000-%05d', i) AS id FROM n;
INSERT INTO runs (id, key, name, status, provider_json, model, spec_json, job_file, created_at,
                  updated_at, finished_at, job_id, fine_tuned_model)
    SELECT n.id, 'key-' || i, name || (i % 100), status, provider_json, model, spec_json, job_file,
           printf('2025-01-%02dT00:00:00.%06d+00:00', 1 + i % 28, i), updated_at, finished_at,
           'ftjob-' || i, 'ft:ada:local:' || i
    FROM numbers AS n, (SELECT * FROM runs WHERE id = '{run_id}');
INSERT INTO stages
    SELECT n.id, stage, status, attempts, started_at, finished_at, detail_json, error
    FROM numbers AS n, (SELECT * FROM stages WHERE run_id = '{run_id}');
INSERT INTO calls (run_id, stage, name, state, request_json, remote_id, began_at, ended_at)
    SELECT n.id, stage, name, state, request_json, remote_id || i, began_at, ended_at
    FROM numbers AS n, (SELECT * FROM calls WHERE run_id = '{run_id}');
INSERT INTO events (run_id, job_id, event_id, at, level, type, message, data_json, shown)
    SELECT n.id, 'ftjob-' || n.i, 'event-' || e.i, at, level, type, message, data_json, 1
    FROM numbers AS n,
         (WITH RECURSIVE e (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM e WHERE i < {events})
          SELECT i FROM e) AS e,
         (SELECT * FROM events WHERE run_id = '{run_id}' AND job_id IS NOT NULL
          ORDER BY length(data_json) DESC LIMIT 1);
"""


class Stopwatch:
    """Adds up the wall time inside the methods of the ledger; those inside others count once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0
        self._depth = 0

    def time(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*arguments: Any, **named: Any) -> Any:
            self._depth += 1
            began = time.perf_counter()
            try:
                return method(*arguments, **named)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - began
                    self.calls += 1

        return timed


def run_timed(report: Path, arguments: list[str]) -> None:
    """Be the command `ftops …`; leave in `report` what its ledger took."""
    began = time.perf_counter()
    from ftops.cli.main import run_app
    from ftops.ledger.ledger import Ledger

    watch = Stopwatch()
    for name, method in inspect.getmembers(Ledger, inspect.isfunction):
        if name == "__init__" or not name.startswith("_"):
            setattr(Ledger, name, watch.time(method))
    sys.argv = ["ftops", *arguments]
    try:
        run_app()
    finally:
        whole_s = time.perf_counter() - began
        report.write_text(json.dumps([watch.seconds, whole_s, watch.calls]))


def fill(ledger: Path, first: int, last: int) -> None:
    """Add finished runs with these numbers, each with its hundred events."""
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF")
        (run_id,) = connection.execute("SELECT id FROM runs ORDER BY created_at DESC").fetchone()
        script = _FILL.format(first=first, last=last, run_id=run_id, events=EVENTS_A_RUN)
        connection.executescript(f"BEGIN; {script} COMMIT;")
        connection.execute("PRAGMA journal_mode = WAL")


class Machine:
    """A home in a folder, with `ftops` as a process."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self._report = folder / "report.json"
        self._environ = {**os.environ, "FTOPS_HOME": str(self.home)}

    def measure_run(self) -> tuple[float, float, int]:
        """Seconds inside the ledger, seconds in all, and calls of the ledger, of one whole run."""
        self._start("-m", "benchmarks.ledger", str(self._report), "run", str(JOB), "--quiet")
        ledger_s, whole_s, calls = json.loads(self._report.read_text())
        return ledger_s, whole_s, calls

    def measure(self, *arguments: str) -> float:
        """Seconds of processor time that `ftops` takes for this, the median of several rounds."""
        return statistics.median(self._time(*arguments) for _ in range(ROUNDS))

    def stop(self) -> None:
        self._start("-m", "ftops", "engine", "stop", "--quiet")

    def _time(self, *arguments: str) -> float:
        before = os.times()
        self._start("-m", "ftops", *arguments)
        after = os.times()
        return (
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )

    def _start(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, *arguments],
            env=self._environ,
            cwd=JOB.parent.parent,
            check=True,
            stdout=subprocess.DEVNULL,
        )


def main() -> int:
    """Print each figure beside its limit; 1 when one is exceeded."""
    commands = {"runs": ("runs",), "run": ("run", str(JOB)), "show": ("show", "news-topics")}
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        try:
            ledger_s, whole_s, calls = machine.measure_run()
        finally:
            machine.stop()
        fill(machine.home / "ledger.db", 1, FEW)
        few = {name: machine.measure(*words) for name, words in commands.items()}
        fill(machine.home / "ledger.db", FEW + 1, MANY)
        many = {name: machine.measure(*words) for name, words in commands.items()}
        start_s = machine.measure("--help")
        megabytes = (machine.home / "ledger.db").stat().st_size / 1e6
    missed = show(
        f"ledger's share of a run ({calls} calls, {ledger_s:.3f} of {whole_s:.1f} s)",
        f"{ledger_s / whole_s:.2%}",
        f"{OVERHEAD_LIMIT:.0%}",
        ledger_s / whole_s <= OVERHEAD_LIMIT,
    )
    print(f"with {MANY:,} runs and {MANY * EVENTS_A_RUN:,} events ({megabytes:.0f} MB):")
    missed |= show(
        f"  ftops runs (of which start-up: {start_s:.2f} s)",
        f"{many['runs']:.2f} s",
        f"{LIST_LIMIT_S} s",
        many["runs"] <= LIST_LIMIT_S,
    )
    for name, seconds in many.items():
        ratio = seconds / few[name]
        label = f"  ftops {name}, as a ratio to a ledger of {FEW} runs"
        missed |= show(label, f"{ratio:.2f}", str(SAME_LIMIT), ratio <= SAME_LIMIT)
    return int(missed)


def show(what: str, figure: str, limit: str, met: bool) -> bool:
    """Print a line; whether the limit was missed."""
    print(f"{what:62}{figure:>9}   at most {limit:>6}   {'ok' if met else 'MISSED'}")
    return not met


if __name__ == "__main__":
    run_timed(Path(sys.argv[1]), sys.argv[2:])
