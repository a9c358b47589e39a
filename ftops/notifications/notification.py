"""Notifications about runs, their targets, and the protocol of notifiers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import orjson

from ftops.errors import NotifyFailed
from ftops.records import Json


@dataclass(frozen=True, slots=True)
class Notification:
    """An event of a run.

    `id` stays the same when the notification is sent again. `type` is the event, such as
    "run.succeeded", and `data` identifies the run; neither contains training text or a key. `error`
    may quote a provider, so only programs on this machine get it.
    """

    id: str
    type: str
    outcome: str  # success, failure or stall
    timestamp: str
    data: Mapping[str, Json]
    error: str | None = None

    def to_json(self) -> dict[str, Json]:
        """The JSON document that a webhook receives."""
        return {"type": self.type, "timestamp": self.timestamp, "data": dict(self.data)}

    def render_body(self) -> bytes:
        """The document as bytes, which are deterministic so that signatures stay valid."""
        return orjson.dumps(self.to_json())


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A program and its arguments; `folder` is its working directory and the base of its path.

    `env` lists environment variables that it gets in addition to the basic ones.
    """

    argv: tuple[str, ...]
    folder: Path
    env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """A URL, and the environment variable with the secret that signs requests to it."""

    url: str
    secret_env: str


Target: TypeAlias = CommandTarget | WebhookTarget


class Notifier(Protocol):
    """Sends notifications; both methods return within about a minute."""

    def check(self, target: Target) -> str | None:
        """The reason why the target cannot be notified, if known without sending; else None."""

    def notify(
        self, notification: Notification, target: Target, on_note: Callable[[str], None]
    ) -> None:
        """Send the notification; NotifyFailed if the target may not have received it.

        `on_note` gets a line if a retry takes time.
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
