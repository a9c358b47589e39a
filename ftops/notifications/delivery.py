"""Carries notices to programs and to web addresses."""

from collections.abc import Mapping

from ftops.clock import Clock
from ftops.errors import NotifyFailed
from ftops.http.request_log import RequestLog
from ftops.notifications.command import find_program, run_command
from ftops.notifications.notice import CommandTarget, Notice, Say, Target, WebhookTarget
from ftops.notifications.signature import PREFIX, WANTED, find_key


class Delivery:
    """The `Notifier` of the command line."""

    def __init__(self, environ: Mapping[str, str], clock: Clock, request_log: RequestLog) -> None:
        self._environ = environ
        self._clock = clock
        self._request_log = request_log

    def find_trouble(self, target: Target) -> str | None:
        if isinstance(target, WebhookTarget):
            return self._find_trouble_with_secret(target.secret_env)
        if find_program(target, self._environ) is None:
            return f"notify.command: there is no program {target.argv[0]!r}"
        return None

    def deliver(self, notice: Notice, target: Target, say: Say) -> None:
        if isinstance(target, CommandTarget):
            run_command(notice, target, environ=self._environ)
            return
        secret = self._read_secret(target.secret_env)
        key = find_key(secret)
        if key is None:
            raise NotifyFailed(self._find_trouble_with_secret(target.secret_env) or "no secret")
        # Imported here: the HTTP client takes a while, and most runs tell nobody anything.
        from ftops.notifications.webhook import post_webhook

        post_webhook(
            notice,
            target,
            key,
            secret=secret,
            clock=self._clock,
            request_log=self._request_log,
            say=say,
        )

    def _find_trouble_with_secret(self, name: str) -> str | None:
        secret = self._read_secret(name)
        if find_key(secret) is not None:
            return None
        what = "holds no such secret" if secret else "is not set"
        return (
            f"notify.webhook_secret_env: the environment variable {name} {what};"
            f" it is to be {WANTED}: export {name}={PREFIX}$(openssl rand -base64 32)"
        )

    def _read_secret(self, name: str) -> str:
        return self._environ.get(name, "").strip()
