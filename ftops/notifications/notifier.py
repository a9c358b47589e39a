"""Sends notifications to programs and webhooks.

A program starts without a shell, in a separate process group: a timeout also kills its child
processes, and Ctrl-C in the terminal does not reach it. Its environment has only basic variables
and those that the job file lists, and no keys.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import orjson

from ftops.clock import Clock
from ftops.errors import NotifyFailed
from ftops.http.request_log import RequestLog
from ftops.notifications.notification import CommandTarget, Notification, Target, WebhookTarget
from ftops.records import Json
from ftops.text import to_one_line

COMMAND_TIMEOUT_S = 30.0
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")  # SYSTEMROOT is for Windows
_SHOWN_BYTES = 400  # of the end of a program's output


class DefaultNotifier:
    """The `Notifier` of the command line."""

    def __init__(self, environ: Mapping[str, str], clock: Clock, request_log: RequestLog) -> None:
        self._environ = environ
        self._clock = clock
        self._request_log = request_log

    def check(self, target: Target) -> str | None:
        if isinstance(target, CommandTarget):
            if find_program(target, self._environ) is None:
                return f"notify.command: program {target.argv[0]!r} not found"
            return None
        reason = _load_webhook().check_secret(target, self._read_secret(target))
        return str(reason) if reason else None

    def notify(
        self, notification: Notification, target: Target, on_note: Callable[[str], None]
    ) -> None:
        if isinstance(target, CommandTarget):
            run_command(notification, target, environ=self._environ)
            return
        sender = _load_webhook().WebhookSender(self._clock, self._request_log, on_note)
        sender.send(notification, target, self._read_secret(target))

    def _read_secret(self, target: WebhookTarget) -> str:
        return self._environ.get(target.secret_env, "").strip()


def _load_webhook() -> ModuleType:
    """Import the webhook module only when needed, because its HTTP client loads slowly."""
    from ftops.notifications import webhook

    return webhook


def find_program(target: CommandTarget, environ: Mapping[str, str]) -> str | None:
    """The path of the program that the target starts."""
    name = target.argv[0]
    if Path(name).name != name:
        name = str(target.folder / name)
    return shutil.which(name, path=environ.get("PATH"))


def run_command(
    notification: Notification,
    target: CommandTarget,
    *,
    environ: Mapping[str, str],
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> None:
    """Run the program and wait for it; NotifyFailed on a timeout or a non-zero exit code."""
    name = target.argv[0]
    program = find_program(target, environ)
    if program is None:
        raise NotifyFailed(f"notify.command: program {name!r} not found")
    with tempfile.TemporaryFile() as output:
        process = _start(program, target, _make_environ(notification, target, environ), output)
        try:
            process.communicate(_render_stdin(notification), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise NotifyFailed(
                f"notify.command: {name!r} was killed after {timeout_s:g} s"
            ) from None
        finally:
            if process.returncode is None:
                _kill(process)
        if process.returncode != 0:
            raise NotifyFailed(
                f"notify.command: {name!r} exited with code {process.returncode}"
                + _render_tail(output)
            )


def _make_environ(
    notification: Notification, target: CommandTarget, environ: Mapping[str, str]
) -> dict[str, str]:
    inherited = {name: environ[name] for name in (*_INHERITED, *target.env) if name in environ}
    return {
        **inherited,
        "FTOPS_OUTCOME": notification.outcome,
        "FTOPS_RUN_ID": str(notification.data.get("run_id") or ""),
        "FTOPS_NAME": str(notification.data.get("name") or ""),
        "FTOPS_JOB_ID": str(notification.data.get("job_id") or ""),
    }


def _start(
    program: str, target: CommandTarget, environ: Mapping[str, str], output: BinaryIO
) -> subprocess.Popen[bytes]:
    folder = target.folder if target.folder.is_dir() else Path.cwd()
    try:
        return subprocess.Popen(
            [program, *target.argv[1:]],
            cwd=folder,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NotifyFailed(f"notify.command: {target.argv[0]!r}: {reason}") from error


def _render_stdin(notification: Notification) -> bytes:
    data: dict[str, Json] = {**notification.data, "error": notification.error}
    return orjson.dumps({**notification.to_json(), "data": data}) + b"\n"


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    process.wait()


def _render_tail(output: BinaryIO) -> str:
    """The end of a program's output on one line, without control characters."""
    output.seek(0, os.SEEK_END)
    output.seek(max(0, output.tell() - _SHOWN_BYTES))
    text = output.read().decode("utf-8", errors="replace")
    shown = to_one_line(text)
    return f": {shown}" if shown else ""
