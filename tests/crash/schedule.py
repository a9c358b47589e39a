"""Schedules: which commands a user gives, what goes wrong at the provider meanwhile, and who dies.

A schedule is data. `schedules()` draws one; the player (`player.py`) plays it with real processes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from hypothesis import strategies as st

from ftops.ledger.file import list_crash_points

Action = Literal["run", "detach", "cancel", "follow", "retry", "new", "adopt", "doctor"]
# What comes of one request. "refused" to "conflict": it has no effect; the others: it has one, and
# its answer is lost, cut off, or a proxy's page. "repeated" and "short" are wrong lists. "answer"
# is an answer with the fault's status, without effect; "answer_after" the same, with its effect.
Kind = Literal[
    "refused", "unavailable", "limited", "limited_long", "conflict",
    "lost", "garbled", "bad_gateway", "repeated", "short", "answer", "answer_after",
]  # fmt: skip
EVERYWHERE: tuple[Kind, ...] = ("refused", "unavailable", "limited", "limited_long")
WITH_EFFECT: tuple[Kind, ...] = ("lost", "garbled", "bad_gateway")
FAULTS: dict[str, tuple[Kind, ...]] = {
    "upload_file": (*EVERYWHERE, *WITH_EFFECT, "conflict"),
    "create_job": (*EVERYWHERE, *WITH_EFFECT, "conflict"),
    "cancel_job": (*EVERYWHERE, *WITH_EFFECT),
    "get_job": (*EVERYWHERE, "garbled"),
    "list_events": (*EVERYWHERE, "garbled", "repeated", "short"),
    "find_job": (*EVERYWHERE, "garbled"),
    "find_file": (*EVERYWHERE, "garbled"),
    "get_file": (*EVERYWHERE, "garbled"),
    "read_file": (*EVERYWHERE, "garbled"),
    "list_checkpoints": (*EVERYWHERE, "garbled"),
    "complete": (*EVERYWHERE, "garbled"),
}
METHODS = tuple(FAULTS)
# A fault hurts most where something is changed, and there it is drawn most.
_DRAWN = (*METHODS, "upload_file", "create_job", "create_job", "create_job", "cancel_job")
# Drawn by group first: a death around a request that changes something is the one that hurts.
POINTS = {
    "calls": tuple(
        f"{call}.{moment}_call"
        for call in ("upload", "create", "cancel")
        for moment in ("before", "after")
    ),
    "answers": tuple(
        f"provider.{method}.{moment}" for method in METHODS for moment in ("before", "after")
    ),
    "commits": list_crash_points(),
    # What must be written together is torn here, if it is written apart.
    "records": tuple(
        f"ledger.{change}.{moment}_commit"
        for change in ("record_intent", "record_job", "record_upload", "add_events")
        for moment in ("before", "after")
    ),
    "files": ("files.before_rename", "files.after_rename"),
}
MOST_LAG_S = 25.0  # less than the orchestrator waits for a listing
# A ledger that was deleted: the next command has to find jobs and uploads by what they are called.
# True as soon as the orchestrator does that by the metadata `ftops_key`.
LEDGER_MAY_GO = True


LASTING = 50  # calls: beyond the time for which any answer but "try again later" is waited out


@dataclass(frozen=True)
class Fault:
    """What happens to the `nth` call of the method within one command.

    An answer has a `status`; its body is the protocol's error object, or a `page` of HTML. With
    `lasts`, the same happens to the next `LASTING` calls of the method in that command.
    """

    method: str
    nth: int
    kind: Kind
    status: int = 0
    page: bool = False
    lasts: bool = False


@dataclass(frozen=True)
class Death:
    """SIGKILL at the `count`th passing of a point."""

    point: str
    count: int


@dataclass(frozen=True)
class Second:
    """Another command, given while the first stands before the `nth` call of a method.

    It goes as far as its `sleeps`th pause; then the first goes on, or dies (`kills`), and the
    second comes to its end.
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
    death: Death | None = None
    second: Second | None = None
    ledger_gone: bool = False  # deleted before the command


@dataclass(frozen=True)
class Schedule:
    """`lag_s`: how late jobs are listed; `ends`: how the job ends if it is not cancelled; `faults`
    are met by every command."""

    commands: tuple[Command, ...]
    lag_s: float = 0.0
    ends: Literal["succeeded", "failed"] = "succeeded"
    faults: tuple[Fault, ...] = ()

    def count(self, action: Action) -> int:
        """How often the command is given."""
        seconds = [command.second.action for command in self.commands if command.second]
        return [*(command.action for command in self.commands), *seconds].count(action)

    @property
    def all_faults(self) -> tuple[Fault, ...]:
        """Those of the schedule and of its commands."""
        return (*self.faults, *(fault for one in self.commands for fault in one.faults))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Schedule":
        commands = tuple(
            Command(
                **{
                    **one,
                    "faults": tuple(Fault(**fault) for fault in one["faults"]),
                    "death": Death(**one["death"]) if one["death"] else None,
                    "second": Second(**one["second"]) if one["second"] else None,
                }
            )
            for one in value["commands"]
        )
        faults = tuple(Fault(**fault) for fault in value["faults"])
        return cls(**{**value, "commands": commands, "faults": faults})


def _counts() -> st.SearchStrategy[int]:
    return st.sampled_from((1, 1, 1, 1, 2, 2, 3, 5))


def _faults() -> st.SearchStrategy[Fault]:
    return st.sampled_from(_DRAWN).flatmap(
        lambda method: st.builds(Fault, st.just(method), _counts(), st.sampled_from(FAULTS[method]))
    )


def _deaths() -> st.SearchStrategy[Death]:
    points = st.sampled_from(tuple(POINTS.values())).flatmap(st.sampled_from)
    return st.builds(Death, points, _counts())


def _actions() -> st.SearchStrategy[Action]:
    return st.sampled_from(("run", "run", "run", "run", "detach", "cancel"))


def _commands() -> st.SearchStrategy[Command]:
    return st.builds(
        Command,
        action=_actions(),
        after_s=st.sampled_from((0.0, 1.0, 5.0, 40.0, 7200.0)),
        faults=st.lists(_faults(), max_size=3).map(tuple),
        death=st.none() | _deaths(),
        second=st.none()
        | st.none()
        | st.builds(
            Second,
            action=_actions(),
            method=st.sampled_from(METHODS),
            nth=_counts(),
            sleeps=st.integers(1, 4),
            kills=st.booleans(),
        ),
        ledger_gone=st.sampled_from((False, False, False, LEDGER_MAY_GO)),
    )  # fmt: skip


def schedules() -> st.SearchStrategy[Schedule]:
    """Up to four commands, of which each may meet faults, die, and meet another."""
    return st.builds(
        Schedule,
        commands=st.lists(_commands(), min_size=1, max_size=4).map(tuple),
        lag_s=st.sampled_from((0.0, 0.0, 3.0, MOST_LAG_S)),
        ends=st.sampled_from(("succeeded", "succeeded", "succeeded", "failed")),
    )


# What a provider, or a proxy before it, may answer to a request that is in order.
STATUSES = (
    400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 422, 425, 429, 451, 500, 501, 502, 503, 504,
)  # fmt: skip
REFUSALS = (400, 401, 403, 404, 413, 415, 422)
PAGES = (200, 400, 401, 403, 404, 429, 451, 502, 503)
# The requests of a run that has a job: about the job itself, and those that a server may lack.
OPTIONAL = ("list_events", "list_checkpoints", "get_file", "read_file")
POLLED = ("get_job", *OPTIONAL)
LACKING = ((400, False), (403, False), (404, False), (404, True), (405, False), (501, False))
NEXT: tuple[Action, ...] = (
    "run", "detach", "follow", "retry", "new", "cancel", "adopt", "doctor",
)  # fmt: skip


def _answers(kind: Kind, methods: Sequence[str]) -> st.SearchStrategy[Fault]:
    """Every status, as the protocol's error object or as a page, for one request or for all."""
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
        action=st.sampled_from(NEXT),
        after_s=st.sampled_from((0.0, 5.0, 40.0, 7200.0)),
        faults=faults,
    )


def polling_schedules() -> st.SearchStrategy[Schedule]:
    """A run whose requests about its job are answered by errors; then what a user may type."""
    polled = _answers("answer", POLLED)
    some = st.just(()) | polled.map(lambda fault: (fault,))
    lacking = st.builds(
        lambda method, body: (Fault(method, 1, "answer", body[0], body[1], lasts=True),),
        st.sampled_from(OPTIONAL),
        st.sampled_from(LACKING),
    )
    return st.builds(
        lambda first, more, **given: Schedule((Command(faults=tuple(first)), *more), **given),
        st.lists(polled, min_size=1, max_size=2),
        st.lists(_next_commands(some), min_size=1, max_size=2),
        ends=st.sampled_from(("succeeded", "succeeded", "succeeded", "failed")),
        faults=st.just(()) | st.just(()) | st.just(()) | lacking,
    )


def create_schedules() -> st.SearchStrategy[Schedule]:
    """A request that creates the job and is answered by an error; then what a user may type.

    The job may be listed late, and the list of jobs may be answered by an error, too.
    """
    created = _answers("answer_after", ("create_job",)).map(
        lambda fault: replace(fault, nth=1, lasts=False)
    )
    looked = st.just(()) | st.just(()) | _answers("answer", ("find_job",)).map(lambda one: (one,))
    return st.builds(
        _build_create_schedule,
        created,
        looked,
        st.lists(_next_commands(looked), min_size=1, max_size=2),
        lag_s=st.sampled_from((0.0, 3.0, MOST_LAG_S)),
    )


def _build_create_schedule(
    fault: Fault, looked: tuple[Fault, ...], more: Sequence[Command], *, lag_s: float
) -> Schedule:
    # A refusal of the request's content is believed where the list of jobs does not contradict it.
    if fault.status in REFUSALS and not fault.page:
        looked, lag_s = (), 0.0
    return Schedule((Command(faults=(fault, *looked)), *more), lag_s=lag_s)


REFUSED_POLLS = Fault("get_job", 2, "answer", 403, lasts=True)

# The shortest course that shows each planted bug, and courses that once went wrong without one.
# Played before all that is drawn.
KNOWN = (
    Schedule((Command(death=Death("create.after_call", 1)),)),
    Schedule((Command(faults=(Fault("create_job", 1, "lost"),)),), lag_s=3.0),
    Schedule((Command(death=Death("ledger.add_events.before_commit", 2)),)),
    Schedule((Command(death=Death("provider.read_file.before", 1)),)),
    Schedule((Command(death=Death("create.after_call", 1)), Command(action="cancel"))),
    Schedule((Command(second=Second("run", "list_events", 2, 2, kills=True)),)),
    # A cancel of a run that has not met its job yet, as the ledger that knew it is gone; and of one
    # that died as it was about to take the job over.
    Schedule(
        (
            Command(action="detach"),
            Command(death=Death("files.before_rename", 1), ledger_gone=True),
            Command(action="cancel"),
        )
    ),
    Schedule(
        (
            Command(action="detach"),
            Command(death=Death("ledger.record_intent.after_commit", 1), ledger_gone=True),
            Command(action="cancel"),
        )
    ),
    # An answer to a poll does not end the run, and what is typed next finds the job.
    *(
        Schedule((Command(faults=(REFUSED_POLLS,)), Command(action=action)))
        for action in ("retry", "cancel", "adopt", "doctor")
    ),
    Schedule((Command(faults=(REFUSED_POLLS,)), Command("retry", faults=(REFUSED_POLLS,)))),
    Schedule((Command(faults=(Fault("list_events", 2, "answer", 400),)), Command("retry"))),
    Schedule((Command(),), faults=(Fault("list_events", 1, "answer", 404, lasts=True),)),
    # A job that exists, though the request for it was answered by an error.
    *(
        Schedule((Command(faults=(Fault("create_job", 1, "answer_after", *answer),)),), lag_s=3.0)
        for answer in ((429, False), (409, False), (503, False), (403, True))
    ),
    Schedule((Command(faults=(Fault("create_job", 1, "answer_after", 400),)),)),
)
