"""Exports runs to other tools, each export in a separate process.

In a separate process, a tool's library has a controlled environment, cannot end this process,
leaves no thread running, and is killed with all of its child processes after a timeout.
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
from ftops.exports.registry import TOOLS, ExportTool
from ftops.exports.run_data import RunData
from ftops.files import write_atomic
from ftops.records import Json
from ftops.spec.job_file import LoadedJob
from ftops.spec.problem import ProblemReport
from ftops.text import to_one_line

TIMEOUT_S = 300.0
_SHOWN_CHARS = 400  # of a library's error
_JSON_FOLDER = "exports/"


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """The name of a tool, its settings, and the base folder of their relative paths."""

    tool: str
    settings: Mapping[str, str]
    folder: Path


class Exporter(Protocol):
    """Exports runs to other tools."""

    def export(self, run: RunData, target: ExportTarget) -> str:
        """Export the run and return its location in the tool; raises ExportFailed."""


class NullExporter:
    """Exports nothing: every attempt fails."""

    def export(self, run: RunData, target: ExportTarget) -> str:  # noqa: ARG002
        raise ExportFailed("no runs are exported here")


class SubprocessExporter:
    """The `Exporter` of the command line.

    `check_settings` raises an FtopsError for settings with an address that is not approved.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        timeout_s: float = TIMEOUT_S,
        check_settings: Callable[[Mapping[str, str]], None] = lambda _settings: None,
    ) -> None:
        self._environ = environ
        self._timeout_s = timeout_s
        self._check_settings = check_settings

    def export(self, run: RunData, target: ExportTarget) -> str:
        tool = TOOLS[target.tool]
        try:
            self._check_settings(target.settings)
            if tool.name == "json":
                return _write_json(run, target)
        except FtopsError as error:
            raise ExportFailed(f"export: {tool.name}: {error.message}", hint=error.hint) from error
        if library := tool.find_missing_library():
            raise _make_library_error(tool, library)
        return self._export_in_process(tool, run, target)

    def _export_in_process(self, tool: ExportTool, run: RunData, target: ExportTarget) -> str:
        request: dict[str, Json] = {
            "tool": target.tool,
            "settings": dict(target.settings),
            "folder": str(target.folder),
            "run": run.to_json(),
        }
        process = _start_worker(make_environ(tool, self._environ))
        try:
            stdout, stderr = process.communicate(
                json.dumps(request).encode(), timeout=self._timeout_s
            )
        except subprocess.TimeoutExpired:
            raise ExportFailed(
                f"export: {tool.name} did not take the run within {self._timeout_s:g} s"
            ) from None
        finally:
            _end(process)
        return _read_result(tool, stdout, stderr)


def check_tools_installed(job: LoadedJob) -> None:
    """Raise SpecError, with its position, if the library of a tool in `export:` is missing."""
    report = ProblemReport()
    for number, item in enumerate(job.spec.export):
        for name in item:
            tool = TOOLS[name]
            if library := tool.find_missing_library():
                span = job.values.span(("export", number))
                report.add(span, f"{name}: {library} is not installed", tool.install_command)
    if report.problems:
        raise report.error()


def make_environ(tool: ExportTool, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the tool's process: the user's environment without telemetry."""
    return {**tool.defaults, **environ, **tool.environ}


def _write_json(run: RunData, target: ExportTarget) -> str:
    name = target.settings.get("file", _JSON_FOLDER)
    path = target.folder / name
    if name.endswith("/") or path.is_dir():
        path /= f"{run.id}.json"
    # orjson writes NaN and infinity as null.
    content = orjson.dumps(run.to_json(), option=orjson.OPT_INDENT_2)
    write_atomic(path, content + b"\n", mode=0o644)
    return str(path)


def _start_worker(environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
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
        raise ExportFailed(f"export: cannot start a process: {error.strerror}") from error


def _read_result(tool: ExportTool, stdout: bytes, stderr: bytes) -> str:
    try:
        result = orjson.loads(stdout)
    except orjson.JSONDecodeError:
        end = _shorten(stderr.decode("utf-8", errors="replace"))
        raise ExportFailed(f"export: {tool.name} exited unexpectedly{end}") from None
    if "location" in result:
        return str(result["location"])
    if "missing_library" in result:
        raise _make_library_error(tool, str(result["missing_library"]))
    raise ExportFailed(f"export: {tool.name} refuses the run{_shorten(str(result['error']))}")


def _make_library_error(tool: ExportTool, library: str) -> ExportFailed:
    return ExportFailed(
        f"export: {tool.name} needs {library}, which is not installed: {tool.install_command}"
    )


def _shorten(text: str) -> str:
    """The start and end of the text on one line, to append to a message."""
    line = to_one_line(text)
    if len(line) > _SHOWN_CHARS:
        line = line[: _SHOWN_CHARS // 2] + " … " + line[-_SHOWN_CHARS // 2 :]
    return f": {line}" if line else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its child processes."""
    if process.returncode != 0:  # a successful process has ended its children
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
