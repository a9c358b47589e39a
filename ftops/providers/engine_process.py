"""Finds, starts and stops the process of the built-in engine.

An engine belongs to a folder. It writes `address.json` there once it accepts requests, holds
`engine.lock` while it runs, and logs to `engine.log`. It is started detached, so that it and its
jobs outlive the command. Nothing here imports the OpenAI SDK.
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
from ftops.providers.model_catalog import EngineEstimate, EngineJob
from ftops.records import EXIT_REFUSED, EngineAddress

ENGINE_COMMAND = (sys.executable, "-P", "-m", "ftops.engine")
IDLE_S = 900.0
START_WAIT_S = 30.0
STOP_WAIT_S = 15.0
_POLL_INTERVAL_S = 0.05
_HEALTH_TIMEOUT_S = 2.0
_LOG_LINES = 12

# Engines that this process has started: a child stays in the process table until it is polled.
_started: list[subprocess.Popen[bytes]] = []


def find_engine(folder: Path) -> EngineAddress | None:
    """The engine of the folder, if it runs and responds."""
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
    """The engine of the folder, started if none runs; it stops after `idle_s` without work.

    EngineError, with the last lines of its log, when it does not respond within `wait_s`.
    """
    address = find_engine(folder)
    if address is not None:
        return address
    clock = clock or SystemClock()
    make_private_dir(folder)
    arguments = (*command, "--folder", str(folder), "--idle-s", f"{idle_s:g}")
    try:
        # If two commands start it at the same time, the second finds the engine of the first.
        with FileLock(folder / "start.lock", timeout=wait_s, mode=PRIVATE_FILE):
            return find_engine(folder) or _start(folder, arguments, wait_s, clock)
    except Timeout:
        raise EngineError(
            f"another command has been starting the engine in {folder} for {wait_s:.0f} s",
            hint="Run the same command again in a moment.",
        ) from None
    except OSError as error:
        raise storage_error(error, folder) from error


def stop_engine(folder: Path, *, clock: Clock | None = None) -> bool:
    """Stop the engine of the folder; False when none was running.

    A job that was training resumes from its last checkpoint when the engine is started again.
    """
    clock = clock or SystemClock()
    address = find_engine(folder)
    if address is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(address.pid, signal.SIGTERM)
    for _ in _poll(clock, STOP_WAIT_S):
        _reap_ended()
        # The lock is released when the process ends, after its last write.
        if not is_locked(folder / "engine.lock") and not _is_healthy(address):
            _await_exit(address.pid)
            return True
    raise EngineError(
        f"the engine (process {address.pid}) did not stop within {STOP_WAIT_S:.0f} s",
        hint=f"See {folder / 'engine.log'}; kill the process if it does not stop.",
    )


def _start(folder: Path, arguments: tuple[str, ...], wait_s: float, clock: Clock) -> EngineAddress:
    log = folder / "engine.log"
    log_start = log.stat().st_size if log.exists() else 0
    _reap_ended()
    process = _spawn(arguments, folder, log)
    for _ in _poll(clock, wait_s):
        address = find_engine(folder)
        if address is not None:
            return address
        # If another engine holds the folder, the new one exits at once, and the other responds.
        if process.poll() is not None and not is_locked(folder / "engine.lock"):
            raise EngineError(
                f"the engine ended at its start (exit code {process.returncode})"
                + _render_log(log, log_start),
                hint=f"Its log is {log}.",
            )
    process.kill()  # an engine that starts this late would not be used
    process.wait()
    raise EngineError(
        f"the engine did not respond within {wait_s:.0f} s" + _render_log(log, log_start),
        hint=f"Its log is {log}; `ftops serve` starts it in the foreground.",
    )


def _spawn(arguments: tuple[str, ...], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one and its terminal."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
    detached = getattr(subprocess, "DETACHED_PROCESS", 0)  # these two exist only on Windows
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


def _poll(clock: Clock, wait_s: float) -> Iterator[None]:
    """Yield at once, then at intervals until `wait_s` have passed."""
    until_s = clock.monotonic_s() + wait_s
    yield
    while clock.monotonic_s() < until_s:
        clock.sleep(_POLL_INTERVAL_S)
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
    """Whether the engine that wrote the address responds there."""
    # Without a proxy: the engine is on this machine.
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


def _reap_ended() -> None:
    """Remove ended engines from the process table."""
    _started[:] = [process for process in _started if process.poll() is None]


def _await_exit(pid: int) -> None:
    for process in _started:
        if process.pid == pid:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_WAIT_S)
    _reap_ended()


def _render_log(log: Path, log_start: int) -> str:
    """The last lines of the log after `log_start`, to append to a message."""
    try:
        with log.open("rb") as stream:
            stream.seek(log_start)
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = text.strip().splitlines()[-_LOG_LINES:]
    return "".join(f"\n    {line}" for line in lines)


ESTIMATE_COMMAND = (sys.executable, "-P", "-m", "ftops.engine.estimate")
ENGINE_FOLDER = "engine"  # of the home folder
_WAIT_S = 120.0


def estimate_with_engine(
    job: EngineJob,
    *,
    home: Path,
    is_measured: bool = False,
    command: tuple[str, ...] = ESTIMATE_COMMAND,
) -> EngineEstimate | None:
    """Estimate a training; None when that fails.

    It fails for a fine-tuned model (which keeps its own vocabulary), for invalid rows, and without
    an engine. Registered base models are those of the engine in the folder `home`; EngineError when
    the training of one would be refused. The estimate runs in a separate process, which takes two
    steps when `is_measured`.
    """
    options = ["--model", job.model, "--folder", str(home / ENGINE_FOLDER)]
    options += ["--hyperparameters", orjson.dumps(job.hyperparameters).decode()]
    options += ["--validation", str(job.validation)] if job.validation else []
    options += ["--measure"] if is_measured else []
    try:
        process = subprocess.run(
            [*command, str(job.training), *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=None if is_measured else _WAIT_S,
            check=False,
        )
        values = orjson.loads(process.stdout)
        if process.returncode == EXIT_REFUSED:
            raise EngineError(values["message"], hint=values["hint"])
        return EngineEstimate(**values)
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None
