"""Tells a program: what happened comes on its stdin, and in a few environment variables.

No shell is involved, and the environment holds no more than a program needs and the job file names:
no keys. The program has a process group of its own, so that it ends with all that it
has started when its time is up, and Ctrl-C in the terminal does not reach it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import orjson

from ftops.errors import NotifyFailed
from ftops.notifications.notice import CommandTarget, Notice
from ftops.records import Json

LIMIT_S = 30.0
_PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "SYSTEMROOT",
)  # the last: Windows starts none without
_SHOWN_BYTES = 400  # of the end of what it printed


def find_program(target: CommandTarget, environ: Mapping[str, str]) -> str | None:
    """The program that would be started; None when there is none."""
    name = target.argv[0]
    if Path(name).name != name:
        name = str(target.folder / name)
    return shutil.which(name, path=environ.get("PATH"))


def run_command(
    notice: Notice, target: CommandTarget, *, environ: Mapping[str, str], limit_s: float = LIMIT_S
) -> None:
    """Start the program and wait for its end; NotifyFailed unless it ends well within the time."""
    name = target.argv[0]
    program = find_program(target, environ)
    if program is None:
        raise NotifyFailed(f"notify.command: there is no program {name!r}")
    with tempfile.TemporaryFile() as said:
        process = _start(program, target, make_environ(notice, target, environ), said)
        try:
            process.communicate(_render_stdin(notice), timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise NotifyFailed(
                f"notify.command: {name!r} did not end within {limit_s:g} s, and was ended"
            ) from None
        finally:
            if process.returncode is None:
                _kill(process)
        if process.returncode != 0:
            raise NotifyFailed(
                f"notify.command: {name!r} ended with exit code {process.returncode}"
                + _render_end(said)
            )


def make_environ(
    notice: Notice, target: CommandTarget, environ: Mapping[str, str]
) -> dict[str, str]:
    """All environment variables of the program."""
    passed_on = {name: environ[name] for name in (*_PASSED_ON, *target.env) if name in environ}
    return {**passed_on, **make_variables(notice)}


def make_variables(notice: Notice) -> dict[str, str]:
    """What a short script wants to know, without reading JSON."""
    return {
        "FTOPS_OUTCOME": notice.outcome,
        "FTOPS_RUN_ID": str(notice.data.get("run_id") or ""),
        "FTOPS_NAME": str(notice.data.get("name") or ""),
        "FTOPS_JOB_ID": str(notice.data.get("job_id") or ""),
    }


def _start(
    program: str, target: CommandTarget, environ: Mapping[str, str], said: BinaryIO
) -> "subprocess.Popen[bytes]":
    folder = target.folder if target.folder.is_dir() else Path.cwd()
    try:
        return subprocess.Popen(
            [program, *target.argv[1:]],
            cwd=folder,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NotifyFailed(f"notify.command: {target.argv[0]!r}: {reason}") from error


def _render_stdin(notice: Notice) -> bytes:
    document = notice.to_json()
    told: dict[str, Json] = {**notice.data, "error": notice.error}
    return orjson.dumps({**document, "data": told}) + b"\n"


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End the program and what it has started, at once."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    process.wait()


def _render_end(said: BinaryIO) -> str:
    """The last words of what it printed, on one line, with nothing that moves a cursor."""
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - _SHOWN_BYTES))
    text = said.read().decode("utf-8", errors="replace")
    shown = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return f": {shown}" if shown else ""
