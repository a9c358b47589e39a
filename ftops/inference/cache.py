"""Answers that were given, so that none is paid for twice.

`FTOPS_HOME/answers` has a file for each model of each account, and in it a line of JSON for each
answer, under a key made of all that the answer depends on. Lines are appended whole, so that
several processes may write at once; a line that a power cut has torn is passed over, and its
question asked again. What was not used for the longest time goes when all has grown too large.
"""

import contextlib
import functools
import hashlib
import json
import os
import threading
from contextlib import AbstractContextManager
from dataclasses import asdict, fields
from pathlib import Path

from ftops.clock import Clock
from ftops.errors import StorageError
from ftops.files import append_lines, make_private_dir, storage_error, sync_data
from ftops.inference.outcome import CompletionResult
from ftops.locks import hold_lock
from ftops.records import Completion, Json, Prompt, Sampling

FOLDER = "answers"
MAX_BYTES = 1_000_000_000  # of all models together
_VERSION = 1  # part of every key
_FIELDS = tuple(one.name for one in fields(Completion))


def make_key(prompt: Prompt, sampling: Sampling, occurrence: int = 0) -> str:
    """What makes two questions to one model the same.

    `occurrence` tells apart draws of the same question that may well end differently.
    """
    said: Json = (
        prompt
        if isinstance(prompt, str)
        else [[message.role, message.content] for message in prompt]
    )
    drawn = _render_sampling(sampling)
    text = json.dumps([_VERSION, said, drawn, occurrence])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@functools.lru_cache(maxsize=8)
def _render_sampling(sampling: Sampling) -> str:
    return json.dumps(asdict(sampling), sort_keys=True)


class ResponseCache:
    """The answers of all models, in the folder `answers` of `home`."""

    def __init__(self, home: Path, clock: Clock, *, max_bytes: int = MAX_BYTES) -> None:
        self.folder = home / FOLDER
        self._clock = clock
        self._max_bytes = max_bytes

    def open(self, account: str, model: str) -> "ModelCache":
        """The answers of one model. StorageError when they cannot be read, or none be kept."""
        name = hashlib.sha256(json.dumps([account, model]).encode()).hexdigest()[:24]
        make_private_dir(self.folder)
        path = self.folder / f"{name}.jsonl"
        try:
            if not path.exists():
                append_lines(path, _render({"account": account, "model": model}))
            now_s = self._clock.now().timestamp()
            os.utime(path, (now_s, now_s))  # what is used is not what goes first
            self._make_room(path)
        except OSError as error:
            raise storage_error(error, path) from error
        return ModelCache(path, self._clock)

    def _make_room(self, used: Path) -> None:
        """Remove what was not used for the longest time until the rest is small enough."""
        sizes = {}
        for path in self.folder.glob("*.jsonl"):
            with contextlib.suppress(FileNotFoundError):  # another process makes room, too
                found = path.stat()
                sizes[path] = (found.st_mtime, found.st_size)
        total = sum(size for _, size in sizes.values())
        for path in sorted(sizes, key=lambda one: sizes[one][0]):
            if total <= self._max_bytes:
                return
            if path != used:
                path.unlink(missing_ok=True)
                total -= sizes[path][1]


class ModelCache:
    """The answers of one model; all methods may be called by several threads."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[str, bytes] = {}
        self._offset = 0
        self.refresh()

    def refresh(self) -> None:
        """Read what other processes have added since. StorageError when it cannot be read."""
        with self._lock:
            try:
                if self._path.stat().st_size == self._offset:
                    return
                with self._path.open("rb") as stream:
                    stream.seek(self._offset)
                    new = stream.read()
            except FileNotFoundError:  # somebody removed it; what was read still holds
                self._offset = 0
                return
            except OSError as error:
                reason = error.strerror or error
                raise StorageError(f"{self._path}: cannot read: {reason}") from error
            whole, newline, _ = new.rpartition(b"\n")
            self._offset += len(whole) + len(newline)
            for line in whole.splitlines():
                if (key := _find_key(line)) is not None:
                    self._lines[key] = line

    def hold(self, sampling: Sampling) -> AbstractContextManager[bool]:
        """Be the only one, of all processes, who puts such questions; False: somebody else is."""
        sort = hashlib.sha256(_render_sampling(sampling).encode()).hexdigest()[:8]
        return hold_lock(self._path.with_suffix(f".{sort}.lock"))

    def find(self, key: str) -> CompletionResult | None:
        """What came of that question, if it was put before."""
        with self._lock:
            line = self._lines.get(key)
        return None if line is None else _read_outcome(line)

    def keep(self, outcomes: dict[str, CompletionResult]) -> None:
        """Add what came of questions, by their keys. StorageError when the disk refuses."""
        if not outcomes:
            return
        at = self._clock.now().isoformat(timespec="seconds")
        lines = {
            key: _render({"key": key, "at": at, **_to_json(outcome)})
            for key, outcome in outcomes.items()
        }
        with self._lock:
            self._lines.update(lines)
            text = b"".join(lines.values())
            try:
                end = append_lines(self._path, text)
            except OSError as error:
                raise storage_error(error, self._path) from error
            if self._offset == end - len(text):  # nobody else has written: nothing new to read
                self._offset = end

    def sync(self) -> None:
        """Make what was added survive a power cut, as far as the disk lets it; used right now."""
        now_s = self._clock.now().timestamp()
        with contextlib.suppress(OSError):
            os.utime(self._path, (now_s, now_s))
            descriptor = os.open(self._path, os.O_RDWR)
            try:
                sync_data(descriptor)
            finally:
                os.close(descriptor)


def _render(values: dict[str, Json]) -> bytes:
    return json.dumps(values).encode() + b"\n"  # ASCII, whatever a model has said


def _to_json(outcome: CompletionResult) -> dict[str, Json]:
    if outcome.completion is None:
        return {"failure": outcome.failure, "declined": outcome.declined}
    answer = outcome.completion
    values = {name: getattr(answer, name) for name in _FIELDS}  # asdict copies, and takes its time
    return {name: value for name, value in values.items() if value is not None and value != {}}


def _find_key(line: bytes) -> str | None:
    """The key of a line that holds an outcome; None for any other, and for a torn one."""
    try:
        values = json.loads(line)
        key = values.get("key")
        _read_values(values)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return key if isinstance(key, str) else None


def _read_outcome(line: bytes) -> CompletionResult:
    return _read_values(json.loads(line))


def _read_values(values: dict[str, Json]) -> CompletionResult:
    """TypeError when it is none."""
    failure = values.get("failure")
    if isinstance(failure, str):
        return CompletionResult(failure=failure, declined=values.get("declined") is True, kept=True)
    given = {name: value for name, value in values.items() if name in _FIELDS}
    if not isinstance(given.get("text"), str):
        raise TypeError("no answer")
    return CompletionResult(Completion(**given), kept=True)  # type: ignore[arg-type]
