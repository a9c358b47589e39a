"""Starts Python programs as processes of their own in milliseconds: their imports are done here.

    python -m tests.crash.process_harness

Each line of standard input is an order, each line of output its answer:

    {"start": MODULE, "arguments": […], "environment": {…}, "output": FILE}    -> the PID
    {"wait": PID}     -> the return code; a process killed by a signal has its negative number
    {"poll": PID}     -> the same, or null while the process lives

A module is run by its `main(arguments)`; what it puts out is appended to FILE.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias

_codes: dict[int, int] = {}  # of those that have ended

Main: TypeAlias = Callable[[Sequence[str]], int | None]


def serve() -> None:
    """Carry out orders, one at a time, until the input ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(obey(json.loads(line))) + "\n")
        sys.stdout.flush()


def obey(order: Mapping[str, Any]) -> int | None:
    if "start" in order:
        main: Main = importlib.import_module(order["start"]).main
        child = os.fork()
        if child == 0:
            become(main, order["arguments"], order["environment"], order["output"])
        _codes.pop(child, None)
        return child
    wanted = order.get("wait") or order["poll"]
    if wanted not in _codes:
        pid, status = os.waitpid(wanted, 0 if "wait" in order else os.WNOHANG)
        if not pid:
            return None
        _codes[pid] = os.waitstatus_to_exitcode(status)
    return _codes[wanted]


def become(
    main: Main, arguments: Sequence[str], environment: Mapping[str, str], output: str
) -> None:
    """Be that program from here on, to the end of this process."""
    code = 1
    try:
        os.setsid()
        os.environ.update(environment)
        nothing = os.open(os.devnull, os.O_RDONLY)
        everything = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for source, target in ((nothing, 0), (everything, 1), (everything, 2)):
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which end all this
    serve()
