"""Schedules: which commands a user gives, what goes wrong at the provider meanwhile, and who dies.

A schedule is data. `schedules()` draws one; the player (`player.py`) plays it with real processes.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from hypothesis import strategies as st

from ftops.ledger.store import list_crash_points

Action = Literal["run", "detach", "cancel"]
# What comes of one request. "refused" to "conflict": it has no effect; the others: it has one, and
# its answer is lost, cut off, or a proxy's page. "repeated" and "short" are wrong lists.
Kind = Literal[
    "refused", "unavailable", "limited", "limited_long", "conflict",
    "lost", "garbled", "bad_gateway", "repeated", "short",
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


@dataclass(frozen=True)
class Fault:
    """What happens to the `nth` call of the method within one command."""

    method: str
    nth: int
    kind: Kind


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
    """`lag_s`: how late jobs are listed; `ends`: how the job ends if nobody cancels it."""

    commands: tuple[Command, ...]
    lag_s: float = 0.0
    ends: Literal["succeeded", "failed"] = "succeeded"

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
        return cls(**{**value, "commands": commands})


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
)
