"""Caches responses of models on disk, so that none is paid for twice.

`FTOPS_HOME/responses` has one file per model and account, with one line of JSON per response. The
key of a response covers everything that the response depends on. Each write appends whole lines, so
that several processes can write at the same time. A line that a power cut has truncated is skipped,
and its prompt is sent again. If the folder grows too large, the least recently used files are
deleted.
"""

import contextlib
import functools
import hashlib
import json
import os
import threading
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ftops.clock import Clock
from ftops.errors import StorageError
from ftops.files import append_lines, make_private_dir, storage_error, sync_data
from ftops.locks import hold_lock
from ftops.records import Chat, Completion, Json, Prompt, Sampling, ToolCall

FOLDER = "responses"
MAX_BYTES = 1_000_000_000  # in all
_VERSION = 1  # part of every key
_FIELDS = tuple(field.name for field in fields(Completion))


@dataclass(frozen=True, slots=True)
class CompletionResult:
    """A completion, or the reason why there is none (`completion` is None).

    `declined`: the provider's content policy refused the prompt. `cached`: the result comes from
    the cache, and no request was sent.
    """

    completion: Completion | None = None
    failure: str = ""
    declined: bool = False
    cached: bool = False


def make_key(prompt: Prompt, sampling: Sampling, occurrence: int = 0) -> str:
    """The cache key of a prompt to one model.

    `occurrence` numbers the samples of a prompt if sampling is random.
    """
    content: Json = prompt if isinstance(prompt, str) else _list_content(prompt)
    text = json.dumps([_VERSION, content, _render_sampling(sampling), occurrence])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _list_content(chat: Chat) -> list[Json]:
    messages: list[Json] = [
        [message.role, message.content, *([dict(message.extra)] if message.extra else [])]
        for message in chat.messages
    ]
    return [messages, dict(chat.options)] if chat.options else messages


@functools.lru_cache(maxsize=8)
def _render_sampling(sampling: Sampling) -> str:
    values = asdict(sampling)
    if sampling.precision is None:
        del values["precision"]  # keys of earlier versions stay valid
    return json.dumps(values, sort_keys=True)


class ResponseCache:
    """The responses of all models, in the folder `responses` of `home`."""

    def __init__(self, home: Path, clock: Clock, *, max_bytes: int = MAX_BYTES) -> None:
        self.folder = home / FOLDER
        self._clock = clock
        self._max_bytes = max_bytes

    def open(self, account: str, model: str) -> "ModelCache":
        """The responses of one model; StorageError if the file cannot be read or written."""
        name = hashlib.sha256(json.dumps([account, model]).encode()).hexdigest()[:24]
        make_private_dir(self.folder)
        path = self.folder / f"{name}.jsonl"
        try:
            if not path.exists():
                append_lines(path, _render({"account": account, "model": model}))
            now_s = self._clock.now().timestamp()
            os.utime(path, (now_s, now_s))  # so that files in use are not deleted first
            self._limit_size(path)
        except OSError as error:
            raise storage_error(error, path) from error
        return ModelCache(path, self._clock)

    def _limit_size(self, used: Path) -> None:
        """Delete the least recently used files until the rest is below the limit."""
        sizes = {}
        for path in self.folder.glob("*.jsonl"):
            with contextlib.suppress(FileNotFoundError):  # another process may delete it
                status = path.stat()
                sizes[path] = (status.st_mtime, status.st_size)
        total = sum(size for _, size in sizes.values())
        for path in sorted(sizes, key=lambda path: sizes[path][0]):
            if total <= self._max_bytes:
                return
            if path != used:
                path.unlink(missing_ok=True)
                total -= sizes[path][1]


class ModelCache:
    """The responses of one model; all methods are thread-safe."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[str, bytes] = {}
        self._offset = 0
        self.refresh()

    def refresh(self) -> None:
        """Read what other processes have added; StorageError if the file cannot be read."""
        with self._lock:
            try:
                if self._path.stat().st_size == self._offset:
                    return
                with self._path.open("rb") as stream:
                    stream.seek(self._offset)
                    new = stream.read()
            except FileNotFoundError:  # deleted by another process; cached results stay valid
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
        """Hold the lock for prompts with this sampling; False if another process holds it."""
        digest = hashlib.sha256(_render_sampling(sampling).encode()).hexdigest()[:8]
        return hold_lock(self._path.with_suffix(f".{digest}.lock"))

    def find(self, key: str) -> CompletionResult | None:
        """The cached result with this key."""
        with self._lock:
            line = self._lines.get(key)
        return None if line is None else _read_values(json.loads(line))

    def add(self, results: dict[str, CompletionResult]) -> None:
        """Add results by key; StorageError if the file cannot be written."""
        if not results:
            return
        at = self._clock.now().isoformat(timespec="seconds")
        lines = {
            key: _render({"key": key, "at": at, **_to_json(result)})
            for key, result in results.items()
        }
        with self._lock:
            self._lines.update(lines)
            text = b"".join(lines.values())
            try:
                end = append_lines(self._path, text)
            except OSError as error:
                raise storage_error(error, self._path) from error
            if self._offset == end - len(text):  # no other process has written
                self._offset = end

    def sync(self) -> None:
        """Try to flush added results to the disk, and mark the file as used."""
        now_s = self._clock.now().timestamp()
        with contextlib.suppress(OSError):
            os.utime(self._path, (now_s, now_s))
            descriptor = os.open(self._path, os.O_RDWR)
            try:
                sync_data(descriptor)
            finally:
                os.close(descriptor)


def _render(values: dict[str, Json]) -> bytes:
    return json.dumps(values).encode() + b"\n"  # always ASCII


def _to_json(result: CompletionResult) -> dict[str, Json]:
    completion = result.completion
    if completion is None:
        return {"failure": result.failure, "declined": result.declined}
    values = {name: getattr(completion, name) for name in _FIELDS}  # asdict copies, which is slow
    values["tool_calls"] = [asdict(call) for call in completion.tool_calls]
    return {name: value for name, value in values.items() if value not in (None, {}, [])}


def _find_key(line: bytes) -> str | None:
    """The key of a line with a result; None for any other line, or a truncated one."""
    try:
        values = json.loads(line)
        key = values.get("key")
        _read_values(values)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return key if isinstance(key, str) else None


def _read_values(values: dict[str, Json]) -> CompletionResult:
    """The result of a line; TypeError if the line has none."""
    failure = values.get("failure")
    if isinstance(failure, str):
        return CompletionResult(
            failure=failure, declined=values.get("declined") is True, cached=True
        )
    known: dict[str, Any] = {name: value for name, value in values.items() if name in _FIELDS}
    if not isinstance(known.get("text"), str):
        raise TypeError("no completion")
    known["tool_calls"] = tuple(ToolCall(**call) for call in known.get("tool_calls", ()))
    return CompletionResult(Completion(**known), cached=True)
