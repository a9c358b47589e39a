"""Plays schedules, each in its own folder, with a real process for each command.

    python -m tests.crash.schedule_runner FOLDER [BUG]

Each line of standard input is a schedule, each line of output its `ScheduleResult`. With the name
of a planted bug (`bugs.py`) every command has that bug.

Only one process of a schedule runs at a time, the others are stopped (SIGSTOP), and all share one
clock that only `sleep` advances: the same schedule has the same result every time.
"""

import json
import mmap
import os
import shutil
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy.ma
import numpy.random
import rapidfuzz

import ftops.metrics.text
from ftops import crashpoints
from ftops.errors import FtopsError
from ftops.ledger.ledger import Ledger
from ftops.runs.adopt import adopt_job
from ftops.runs.context import RunContext
from ftops.runs.doctor import CheckStatus, check_drivers, check_provider
from ftops.runs.open_run import cancel_job_file, drive, open_run
from ftops.runs.states import ENDED
from ftops.spec.job_file import LoadedJob, load_job
from tests.crash import bugs
from tests.crash.faulty import FaultyProvider
from tests.crash.schedule import Action, Command, Fault, Schedule, SecondCommand
from tests.crash.violations import NO_PROBLEM, ScheduleRecords, find_violation
from tests.fakes import FakeClock
from tests.runs.bench import Recorder, write_job

_PROCESS_LIMIT_S = 60
# once for all commands; an evaluation imports them
_LOADED = (numpy.ma, numpy.random, rapidfuzz, ftops.metrics.text)


@dataclass(frozen=True)
class ScheduleResult:
    """`violation`: the first violated invariant, or an empty text."""

    violation: str
    commands: int
    kills: int
    faults: int


class SharedClock:
    """A fake clock that all processes of a schedule share; only `sleep` advances it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)
        self._start: datetime = FakeClock().now()
        self.stop_at_sleep = 0  # of this process; 0: never

    def monotonic_s(self) -> float:
        value: float = struct.unpack("d", self._memory[:8])[0]
        return value

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic_s())

    def advance(self, seconds: float) -> None:
        self._memory[:8] = struct.pack("d", self.monotonic_s() + seconds)

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        if self.stop_at_sleep:
            self.stop_at_sleep -= 1
            if self.stop_at_sleep == 0:
                os.kill(os.getpid(), signal.SIGSTOP)


class SchedulePlay:
    """The state of one schedule while it is played."""

    def __init__(self, folder: Path, schedule: Schedule) -> None:
        self.folder = folder
        self.clock = SharedClock()
        self.kills = 0
        self.commands = 0
        self._schedule = schedule
        self._replaceable: set[str] = set()
        folder.mkdir()
        self._job = write_job(folder)

    def play(self) -> ScheduleResult:
        for command in self._schedule.commands:
            self.clock.advance(command.after_s)
            if command.deletes_ledger:
                self._delete_ledger()
            self._run_command(command)
        self.clock.advance(60.0)
        self._run_command(Command())
        records = self._read()
        if records.needs_retry:
            self._run_command(Command(action="retry"))
            records = self._read()
        return ScheduleResult(
            find_violation(records), self.commands, self.kills, len(records.faults)
        )

    def _delete_ledger(self) -> None:
        jobs = self._make_provider().jobs()
        self._replaceable |= {job.id for job in jobs if job.status in ("failed", "cancelled")}
        shutil.rmtree(self.folder / "home", ignore_errors=True)

    def _run_command(self, command: Command) -> None:
        first = self._start(command.action, command)
        if not self._wait_for_end(first):
            assert command.second
            self._run_second(first, command.second)

    def _run_second(self, first: int, second: SecondCommand) -> None:
        """Run the second command while the first process is stopped."""
        other = self._start(second.action, Command(), sleeps=second.sleeps)
        is_stopped = not self._wait_for_end(other)
        if second.kills:
            os.kill(first, signal.SIGKILL)
        os.kill(first, signal.SIGCONT)
        assert self._wait_for_end(first)
        if is_stopped:
            os.kill(other, signal.SIGCONT)
            assert self._wait_for_end(other)

    def _start(self, action: Action, command: Command, *, sleeps: int = 0) -> int:
        self.commands += 1
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(_PROCESS_LIMIT_S)
                self._execute(action, command, sleeps)
                code = 0
            finally:
                os._exit(code)
        return child

    def _execute(self, action: Action, command: Command, sleeps: int) -> None:
        """Run one command in this process."""
        self.clock.stop_at_sleep = sleeps
        provider = self._make_provider((*command.faults, *self._schedule.faults))
        if command.second:
            provider.stop_before = (command.second.method, command.second.nth)
        if command.kill:
            crashpoints.arm(command.kill.point, command.kill.count)
        outcome = "done"
        try:
            ledger = Ledger(self.folder / "home" / "ledger.db", self.clock)
            context = RunContext(ledger, provider, self.clock, self.folder / "home", Recorder())
            outcome = _do(action, self._job, context)
        except FtopsError as error:
            outcome = type(error).__name__
        except BaseException as error:
            outcome = f"crash: {error!r}"
            raise
        finally:
            self._record_outcome(
                action, outcome, [fault.kind for fault in provider.injected], provider.job_counts
            )

    def _make_provider(self, faults: Sequence[Fault] = ()) -> FaultyProvider:
        provider = FaultyProvider(self.folder / "provider", self.clock, faults)
        provider.listing_lag_s = self._schedule.lag_s
        provider.statuses = (*provider.statuses[:-1], self._schedule.ends)
        return provider

    def _wait_for_end(self, pid: int) -> bool:
        """Wait until the process has ended (True) or is stopped (False)."""
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSIGNALED(status):
            self.kills += os.WTERMSIG(status) == signal.SIGKILL
            if os.WTERMSIG(status) == signal.SIGALRM:
                self._record_outcome("a command", "crash: timeout")
        return not os.WIFSTOPPED(status)

    def _record_outcome(
        self, action: str, outcome: str, faults: Sequence[str] = (), job_counts: Sequence[int] = ()
    ) -> None:
        with (self.folder / "outcomes").open("a") as file:
            file.write(json.dumps([action, outcome, faults, job_counts]) + "\n")

    def _read(self) -> ScheduleRecords:
        return ScheduleRecords.read(
            self.folder,
            self._make_provider(),
            self._schedule,
            self._job,
            replaceable=self._replaceable,
        )


def _do(action: Action, job: LoadedJob, context: RunContext) -> str:
    """Run the action and return its outcome."""
    if action == "cancel":
        cancel_job_file(job, context)
    elif action == "doctor":
        return _run_doctor(context)
    elif action == "follow":
        for run in context.ledger.list_runs(limit=1):
            drive(run, context)
    elif action == "adopt":
        for remote_job in context.provider.jobs()[-1:]:  # type: ignore[attr-defined]
            settings = job.spec.provider_settings()
            run = adopt_job(
                remote_job.id, context, settings, lambda path: load_job(path, environ={})
            )
            drive(run, context)
    else:
        run = open_run(job, context, new=action == "new", retry=action == "retry")
        drive(run, context, detach=action == "detach")
    return "done"


def _run_doctor(context: RunContext) -> str:
    """Run `ftops doctor`; the outcome names a job of this ledger that it does not report."""
    runs = context.ledger.list_runs()
    findings = [
        *check_drivers(runs, context.home),
        *check_provider(context.provider, context.ledger, runs),
    ]
    if any(finding.status is CheckStatus.PROBLEM for finding in findings):
        return "done"
    for job in context.provider.jobs():  # type: ignore[attr-defined]
        run = context.ledger.find_run_of_job(job.id)
        if not job.ended and (run is None or run.status in ENDED):
            return f"{NO_PROBLEM}, though {job.id} is {job.status} and not followed"
    return "done"


def main() -> None:
    folder = Path(sys.argv[1])
    plant: Callable[[], None] = bugs.BUGS[sys.argv[2]] if sys.argv[2:] else lambda: None
    plant()
    for number, line in enumerate(sys.stdin):
        play_folder = folder / str(number)
        result = SchedulePlay(play_folder, Schedule.from_json(json.loads(line))).play()
        shutil.rmtree(play_folder)
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
