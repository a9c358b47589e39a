"""The built-in engine as seen from outside: found, started, stopped.

The engine belongs to a folder. It writes `address.json` there once it can be reached, holds
`engine.lock` while it lives, and says what it has to say in `engine.log`. It is started detached,
so that it and the jobs in it outlive the command. Nothing here knows the OpenAI client.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import orjson
from filelock import FileLock, Timeout

from ftops.clock import Clock, SystemClock
from ftops.errors import EngineError
from ftops.files import PRIVATE_FILE, make_private_dir, storage_error
from ftops.http.probe import NoRedirectHandler
from ftops.locks import is_locked
from ftops.providers.model_catalog import EngineEstimate
from ftops.records import EngineAddress

ENGINE_COMMAND = (sys.executable, "-P", "-m", "ftops.engine")
IDLE_S = 900.0
START_WAIT_S = 30.0
STOP_WAIT_S = 15.0
_LOOK_EVERY_S = 0.05
_HEALTH_TIMEOUT_S = 2.0
_LOG_LINES = 12

# Engines that this process has started: a child that ended stays in the process table until its
# parent asks.
_started: list[subprocess.Popen[bytes]] = []


def find_engine(folder: Path) -> EngineAddress | None:
    """The engine of that folder, if one answers."""
    address = _read_address(folder / "address.json")
    return address if address is not None and _is_healthy(address) else None


def start_engine(
    folder: Path,
    *,
    idle_s: float = IDLE_S,
    wait_s: float = START_WAIT_S,
    clock: Clock | None = None,
    command: tuple[str, ...] = ENGINE_COMMAND,
) -> EngineAddress:
    """The engine of that folder, started when none answers; `idle_s` is when it ends itself.

    Raises EngineError with the last lines of its log when it does not come up within `wait_s`.
    """
    found = find_engine(folder)
    if found is not None:
        return found
    clock = clock or SystemClock()
    make_private_dir(folder)
    arguments = (*command, "--folder", str(folder), "--idle-s", f"{idle_s:g}")
    try:
        # Two commands that start at the same moment: the second finds what the first has started.
        with FileLock(folder / "start.lock", timeout=wait_s, mode=PRIVATE_FILE):
            return find_engine(folder) or _start(folder, arguments, wait_s, clock)
    except Timeout:
        raise EngineError(
            f"another command has been starting the engine in {folder} for {wait_s:.0f} s",
            hint="Give the same command again in a moment.",
        ) from None
    except OSError as error:
        raise storage_error(error, folder) from error


def stop_engine(folder: Path, *, clock: Clock | None = None) -> bool:
    """End the engine of that folder; False when none was running.

    A job that was training goes on from its last checkpoint when the engine is started again.
    """
    clock = clock or SystemClock()
    address = find_engine(folder)
    if address is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(address.pid, signal.SIGTERM)
    for _ in _moments(clock, STOP_WAIT_S):
        _forget_ended()
        # The lock goes when the process does, after the last byte has been written.
        if not is_locked(folder / "engine.lock") and not _is_healthy(address):
            _await_exit(address.pid)
            return True
    raise EngineError(
        f"the engine (process {address.pid}) did not end within {STOP_WAIT_S:.0f} s",
        hint=f"See {folder / 'engine.log'}; end the process by hand if it does not come to an end.",
    )


def _start(folder: Path, arguments: tuple[str, ...], wait_s: float, clock: Clock) -> EngineAddress:
    log = folder / "engine.log"
    began_at = log.stat().st_size if log.exists() else 0
    _forget_ended()
    process = _spawn(arguments, folder, log)
    for _ in _moments(clock, wait_s):
        address = find_engine(folder)
        if address is not None:
            return address
        # A second engine ends at once when the first holds the folder; then the first will answer.
        if process.poll() is not None and not is_locked(folder / "engine.lock"):
            raise EngineError(
                f"the engine ended as it began (exit code {process.returncode})"
                + _render_log(log, began_at),
                hint=f"Its log is {log}.",
            )
    process.kill()  # what comes up only now would be nobody's
    process.wait()
    raise EngineError(
        f"the engine did not answer within {wait_s:.0f} s" + _render_log(log, began_at),
        hint=f"Its log is {log}; `ftops serve` starts it in the foreground.",
    )


def _spawn(arguments: tuple[str, ...], folder: Path, log: Path) -> "subprocess.Popen[bytes]":
    """A process that lives on when this one and its terminal are gone."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
    detached = getattr(subprocess, "DETACHED_PROCESS", 0)  # these two exist on Windows alone
    own_group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    try:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            creationflags=detached | own_group,
        )
    finally:
        os.close(descriptor)
    _started.append(process)
    return process


def _moments(clock: Clock, wait_s: float) -> Iterator[None]:
    """Now, and again and again until `wait_s` have passed."""
    until_s = clock.monotonic_s() + wait_s
    yield
    while clock.monotonic_s() < until_s:
        clock.sleep(_LOOK_EVERY_S)
        yield


def _read_address(path: Path) -> EngineAddress | None:
    try:
        values = json.loads(path.read_bytes())
        return EngineAddress(
            base_url=str(values["base_url"]),
            token=str(values["token"]),
            pid=int(values["pid"]),
            version=str(values["version"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_healthy(address: EngineAddress) -> bool:
    """Whether the engine that wrote the address answers there."""
    # No proxy, whatever the environment says: the engine is on this machine.
    opener = urllib.request.build_opener(NoRedirectHandler(), urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(
            address.base_url.removesuffix("/v1") + "/healthz",
            headers={"Authorization": f"Bearer {address.token}"},
        )
        with opener.open(request, timeout=_HEALTH_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _forget_ended() -> None:
    """Take engines that ended out of the process table."""
    _started[:] = [process for process in _started if process.poll() is None]


def _await_exit(pid: int) -> None:
    """Let an engine that this process has started take its last breath."""
    for process in _started:
        if process.pid == pid:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_WAIT_S)
    _forget_ended()


def _render_log(log: Path, began_at: int) -> str:
    """The last lines that were written since `began_at`, as the end of a message."""
    try:
        with log.open("rb") as stream:
            stream.seek(began_at)
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = text.strip().splitlines()[-_LOG_LINES:]
    return "".join(f"\n    {line}" for line in lines)


ESTIMATE_COMMAND = (sys.executable, "-P", "-m", "ftops.engine.estimate")
_WAIT_S = 120.0


def estimate_with_engine(
    path: Path, model: str, *, command: tuple[str, ...] = ESTIMATE_COMMAND
) -> EngineEstimate | None:
    """What training `model` on the prepared file at `path` would be like; None when it cannot say.

    That is so for a model that was tuned before (it keeps its own vocabulary), for rows that the
    engine does not take, and where there is no engine.
    """
    try:
        done = subprocess.run(
            [*command, str(path), "--model", model],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_WAIT_S,
            check=True,
        )
        return EngineEstimate(**orjson.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None
