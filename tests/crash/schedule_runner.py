"""Plays schedules, each in a folder of its own, with a real process for each command.

    python -m tests.crash.schedule_runner FOLDER [BUG]

Each line of standard input is a schedule, each line of output what came of it: a `Verdict`. With
the name of a planted bug (`bugs.py`) every command has that bug.

At any moment one process of a schedule moves, the others stand still (SIGSTOP), and all share one
clock that runs only while somebody waits: the same schedule takes the same course every time.
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
from tests.crash.schedule import Action, Command, Fault, Schedule, Second
from tests.crash.verdict import HEALTHY, Story, judge
from tests.fakes import FakeClock
from tests.runs.bench import Recorder, write_job

_PROCESS_LIMIT_S = 60
_LOADED = (numpy.ma, numpy.random, rapidfuzz)  # by evaluations, in each command anew otherwise


@dataclass(frozen=True)
class Verdict:
    """`violation`: what should never have happened; empty when all is as it must be."""

    violation: str
    commands: int
    kills: int
    faults: int


class SharedClock:
    """Time that all processes of a schedule share, and that passes only by `sleep`."""

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


class Play:
    """One schedule on its way."""

    def __init__(self, folder: Path, schedule: Schedule) -> None:
        self.folder = folder
        self.clock = SharedClock()
        self.kills = 0
        self.commands = 0
        self._schedule = schedule
        self._excused: set[str] = set()
        folder.mkdir()
        self._job = write_job(folder)

    def play(self) -> Verdict:
        for command in self._schedule.commands:
            self.clock.advance(command.after_s)
            if command.ledger_gone:
                self._delete_ledger()
            self._give(command)
        self.clock.advance(60.0)
        self._give(Command())
        story = self._read()
        if story.may_be_tried_again:
            self._give(Command(action="retry"))
            story = self._read()
        return Verdict(judge(story), self.commands, self.kills, len(story.met))

    def _delete_ledger(self) -> None:
        jobs = self._make_provider().jobs()
        self._excused |= {job.id for job in jobs if job.status in ("failed", "cancelled")}
        shutil.rmtree(self.folder / "home", ignore_errors=True)

    def _give(self, command: Command) -> None:
        first = self._start(command.action, command)
        if not self._moves_on(first):
            assert command.second
            self._meet(first, command.second)

    def _meet(self, first: int, second: Second) -> None:
        """The first stands still; the second comes."""
        other = self._start(second.action, Command(), sleeps=second.sleeps)
        waits = not self._moves_on(other)
        if second.kills:
            os.kill(first, signal.SIGKILL)
        os.kill(first, signal.SIGCONT)
        assert self._moves_on(first)
        if waits:
            os.kill(other, signal.SIGCONT)
            assert self._moves_on(other)

    def _start(self, action: Action, command: Command, *, sleeps: int = 0) -> int:
        self.commands += 1
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(_PROCESS_LIMIT_S)
                self._be(action, command, sleeps)
                code = 0
            finally:
                os._exit(code)
        return child

    def _be(self, action: Action, command: Command, sleeps: int) -> None:
        """One command, from its beginning to its end or its death."""
        self.clock.stop_at_sleep = sleeps
        provider = self._make_provider((*command.faults, *self._schedule.faults))
        if command.second:
            provider.stop_before = (command.second.method, command.second.nth)
        if command.death:
            crashpoints.arm(command.death.point, command.death.count)
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
            self._note(
                action, outcome, [fault.kind for fault in provider.met], provider.created_beside
            )

    def _make_provider(self, faults: Sequence[Fault] = ()) -> FaultyProvider:
        provider = FaultyProvider(self.folder / "provider", self.clock, faults)
        provider.listing_lag_s = self._schedule.lag_s
        provider.statuses = (*provider.statuses[:-1], self._schedule.ends)
        return provider

    def _moves_on(self, pid: int) -> bool:
        """Wait until the process has ended (True) or stands still."""
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSIGNALED(status):
            self.kills += os.WTERMSIG(status) == signal.SIGKILL
            if os.WTERMSIG(status) == signal.SIGALRM:
                self._note("a command", "crash: it does not end")
        return not os.WIFSTOPPED(status)

    def _note(
        self, action: str, outcome: str, met: Sequence[str] = (), beside: Sequence[int] = ()
    ) -> None:
        with (self.folder / "outcomes").open("a") as file:
            file.write(json.dumps([action, outcome, met, beside]) + "\n")

    def _read(self) -> Story:
        return Story.read(
            self.folder, self._make_provider(), self._schedule, self._job, excused=self._excused
        )


def _do(action: Action, job: LoadedJob, context: RunContext) -> str:
    """What a user types; how it ended."""
    if action == "cancel":
        cancel_job_file(job, context)
    elif action == "doctor":
        return _examine(context)
    elif action == "follow":
        for run in context.ledger.list_runs(limit=1):
            drive(run, context)
    elif action == "adopt":
        for made in context.provider.jobs()[-1:]:  # type: ignore[attr-defined]
            settings = job.spec.provider_settings()
            run = adopt_job(made.id, context, settings, lambda path: load_job(path, environ={}))
            drive(run, context)
    else:
        run = open_run(job, context, new=action == "new", retry=action == "retry")
        drive(run, context, detach=action == "detach")
    return "done"


def _examine(context: RunContext) -> str:
    """What `ftops doctor` says of runs and jobs, and whether a job of ours was overlooked."""
    runs = context.ledger.list_runs()
    found = [
        *check_drivers(runs, context.home),
        *check_provider(context.provider, context.ledger, runs),
    ]
    if any(finding.status is CheckStatus.PROBLEM for finding in found):
        return "done"
    for made in context.provider.jobs():  # type: ignore[attr-defined]
        run = context.ledger.find_run_of_job(made.id)
        if not made.ended and (run is None or run.status in ENDED):
            return f"{HEALTHY}, though {made.id} is {made.status} and not watched"
    return "done"


def main() -> None:
    folder = Path(sys.argv[1])
    plant: Callable[[], None] = bugs.BUGS[sys.argv[2]] if sys.argv[2:] else lambda: None
    plant()
    for number, line in enumerate(sys.stdin):
        place = folder / str(number)
        verdict = Play(place, Schedule.from_json(json.loads(line))).play()
        shutil.rmtree(place)
        sys.stdout.write(json.dumps(asdict(verdict)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
