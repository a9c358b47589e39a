"""A notification about a run, its targets, and the protocol of what sends it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import orjson

from ftops.errors import NotifyFailed
from ftops.records import Json


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing that happened to a run.

    `id` stays the same however often the notification is sent. `type` is what happened, such as
    "run.succeeded", and `data` identifies the run; neither holds training text or a key. `error`
    may quote a provider, so only programs on this machine get it.
    """

    id: str
    type: str
    outcome: str  # success, failure or stall
    timestamp: str
    data: Mapping[str, Json]
    error: str | None = None

    def to_json(self) -> dict[str, Json]:
        """The document that a webhook receives."""
        return {"type": self.type, "timestamp": self.timestamp, "data": dict(self.data)}

    def render_body(self) -> bytes:
        """The document as bytes: the same each time, so that a signature stays valid."""
        return orjson.dumps(self.to_json())


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A program and its arguments; `folder` is its working folder and the base of a relative path.

    `env` names the environment variables that it gets beside the few that every program needs.
    """

    argv: tuple[str, ...]
    folder: Path
    env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """An address, and the environment variable with the secret that signs requests to it."""

    url: str
    secret_env: str


Target: TypeAlias = CommandTarget | WebhookTarget


class Notifier(Protocol):
    """Sends notifications; both methods return within about a minute."""

    def check(self, target: Target) -> str | None:
        """Why the target cannot be notified, as far as that is known without sending; else None."""

    def notify(
        self, notification: Notification, target: Target, on_note: Callable[[str], None]
    ) -> None:
        """Send the notification; NotifyFailed when the target certainly or probably lacks it.

        `on_note` gets a line when a retry takes time.
        """


class NullNotifier:
    """Sends nothing: every attempt fails."""

    def check(self, target: Target) -> str | None:  # noqa: ARG002
        return "no notifications are sent here"

    def notify(
        self,
        notification: Notification,  # noqa: ARG002
        target: Target,  # noqa: ARG002
        on_note: Callable[[str], None],  # noqa: ARG002
    ) -> None:
        raise NotifyFailed("no notifications are sent here")
