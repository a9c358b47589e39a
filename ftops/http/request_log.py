"""The request log: a line of JSON for every request that is sent to a provider or a webhook.

`FTOPS_HOME/requests.jsonl` holds time, address, status and duration. It never holds a key, a
header, a query or a body. Processes append whole lines without waiting for each other. A large log
becomes `requests.old.jsonl` and replaces the previous one. An error of the log never ends a run.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Concatenate, ParamSpec, TypeVar

import orjson

from ftops.clock import Clock
from ftops.errors import StorageError
from ftops.files import append_lines, make_private_dir, storage_error
from ftops.locks import hold_lock
from ftops.records import Json, Run

P = ParamSpec("P")
T = TypeVar("T")

FILENAME = "requests.jsonl"
MAX_BYTES = 10_000_000
_LONGEST_TEXT = 300  # a path or a request id; a server may send anything

_run_id: ContextVar[str | None] = ContextVar("run_id", default=None)
_attempt: ContextVar[int] = ContextVar("attempt", default=1)


@dataclass(frozen=True, slots=True)
class RequestLogEntry:
    """One request and what came of it.

    `path` is without the query, `bytes_sent` is the length that the request announced, and
    `bytes_received` what came of the body. `error` names what ended the exchange early.
    """

    at: datetime
    method: str
    host: str
    path: str
    status: int | None = None
    request_id: str | None = None
    seconds: float = 0.0
    attempt: int = 1
    bytes_sent: int | None = None
    bytes_received: int | None = None
    error: str | None = None
    run_id: str | None = None

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self), "at": self.at.isoformat(timespec="milliseconds")}

    def concerns(self, run_id: str | None, job_id: str | None) -> bool:
        """Whether it belongs to that run, or names that job in its path."""
        if run_id is not None and self.run_id == run_id:
            return True
        return job_id is not None and job_id in self.path.split("/")


@contextlib.contextmanager
def run_scope(run_id: str) -> Iterator[None]:
    """Requests that leave within the block belong to that run."""
    token = _run_id.set(run_id)
    try:
        yield
    finally:
        _run_id.reset(token)


@contextlib.contextmanager
def attempt_scope(attempt: int) -> Iterator[None]:
    """Requests that leave within the block are the attempt of that number at the same thing."""
    token = _attempt.set(attempt)
    try:
        yield
    finally:
        _attempt.reset(token)


def in_run_scope(
    function: Callable[Concatenate[Run, P], T],
) -> Callable[Concatenate[Run, P], T]:
    """Let requests that leave within `function` belong to the run that it is called with."""

    @functools.wraps(function)
    def concerned(run: Run, /, *arguments: P.args, **options: P.kwargs) -> T:
        with run_scope(run.id):
            return function(run, *arguments, **options)

    return concerned


def find_run_id() -> str | None:
    """The run that a request which leaves now belongs to."""
    return _run_id.get()


def get_attempt() -> int:
    """Which attempt a request that leaves now is."""
    return _attempt.get()


class RequestLog:
    """The file at `path`; `say` is told, once, when it cannot be written."""

    def __init__(
        self, path: Path, clock: Clock, say: Callable[[str], None], *, max_bytes: int = MAX_BYTES
    ) -> None:
        self.clock = clock
        self._path = path
        self._say = say
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._has_complained = False

    def record(self, exchange: RequestLogEntry) -> None:
        """Append it; never raises for what the disk does."""
        line = orjson.dumps(_shorten(exchange.to_json()), option=orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            try:
                make_private_dir(self._path.parent)
                if append_lines(self._path, line) > self._max_bytes:
                    self._rotate()
            except StorageError as error:
                self._complain(error)
            except OSError as error:
                self._complain(storage_error(error, self._path))

    def _rotate(self) -> None:
        # Whoever finds the lock taken leaves the work to the one who has it.
        # Whoever had it a moment ago may have renamed the file, and nobody appended since.
        with hold_lock(self._path.with_suffix(".lock")) as held:
            if held and _find_size(self._path) > self._max_bytes:
                self._path.replace(get_old_path(self._path))

    def _complain(self, error: StorageError) -> None:
        if not self._has_complained:
            self._has_complained = True
            self._say(f"the request log misses requests: {error.message}")


class RequestLogReader:
    """Reads what was appended since it last looked, through changes of the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._offset = 0

    def read_new(self) -> list[RequestLogEntry]:
        """The exchanges that are new, oldest first; the first time, all that were kept."""
        lines: list[bytes] = []
        try:
            # Opened before the old one is looked at: what is renamed meanwhile is not missed.
            with contextlib.ExitStack() as stack:
                current = _open(self._path, stack)
                if current is None or _find_inode(current) != self._inode:
                    old = _open(get_old_path(self._path), stack)
                    if old is not None and self._inode in (0, _find_inode(old)):
                        lines += self._read(old)
                if current is not None:
                    lines += self._read(current)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot read: {error.strerror or error}") from error
        return [found for line in lines if (found := _parse(line)) is not None]

    def _read(self, stream: BinaryIO) -> list[bytes]:
        """The whole lines behind those that were read before."""
        inode = _find_inode(stream)
        if inode != self._inode:
            self._inode, self._offset = inode, 0
        stream.seek(self._offset)
        whole, newline, _ = stream.read().rpartition(b"\n")
        self._offset += len(whole + newline)
        return whole.splitlines()


def get_old_path(path: Path) -> Path:
    """Where the log before this one lies."""
    return path.with_name(f"{path.stem}.old{path.suffix}")


def _open(path: Path, stack: contextlib.ExitStack) -> BinaryIO | None:
    try:
        return stack.enter_context(path.open("rb"))
    except FileNotFoundError:
        return None


def _find_size(path: Path) -> int:
    """How many bytes the file has; 0 when there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _find_inode(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_ino


def _shorten(document: dict[str, Json]) -> dict[str, Json]:
    return {
        name: value[:_LONGEST_TEXT] if isinstance(value, str) else value
        for name, value in document.items()
    }


def _parse(line: bytes) -> RequestLogEntry | None:
    """The exchange in a line; None for a line that was cut short, or is of another make."""
    try:
        values = orjson.loads(line)
        at = datetime.fromisoformat(values["at"]).astimezone(UTC)
        return RequestLogEntry(**{**values, "at": at})
    except (ValueError, TypeError, KeyError):
        return None
