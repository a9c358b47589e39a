"""Schedules of commands, of faults at the provider and of kills.

A schedule is data. `schedules()` generates them; `schedule_runner.py` plays them with real
processes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from hypothesis import strategies as st

from ftops.ledger.file import list_crash_points

Action = Literal["run", "detach", "cancel", "follow", "retry", "new", "adopt", "doctor"]
# "refused" to "conflict": the request has no effect. "lost" to "bad_gateway": it has, but its
# response is lost, malformed or the page of a proxy. "repeated" and "short" are wrong lists.
# "answer" is a response with the fault's status, without effect; "answer_after" has the effect.
Kind = Literal[
    "refused", "unavailable", "limited", "limited_long", "conflict",
    "lost", "garbled", "bad_gateway", "repeated", "short", "answer", "answer_after",
]  # fmt: skip
WITHOUT_EFFECT: tuple[Kind, ...] = ("refused", "unavailable", "limited", "limited_long")
WITH_EFFECT: tuple[Kind, ...] = ("lost", "garbled", "bad_gateway")
FAULTS: dict[str, tuple[Kind, ...]] = {
    "upload_file": (*WITHOUT_EFFECT, *WITH_EFFECT, "conflict"),
    "create_job": (*WITHOUT_EFFECT, *WITH_EFFECT, "conflict"),
    "cancel_job": (*WITHOUT_EFFECT, *WITH_EFFECT),
    "get_job": (*WITHOUT_EFFECT, "garbled"),
    "list_events": (*WITHOUT_EFFECT, "garbled", "repeated", "short"),
    "find_job": (*WITHOUT_EFFECT, "garbled"),
    "find_file": (*WITHOUT_EFFECT, "garbled"),
    "get_file": (*WITHOUT_EFFECT, "garbled"),
    "read_file": (*WITHOUT_EFFECT, "garbled"),
    "list_checkpoints": (*WITHOUT_EFFECT, "garbled"),
    "complete": (*WITHOUT_EFFECT, "garbled"),
}
METHODS = tuple(FAULTS)
# Methods that change something are drawn more often.
_FAULTY_METHODS = (*METHODS, "upload_file", "create_job", "create_job", "create_job", "cancel_job")
# Drawn by group first, so that kills around requests that change something are frequent.
POINTS = {
    "calls": tuple(
        f"{call}.{moment}_call"
        for call in ("upload", "create", "cancel")
        for moment in ("before", "after")
    ),
    "responses": tuple(
        f"provider.{method}.{moment}" for method in METHODS for moment in ("before", "after")
    ),
    "commits": list_crash_points(),
    # A kill here shows whether records of one change are written in two transactions.
    "records": tuple(
        f"ledger.{change}.{moment}_commit"
        for change in ("record_intent", "record_job", "record_upload", "add_events")
        for moment in ("before", "after")
    ),
    "files": ("files.before_rename", "files.after_rename"),
}
MAX_LAG_S = 25.0  # less than a run waits until its job is listed
# After a deleted ledger the next command finds jobs and uploads by their names and metadata.
DELETES_LEDGER = True


LASTING_CALLS = 50  # calls: longer than ftops retries any error except "try again later"


@dataclass(frozen=True)
class Fault:
    """A fault of the `nth` call of the method within one command.

    A response has a `status`; its body is the error object of the API or an HTML `page`. With
    `lasts`, the next `LASTING_CALLS` calls of the method in this command have the same fault.
    """

    method: str
    nth: int
    kind: Kind
    status: int = 0
    page: bool = False
    lasts: bool = False


@dataclass(frozen=True)
class Kill:
    """SIGKILL when a process reaches the point for the `count`th time."""

    point: str
    count: int


@dataclass(frozen=True)
class SecondCommand:
    """Another command that starts while the first is stopped before the `nth` call of a method.

    The second command runs until its `sleeps`th sleep; then the first continues or is killed
    (`kills`), and the second runs to its end.
    """

    action: Action
    method: str
    nth: int
    sleeps: int
    kills: bool


@dataclass(frozen=True)
class Command:
    action: Action = "run"
    after_s: float = 0.0
    faults: tuple[Fault, ...] = ()
    kill: Kill | None = None
    second: SecondCommand | None = None
    deletes_ledger: bool = False  # before the command


@dataclass(frozen=True)
class Schedule:
    """`lag_s`: how late jobs are listed; `ends`: the last status of a job that is not cancelled;
    `faults` apply to every command."""

    commands: tuple[Command, ...]
    lag_s: float = 0.0
    ends: Literal["succeeded", "failed"] = "succeeded"
    faults: tuple[Fault, ...] = ()

    def count(self, action: Action) -> int:
        """The number of commands with this action."""
        seconds = [command.second.action for command in self.commands if command.second]
        return [*(command.action for command in self.commands), *seconds].count(action)

    @property
    def all_faults(self) -> tuple[Fault, ...]:
        """The faults of the schedule and of its commands."""
        return (*self.faults, *(fault for command in self.commands for fault in command.faults))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Schedule":
        commands = tuple(
            Command(
                **{
                    **command,
                    "faults": tuple(Fault(**fault) for fault in command["faults"]),
                    "kill": Kill(**command["kill"]) if command["kill"] else None,
                    "second": SecondCommand(**command["second"]) if command["second"] else None,
                }
            )
            for command in value["commands"]
        )
        faults = tuple(Fault(**fault) for fault in value["faults"])
        return cls(**{**value, "commands": commands, "faults": faults})


def _counts() -> st.SearchStrategy[int]:
    return st.sampled_from((1, 1, 1, 1, 2, 2, 3, 5))


def _faults() -> st.SearchStrategy[Fault]:
    return st.sampled_from(_FAULTY_METHODS).flatmap(
        lambda method: st.builds(Fault, st.just(method), _counts(), st.sampled_from(FAULTS[method]))
    )


def _kills() -> st.SearchStrategy[Kill]:
    points = st.sampled_from(tuple(POINTS.values())).flatmap(st.sampled_from)
    return st.builds(Kill, points, _counts())


def _actions() -> st.SearchStrategy[Action]:
    return st.sampled_from(("run", "run", "run", "run", "detach", "cancel"))


def _commands() -> st.SearchStrategy[Command]:
    return st.builds(
        Command,
        action=_actions(),
        after_s=st.sampled_from((0.0, 1.0, 5.0, 40.0, 7200.0)),
        faults=st.lists(_faults(), max_size=3).map(tuple),
        kill=st.none() | _kills(),
        second=st.none()
        | st.none()
        | st.builds(
            SecondCommand,
            action=_actions(),
            method=st.sampled_from(METHODS),
            nth=_counts(),
            sleeps=st.integers(1, 4),
            kills=st.booleans(),
        ),
        deletes_ledger=st.sampled_from((False, False, False, DELETES_LEDGER)),
    )  # fmt: skip


def schedules() -> st.SearchStrategy[Schedule]:
    """Up to four commands, each with optional faults, a kill and a second command."""
    return st.builds(
        Schedule,
        commands=st.lists(_commands(), min_size=1, max_size=4).map(tuple),
        lag_s=st.sampled_from((0.0, 0.0, 3.0, MAX_LAG_S)),
        ends=st.sampled_from(("succeeded", "succeeded", "succeeded", "failed")),
    )


# What a provider, or a proxy before it, may respond to a valid request.
STATUSES = (
    400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 422, 425, 429, 451, 500, 501, 502, 503, 504,
)  # fmt: skip
REFUSALS = (400, 401, 403, 404, 413, 415, 422)
PAGES = (200, 400, 401, 403, 404, 429, 451, 502, 503)
# The requests of a run that has a job: polls, and requests that a server may not support.
OPTIONAL = ("list_events", "list_checkpoints", "get_file", "read_file")
POLLED = ("get_job", *OPTIONAL)
UNSUPPORTED = ((400, False), (403, False), (404, False), (404, True), (405, False), (501, False))
NEXT_ACTIONS: tuple[Action, ...] = (
    "run", "detach", "follow", "retry", "new", "cancel", "adopt", "doctor",
)  # fmt: skip


def _error_responses(kind: Kind, methods: Sequence[str]) -> st.SearchStrategy[Fault]:
    """Every status, as an error object or an HTML page, for one request or for all."""
    bodies = [(status, False) for status in STATUSES] + [(status, True) for status in PAGES]
    return st.builds(
        lambda method, nth, body, lasts: Fault(method, nth, kind, body[0], body[1], lasts),
        st.sampled_from(methods),
        _counts(),
        st.sampled_from(bodies),
        st.booleans(),
    )


def _next_commands(faults: st.SearchStrategy[tuple[Fault, ...]]) -> st.SearchStrategy[Command]:
    return st.builds(
        Command,
        action=st.sampled_from(NEXT_ACTIONS),
        after_s=st.sampled_from((0.0, 5.0, 40.0, 7200.0)),
        faults=faults,
    )


def polling_schedules() -> st.SearchStrategy[Schedule]:
    """A run whose requests about its job fail; then any command of a user."""
    polled = _error_responses("answer", POLLED)
    some = st.just(()) | polled.map(lambda fault: (fault,))
    unsupported = st.builds(
        lambda method, body: (Fault(method, 1, "answer", body[0], body[1], lasts=True),),
        st.sampled_from(OPTIONAL),
        st.sampled_from(UNSUPPORTED),
    )
    return st.builds(
        lambda first, more, **fields: Schedule((Command(faults=tuple(first)), *more), **fields),
        st.lists(polled, min_size=1, max_size=2),
        st.lists(_next_commands(some), min_size=1, max_size=2),
        ends=st.sampled_from(("succeeded", "succeeded", "succeeded", "failed")),
        faults=st.just(()) | st.just(()) | st.just(()) | unsupported,
    )


def create_schedules() -> st.SearchStrategy[Schedule]:
    """A request that creates the job but returns an error; then any command of a user.

    The job may be listed late, and the list of jobs may fail, too.
    """
    created = _error_responses("answer_after", ("create_job",)).map(
        lambda fault: replace(fault, nth=1, lasts=False)
    )
    list_faults = (
        st.just(())
        | st.just(())
        | _error_responses("answer", ("find_job",)).map(lambda fault: (fault,))
    )
    return st.builds(
        _build_create_schedule,
        created,
        list_faults,
        st.lists(_next_commands(list_faults), min_size=1, max_size=2),
        lag_s=st.sampled_from((0.0, 3.0, MAX_LAG_S)),
    )


def _build_create_schedule(
    fault: Fault, list_faults: tuple[Fault, ...], more: Sequence[Command], *, lag_s: float
) -> Schedule:
    # ftops accepts a refused request as final unless the list of jobs shows the job.
    if fault.status in REFUSALS and not fault.page:
        list_faults, lag_s = (), 0.0
    return Schedule((Command(faults=(fault, *list_faults)), *more), lag_s=lag_s)


REFUSED_POLLS = Fault("get_job", 2, "answer", 403, lasts=True)

# The shortest schedule that reveals each planted bug, and schedules that revealed real bugs.
KNOWN = (
    Schedule((Command(kill=Kill("create.after_call", 1)),)),
    Schedule((Command(faults=(Fault("create_job", 1, "lost"),)),), lag_s=3.0),
    Schedule((Command(kill=Kill("ledger.add_events.before_commit", 2)),)),
    Schedule((Command(kill=Kill("provider.read_file.before", 1)),)),
    Schedule((Command(kill=Kill("create.after_call", 1)), Command(action="cancel"))),
    Schedule((Command(second=SecondCommand("run", "list_events", 2, 2, kills=True)),)),
    # A second run at a server that has no route for a single file.
    Schedule(
        (Command(), Command(action="new")),
        faults=(Fault("get_file", 1, "answer", 400, lasts=True),),
    ),
    # A cancel of a run that does not know its job, as the ledger was deleted; and of a run that was
    # killed before it recorded the job that it found.
    Schedule(
        (
            Command(action="detach"),
            Command(kill=Kill("files.before_rename", 1), deletes_ledger=True),
            Command(action="cancel"),
        )
    ),
    Schedule(
        (
            Command(action="detach"),
            Command(kill=Kill("ledger.record_intent.after_commit", 1), deletes_ledger=True),
            Command(action="cancel"),
        )
    ),
    # A failed poll does not end the run, and the next command finds the job.
    *(
        Schedule((Command(faults=(REFUSED_POLLS,)), Command(action=action)))
        for action in ("retry", "cancel", "adopt", "doctor")
    ),
    Schedule((Command(faults=(REFUSED_POLLS,)), Command("retry", faults=(REFUSED_POLLS,)))),
    Schedule((Command(faults=(Fault("list_events", 2, "answer", 400),)), Command("retry"))),
    Schedule((Command(),), faults=(Fault("list_events", 1, "answer", 404, lasts=True),)),
    # A job that exists although its create request returned an error.
    *(
        Schedule((Command(faults=(Fault("create_job", 1, "answer_after", *answer),)),), lag_s=3.0)
        for answer in ((429, False), (409, False), (503, False), (403, True))
    ),
    Schedule((Command(faults=(Fault("create_job", 1, "answer_after", 400),)),)),
)
