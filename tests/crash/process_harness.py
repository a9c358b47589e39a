"""Starts Python programs in their own processes within milliseconds: it imports their modules once.

    python -m tests.crash.process_harness

Each line of standard input is a request, each line of output its response:

    {"start": MODULE, "arguments": […], "environment": {…}, "output": FILE}    -> the PID
    {"wait": PID}     -> the return code; a process killed by a signal has its negative number
    {"poll": PID}     -> the same, or null while the process runs

A module is run by its `main(arguments)`; its output is appended to FILE.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias

_codes: dict[int, int] = {}  # of ended processes, by process id

Main: TypeAlias = Callable[[Sequence[str]], int | None]


def serve() -> None:
    """Handle requests, one at a time, until the input ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(handle(json.loads(line))) + "\n")
        sys.stdout.flush()


def handle(request: Mapping[str, Any]) -> int | None:
    if "start" in request:
        main: Main = importlib.import_module(request["start"]).main
        child = os.fork()
        if child == 0:
            run_program(main, request["arguments"], request["environment"], request["output"])
        _codes.pop(child, None)
        return child
    awaited = request.get("wait") or request["poll"]
    if awaited not in _codes:
        pid, status = os.waitpid(awaited, 0 if "wait" in request else os.WNOHANG)
        if not pid:
            return None
        _codes[pid] = os.waitstatus_to_exitcode(status)
    return _codes[awaited]


def run_program(
    main: Main, arguments: Sequence[str], environment: Mapping[str, str], output: str
) -> None:
    """Run the program in this process, and end the process."""
    code = 1
    try:
        os.setsid()
        os.environ.update(environment)
        null = os.open(os.devnull, os.O_RDONLY)
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for source, target in ((null, 0), (file, 1), (file, 2)):
            os.dup2(source, target)
        code = main(arguments) or 0
        sys.stdout.flush()
    except BaseException:
        sys.excepthook(*_current())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _current() -> tuple[type[BaseException], BaseException, TracebackType | None]:
    kind, error, trace = sys.exc_info()
    assert kind is not None
    assert error is not None
    return kind, error, trace


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # pytest handles Ctrl-C and closes the harness
    serve()
