"""Turns errors into messages and exit codes.

0    done
1    a known error; the message says what to do next
2    invalid command line
3    the job failed or was cancelled at the provider
4    the model misses a requirement of `evaluate.require`
70   a bug in ftops; a report is written to FTOPS_HOME/reports
130  interrupted with Ctrl-C; a created job continues at the provider
141  the reader of the output closed the pipe (`ftops runs | head`), as with SIGPIPE
"""

import contextlib
import os
import platform
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime

import typer

from ftops import __version__
from ftops.cli.environment import read_environ, redact_secrets, resolve_home
from ftops.cli.output import Mode, Output, render_json
from ftops.errors import FtopsError, JobFailed, ProviderError, RequirementMissed, UsageError
from ftops.files import write_atomic
from ftops.records import Json

KNOWN_ERROR = 1
INVALID_USAGE = 2
JOB_FAILED = 3
REQUIREMENT_MISSED = 4
BUG = 70
INTERRUPTED = 130
BROKEN_PIPE = 141
EXIT_CODES = (
    (0, "done"),
    (KNOWN_ERROR, "a known error; the message says what to do next"),
    (INVALID_USAGE, "invalid command line"),
    (JOB_FAILED, "the job failed or was cancelled at the provider"),
    (REQUIREMENT_MISSED, "the model misses a requirement of `evaluate.require`"),
    (BUG, "a bug in ftops; a report is written to FTOPS_HOME/reports"),
    (INTERRUPTED, "interrupted with Ctrl-C; a created job continues"),
    (BROKEN_PIPE, "the output pipe was closed, as in `ftops runs | head`"),
)


class Interrupted(Exception):
    """The user pressed Ctrl-C; `hint` says how to continue."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@contextlib.contextmanager
def handle_errors(out: Output) -> Iterator[None]:
    """Turn an error of the block into a message on `out` and an exit code."""
    try:
        yield
        out.stdout.flush()
    except RequirementMissed as error:  # the command has already printed its document
        out.error(error.message, error.hint, label="missed:")
        raise typer.Exit(REQUIREMENT_MISSED) from None
    except FtopsError as error:
        _fail(out, error_document(error), choose_exit_code(error))
    except BrokenPipeError:
        _discard_stdout()
        raise typer.Exit(BROKEN_PIPE) from None
    except Interrupted as stop:
        _fail(out, _describe("Interrupted", stop.message, stop.hint), INTERRUPTED)
    except KeyboardInterrupt:
        _fail(out, _describe("Interrupted", "interrupted", ""), INTERRUPTED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _discard_stdout()
        _fail(
            out,
            _describe("StorageError", f"{where}{error.strerror or error}", ""),
            KNOWN_ERROR,
        )
    except (typer.Exit, typer.BadParameter):
        raise
    except Exception as error:
        _fail(out, _report_bug(error), BUG)


def _fail(out: Output, error: dict[str, Json], code: int) -> None:
    error = error | {"hint": out.name_job_file(str(error["hint"] or "")) or None}
    if out.mode is Mode.JSON:
        with contextlib.suppress(OSError):
            out.stdout.write(render_json({"error": error, **out.about}) + "\n")
            out.stdout.flush()
    label = "stopped:" if code == INTERRUPTED else "error:"
    out.error(str(error["message"]), str(error["hint"] or ""), label=label)
    raise typer.Exit(code) from None


def _describe(kind: str, message: str, hint: str) -> dict[str, Json]:
    return {"message": message, "type": kind, "hint": hint or None}


def choose_exit_code(error: FtopsError) -> int:
    """The exit code of a command that failed with this error."""
    if isinstance(error, UsageError):
        return INVALID_USAGE
    if isinstance(error, RequirementMissed):
        return REQUIREMENT_MISSED
    return JOB_FAILED if isinstance(error, JobFailed) else KNOWN_ERROR


def error_document(error: FtopsError) -> dict[str, Json]:
    """The error as JSON, with the field names of the API if it came from there."""
    document = _describe(type(error).__name__, error.message, error.hint)
    if isinstance(error, ProviderError):
        document |= {
            "code": error.code,
            "param": error.param,
            "status": error.status,
            "request_id": error.request_id,
        }
    return document


def _report_bug(error: Exception) -> dict[str, Json]:
    """Write the report file, and describe the error."""
    now = datetime.now(UTC)
    environ = read_environ()
    text = "\n".join(
        [
            f"ftops {__version__}, Python {platform.python_version()}, {platform.platform()}",
            f"time: {now.isoformat(timespec='seconds')}",
            f"command: {' '.join(sys.argv[1:2])}",  # the rest may contain private text
            "",
            "".join(traceback.format_exception(error)),
        ]
    )
    text = redact_secrets(text, environ)
    path = resolve_home(environ) / "reports" / f"bug-{now:%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    try:
        write_atomic(path, text.encode("utf-8", "backslashreplace"))
        hint = f"This is a bug in ftops. Please report it and attach {path}."
    except FtopsError:
        sys.stderr.write(text)
        hint = "This is a bug in ftops. Please report it with the details above."
    return _describe("Bug", redact_secrets(f"{type(error).__name__}: {error}", environ), hint)


def _discard_stdout() -> None:
    """Discard buffered output, so that the last flush of the interpreter cannot fail."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
