"""The request log: a line of JSON for every request that is sent to a provider or a webhook.

`FTOPS_HOME/requests.jsonl` holds time, address, status and duration. It never holds a key, a
header, a query or a body. Processes append whole lines without waiting for each other. A large log
becomes `requests.old.jsonl` and replaces the previous one. An error in the log never ends a run.
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
_LONGEST_TEXT = 300  # of a path or a request id, which a server chooses

_run_id: ContextVar[str | None] = ContextVar("run_id", default=None)
_attempt: ContextVar[int] = ContextVar("attempt", default=1)


@dataclass(frozen=True, slots=True)
class RequestLogEntry:
    """One request and its response.

    `path` is without the query, `bytes_sent` is the announced length of the request, and
    `bytes_received` the received length of the body. `error` names the error that ended it.
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
        """Whether it belongs to the run, or has the job in its path."""
        if run_id is not None and self.run_id == run_id:
            return True
        return job_id is not None and job_id in self.path.split("/")


@contextlib.contextmanager
def run_scope(run_id: str) -> Iterator[None]:
    """Assign the requests in the block to the run."""
    token = _run_id.set(run_id)
    try:
        yield
    finally:
        _run_id.reset(token)


@contextlib.contextmanager
def attempt_scope(attempt: int) -> Iterator[None]:
    """Set the attempt number of the requests in the block."""
    token = _attempt.set(attempt)
    try:
        yield
    finally:
        _attempt.reset(token)


def in_run_scope(
    function: Callable[Concatenate[Run, P], T],
) -> Callable[Concatenate[Run, P], T]:
    """Assign the requests in `function` to the run that it is called with."""

    @functools.wraps(function)
    def concerned(run: Run, /, *arguments: P.args, **options: P.kwargs) -> T:
        with run_scope(run.id):
            return function(run, *arguments, **options)

    return concerned


def find_run_id() -> str | None:
    """The run of the current request."""
    return _run_id.get()


def get_attempt() -> int:
    """The attempt number of the current request."""
    return _attempt.get()


class RequestLog:
    """The log file at `path`; `on_note` is called, once, when it cannot be written."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        on_note: Callable[[str], None],
        *,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.clock = clock
        self._path = path
        self._on_note = on_note
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._has_noted = False

    def record(self, entry: RequestLogEntry) -> None:
        """Append the entry; raises no disk errors."""
        line = orjson.dumps(_shorten(entry.to_json()), option=orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            try:
                make_private_dir(self._path.parent)
                if append_lines(self._path, line) > self._max_bytes:
                    self._rotate()
            except StorageError as error:
                self._note(error)
            except OSError as error:
                self._note(storage_error(error, self._path))

    def _rotate(self) -> None:
        # Only the process that holds the lock rotates; another may just have renamed the file.
        with hold_lock(self._path.with_suffix(".lock")) as held:
            if held and _get_size(self._path) > self._max_bytes:
                self._path.replace(get_old_path(self._path))

    def _note(self, error: StorageError) -> None:
        if not self._has_noted:
            self._has_noted = True
            self._on_note(f"the request log misses requests: {error.message}")


class RequestLogReader:
    """Reads the entries since the last read, across rotations."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._offset = 0

    def read_new(self) -> list[RequestLogEntry]:
        """New entries, oldest first; the first call returns all entries."""
        lines: list[bytes] = []
        try:
            # Opened before the old file, so that a rotation in between loses nothing.
            with contextlib.ExitStack() as stack:
                current = _open(self._path, stack)
                if current is None or _get_inode(current) != self._inode:
                    old = _open(get_old_path(self._path), stack)
                    if old is not None and self._inode in (0, _get_inode(old)):
                        lines += self._read(old)
                if current is not None:
                    lines += self._read(current)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot read: {error.strerror or error}") from error
        return [entry for line in lines if (entry := _parse(line)) is not None]

    def _read(self, stream: BinaryIO) -> list[bytes]:
        """The complete lines since the last read."""
        inode = _get_inode(stream)
        if inode != self._inode:
            self._inode, self._offset = inode, 0
        stream.seek(self._offset)
        whole, newline, _ = stream.read().rpartition(b"\n")
        self._offset += len(whole + newline)
        return whole.splitlines()


def get_old_path(path: Path) -> Path:
    """The path of the previous log."""
    return path.with_name(f"{path.stem}.old{path.suffix}")


def _open(path: Path, stack: contextlib.ExitStack) -> BinaryIO | None:
    try:
        return stack.enter_context(path.open("rb"))
    except FileNotFoundError:
        return None


def _get_size(path: Path) -> int:
    """The size in bytes; 0 without a file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _get_inode(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_ino


def _shorten(document: dict[str, Json]) -> dict[str, Json]:
    return {
        name: value[:_LONGEST_TEXT] if isinstance(value, str) else value
        for name, value in document.items()
    }


def _parse(line: bytes) -> RequestLogEntry | None:
    """The entry in a line; None for a line that was cut short or has another format."""
    try:
        values = orjson.loads(line)
        at = datetime.fromisoformat(values["at"]).astimezone(UTC)
        return RequestLogEntry(**{**values, "at": at})
    except (ValueError, TypeError, KeyError):
        return None
