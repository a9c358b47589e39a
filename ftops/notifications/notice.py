"""What is told of a run, to whom, and by whom."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import orjson

from ftops.errors import NotifyFailed
from ftops.records import Json


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened to a run.

    `id` stays the same however often the notice is sent. `type` is what happened, such as
    "run.succeeded", and `data` tells of which run; neither ever holds training text or a key.
    `error` may quote a provider: it is told to programs on this machine alone.
    """

    id: str
    type: str
    outcome: str  # success, failure or stall
    timestamp: str
    data: Mapping[str, Json]
    error: str | None = None

    def to_json(self) -> dict[str, Json]:
        """What a receiver gets."""
        return {"type": self.type, "timestamp": self.timestamp, "data": dict(self.data)}

    def render_body(self) -> bytes:
        """The same bytes each time, so that they can be signed and compared."""
        return orjson.dumps(self.to_json())


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A program and its arguments; paths in `argv[0]` are relative to `folder`, where it starts.

    `env` names the environment variables that it gets beside the few that every program needs.
    """

    argv: tuple[str, ...]
    folder: Path
    env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """An address, and the environment variable with the secret that signs what goes there."""

    url: str
    secret_env: str


Target: TypeAlias = CommandTarget | WebhookTarget
Say: TypeAlias = Callable[[str], None]


class Notifier(Protocol):
    """Whoever carries notices; both methods return within a minute or so."""

    def find_trouble(self, target: Target) -> str | None:
        """Why that target could not be told anything now, as far as that is known unasked."""

    def deliver(self, notice: Notice, target: Target, say: Say) -> None:
        """Tell the target; NotifyFailed when it certainly or probably was not told.

        `say` hears why it takes its time.
        """


class Mute:
    """Tells nobody, and says so."""

    def find_trouble(self, target: Target) -> str | None:  # noqa: ARG002
        return "nobody is told anything here"

    def deliver(self, notice: Notice, target: Target, say: Say) -> None:  # noqa: ARG002
        raise NotifyFailed("nobody is told anything here")
