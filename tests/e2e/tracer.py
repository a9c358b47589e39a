"""Runs `ftops` with an audit hook in its process and its Python child processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# `sitecustomize` runs first, in child processes too.
_HOOK = """
import json, os, sys
trace = os.open(os.environ["FTOPS_TEST_TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
busy = False
WATCHED = (
    "exec", "open", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn",
    "socket.bind", "socket.connect", "socket.get", "socket.send", "subprocess.Popen",
)

def list_callers():
    frame, names = sys._getframe(2), []
    while frame is not None:
        if "/ftops/" in frame.f_code.co_filename:
            names.append(frame.f_code.co_name)
        frame = frame.f_back
    return " ".join(names)

def hook(event, args):
    global busy
    if busy or not event.startswith(WATCHED):
        return
    busy = True
    shown = [getattr(value, "co_filename", None) or str(value) for value in args[:3]]
    if event in ("subprocess.Popen", "os.posix_spawn"):
        shown = [str(word) for word in args[1]]
    if event == "open":
        shown.append(list_callers())
    os.write(trace, (json.dumps([event, *shown]) + "\\n").encode())
    busy = False

sys.addaudithook(hook)
"""
_PARTIAL = {"check_for_secrets", "get_row_format", "find_example_prompt"}  # the first rows only
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Traced:
    """The result of a command, and the audit events of its processes."""

    code: int
    out: str
    err: str
    events: list[list[str]] = field(repr=False)

    def executed(self, folder: Path) -> list[str]:
        """The files in the folder whose Python code was executed."""
        return [
            event[1] for event in self.list_events("exec") if Path(event[1]).is_relative_to(folder)
        ]

    def programs(self) -> list[list[str]]:
        """The programs that were started, without ftops's own processes."""
        own = [sys.executable, "-P", "-m"]
        return [
            event[1:]
            for event in self.list_events("os.", "pty.spawn", "subprocess.Popen")
            if not (event[1:4] == own and event[4].startswith("ftops."))
        ]

    def connections(self) -> list[list[str]]:
        """The addresses that were resolved or connected to."""
        return list(self.list_events("socket."))

    def opened(self, *, to_write: bool) -> list[Path]:
        """The files that were opened; with `to_write`, only those opened for writing."""
        return [
            Path(path)
            for _, path, _, flags, _ in self.list_events("open")
            if not to_write or int(flags) & _WRITES
        ]

    def list_parses(self) -> list[tuple[Path, str]]:
        """The data files whose rows were parsed to the end, with the functions that did it."""
        return [
            (Path(path), callers)
            for _, path, _, _, callers in self.list_events("open")
            if {"_read_again", "_parsed"} & set(callers.split())
            and not _PARTIAL & set(callers.split())
        ]

    def list_events(self, *starts: str) -> Iterator[list[str]]:
        return (event for event in self.events if event[0].startswith(starts))


def run_traced(folder: Path, *arguments: str | Path, tools: Path) -> Traced:
    """Run `ftops` in the folder; `tools` holds the hook, the trace and temporary files."""
    (tools / "temporary").mkdir(parents=True, exist_ok=True)
    (tools / "sitecustomize.py").write_text(_HOOK)
    trace = tools / "trace"
    trace.unlink(missing_ok=True)
    completed = subprocess.run(
        [sys.executable, "-P", "-m", "ftops", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env={
            **os.environ,
            "FTOPS_HOME": str(tools / "home"),
            "FTOPS_TEST_TRACE": str(trace),
            "HOSTILE_KEY": "key-of-the-user",
            "PYTHONPATH": str(tools),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(tools / "temporary"),
        },
        timeout=100,
        check=False,
    )
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    return Traced(completed.returncode, completed.stdout, completed.stderr, events)
