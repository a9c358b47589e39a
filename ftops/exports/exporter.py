"""Carries runs to trackers, each in a process of its own.

So a tracker's library has the environment that it is handed, can end nothing of ours, leaves no
thread behind, and ends with all that it has started when its time is up.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from ftops.errors import ExportFailed, FtopsError
from ftops.exports import to_json_file
from ftops.exports.registry import TOOLS, ExportTool
from ftops.exports.run_data import RunData
from ftops.records import Json

LIMIT_S = 300.0
_SHOWN = 400  # letters of what a library says


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """A tool by its name, its settings, and the folder at which relative paths begin."""

    tool: str
    settings: Mapping[str, str]
    folder: Path


class Exporter(Protocol):
    """Whoever carries runs to trackers."""

    def export(self, run: RunData, target: ExportTarget) -> str:
        """Tell the tool of the run, and say where it is; ExportFailed when it has not got it."""


class NullExporter:
    """Tells nobody, and says so."""

    def export(self, run: RunData, target: ExportTarget) -> str:  # noqa: ARG002
        raise ExportFailed("no tool is told of runs here")


class SubprocessExporter:
    """The `Tracker` of the command line.

    `check` raises an FtopsError for settings that name an address which is not approved.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        limit_s: float = LIMIT_S,
        check: Callable[[Mapping[str, str]], None] = lambda _settings: None,
    ) -> None:
        self._environ = environ
        self._limit_s = limit_s
        self._check = check

    def export(self, run: RunData, target: ExportTarget) -> str:
        tool = TOOLS[target.tool]
        try:
            self._check(target.settings)
        except FtopsError as error:
            raise ExportFailed(f"export: {tool.name}: {error.message}", hint=error.hint) from error
        if not tool.imports:
            try:
                return to_json_file.write(run, target.settings, target.folder)
            except FtopsError as error:
                raise ExportFailed(f"export: {tool.name}: {error.message}") from error
        if lacking := tool.find_lacking():
            raise _lacks(tool, lacking)
        return _read_answer(tool, self._ask(tool, run, target))

    def _ask(self, tool: ExportTool, run: RunData, target: ExportTarget) -> tuple[bytes, bytes]:
        """What the process leaves on its stdout and its stderr."""
        process = _start(make_environ(tool, self._environ))
        try:
            return process.communicate(_render(run, target), timeout=self._limit_s)
        except subprocess.TimeoutExpired:
            raise ExportFailed(
                f"export: {tool.name} did not take the run within {self._limit_s:g} s"
            ) from None
        finally:
            _end(process)


def make_environ(tool: ExportTool, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the process: the user's own, and what keeps a library to itself."""
    return {**(tool.defaults or {}), **environ, **(tool.environ or {})}


def _start(environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "ftops.exports.worker"],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ExportFailed(f"export: no process can be started: {error.strerror}") from error


def _render(run: RunData, target: ExportTarget) -> bytes:
    request: dict[str, Json] = {
        "tool": target.tool,
        "settings": dict(target.settings),
        "folder": str(target.folder),
        "run": run.to_json(),
    }
    return json.dumps(request).encode()


def _read_answer(tool: ExportTool, output: tuple[bytes, bytes]) -> str:
    try:
        said = orjson.loads(output[0])
    except orjson.JSONDecodeError:
        raise ExportFailed(f"export: {tool.name} ended unexpectedly{_show(output[1])}") from None
    if "place" in said:
        return str(said["place"])
    if "lacking" in said:
        raise _lacks(tool, str(said["lacking"]))
    raise ExportFailed(f"export: {tool.name} refuses the run{_show(str(said['error']).encode())}")


def _lacks(tool: ExportTool, library: str) -> ExportFailed:
    return ExportFailed(
        f"export: {tool.name} needs {library}, which is not installed: {tool.extra}"
    )


def _show(said: bytes) -> str:
    """The end of what was said, on one line, with nothing that moves a cursor."""
    text = said.decode("utf-8", errors="replace")
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if len(plain) > _SHOWN:
        plain = plain[: _SHOWN // 2] + " … " + plain[-_SHOWN // 2 :]
    return f": {plain}" if plain else ""


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and whatever it has left behind."""
    if process.returncode != 0:  # one that ended well has ended what it had started
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()
