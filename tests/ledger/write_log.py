"""Records everything that SQLite writes, and computes what a disk may hold after a power cut.

SQLite writes through a table of functions (https://www.sqlite.org/vfs.html). `recording` wraps the
platform's table and records each change before it is made.
"""

import _sqlite3  # for the library that Python's own module uses
import contextlib
import ctypes
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

Kind = Literal["write", "truncate", "sync", "delete", "sync_folder"]
_SECTOR = 512
_OK = 0
_JOURNALS = 0x800 | 0x80000  # flags for opening a rollback journal or a write-ahead log
_POINTER, _INT, _LONG, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_char_p
# A pointer, not a string: SQLite keeps the address of a name, and a copy would be freed by then.
_OPEN = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _POINTER, _INT, _POINTER)
_DELETE = ctypes.CFUNCTYPE(_INT, _POINTER, _TEXT, _INT)
_WRITE = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT, _LONG)
_TRUNCATE = ctypes.CFUNCTYPE(_INT, _POINTER, _LONG)
_SYNC = ctypes.CFUNCTYPE(_INT, _POINTER, _INT)


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", _INT),
        ("file_bytes", _INT),
        ("path_bytes", _INT),
        ("next", _POINTER),
        ("name", _TEXT),
        ("data", _POINTER),
        ("open", _OPEN),
        ("delete", _DELETE),
        ("others", _POINTER * 14),
    ]


class _Methods(ctypes.Structure):
    _fields_ = [
        ("version", _INT),
        ("close", _POINTER),
        ("read", _POINTER),
        ("write", _WRITE),
        ("truncate", _TRUNCATE),
        ("sync", _SYNC),
        ("others", _POINTER * 13),
    ]


@dataclass(frozen=True, slots=True)
class Change:
    """One request to the disk, and the number of commits that completed before it.

    `safe` is the number of these that must not be lost.
    """

    kind: Kind
    name: str
    safe: int = 0
    done: int = 0
    offset: int = 0
    data: bytes = b""


@dataclass(slots=True)
class WriteLog:
    """The requests to the disk so far, and the number of completed commits.

    `unlisted` are open files whose folder entry is not flushed yet.
    """

    changes: list[Change] = field(default_factory=list)
    safe: int = 0
    done: int = 0
    unlisted: set[int] = field(default_factory=set)

    def add(self, kind: Kind, path: str, offset: int = 0, data: bytes = b"") -> None:
        self.changes.append(Change(kind, Path(path).name, self.safe, self.done, offset, data))


def find_library() -> ctypes.CDLL | None:
    """The SQLite library that Python uses, or None where it is not accessible."""
    try:
        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        library.sqlite3_vfs_find.argtypes = [_TEXT]
        library.sqlite3_vfs_register.argtypes = [ctypes.POINTER(_Vfs), _INT]
        library.sqlite3_vfs_unregister.argtypes = [ctypes.POINTER(_Vfs)]
    except (AttributeError, OSError):
        return None
    return library


@contextlib.contextmanager
def recording(library: ctypes.CDLL) -> Iterator[WriteLog]:
    """Record the changes that SQLite makes to files opened inside the block."""
    log = WriteLog()
    inner = library.sqlite3_vfs_find(None)
    outer = _Vfs.from_buffer_copy(inner.contents)
    keep_alive: list[Any] = []
    paths: dict[int, str] = {}

    def open_file(_: int, path: int | None, file: int, flags: int, out: int) -> int:
        code: int = inner.contents.open(ctypes.cast(inner, _POINTER), path, file, flags, out)
        if code == _OK and path is not None:
            paths[file] = ctypes.string_at(path).decode()
            if flags & _JOURNALS:
                log.unlisted.add(file)
            methods = ctypes.cast(file, ctypes.POINTER(ctypes.POINTER(_Methods)))
            recorded = _record_methods(methods[0], log, paths)
            keep_alive.append(recorded)
            methods[0] = ctypes.pointer(recorded)
        return code

    def delete(_: int, path: bytes, sync_folder: int) -> int:
        log.add("delete", path.decode())
        if sync_folder:
            log.add("sync_folder", path.decode())
        code: int = inner.contents.delete(ctypes.cast(inner, _POINTER), path, sync_folder)
        return code

    outer.name, outer.next = b"recorded", None
    outer.open, outer.delete = _OPEN(open_file), _DELETE(delete)
    library.sqlite3_vfs_register(ctypes.byref(outer), 1)
    try:
        yield log
    finally:
        library.sqlite3_vfs_register(inner, 1)
        library.sqlite3_vfs_unregister(ctypes.byref(outer))


def _record_methods(inner: Any, log: WriteLog, paths: dict[int, str]) -> _Methods:
    """The methods of an open file; three of them are recorded."""
    own = inner.contents
    outer = _Methods.from_buffer_copy(own)

    def write(file: int, data: int, count: int, offset: int) -> int:
        log.add("write", paths[file], offset, ctypes.string_at(data, count))
        code: int = own.write(file, data, count, offset)
        return code

    def truncate(file: int, size: int) -> int:
        log.add("truncate", paths[file], size)
        code: int = own.truncate(file, size)
        return code

    def sync(file: int, flags: int) -> int:
        code: int = own.sync(file, flags)
        log.add("sync", paths[file])
        if file in log.unlisted:  # SQLite flushes the folder with the first flush of such a file
            log.unlisted.remove(file)
            log.add("sync_folder", paths[file])
        return code

    outer.write, outer.truncate, outer.sync = _WRITE(write), _TRUNCATE(truncate), _SYNC(sync)
    return outer


class Disk:
    """The flushed content of a disk, and its pending changes.

    A flush of a file completes all earlier changes of it, a flush of the folder its deletions.
    Of the pending changes, a power cut may keep any sectors in any order.
    """

    def __init__(self) -> None:
        self._flushed: dict[str, bytes] = {}
        self._pending: dict[str, list[Change]] = {}

    def add(self, change: Change) -> None:
        """Add the next request."""
        pending = self._pending.setdefault(change.name, [])
        if change.kind == "sync":
            self._flushed = self._apply(change.name, pending, self._flushed)
            pending.clear()
        elif change.kind == "sync_folder":
            for name in self._pending:
                self._flush_deletions(name)
        else:
            pending.append(change)

    def _flush_deletions(self, name: str) -> None:
        """Remove what had the name before its last deletion."""
        pending = self._pending[name]
        indices = [index for index, change in enumerate(pending) if change.kind == "delete"]
        if indices:
            self._flushed.pop(name, None)
            del pending[: indices[-1] + 1]

    def read_all_files(self) -> dict[str, bytes]:
        """The files when every change arrived: the process was killed, the machine runs on."""
        return self._read(lambda changes: changes)

    def read_flushed(self) -> dict[str, bytes]:
        """The files when only flushed changes arrived."""
        return self._read(lambda changes: [])

    def read_torn(self, rng: random.Random) -> dict[str, bytes]:
        """The files when some of the pending sectors arrived."""
        return self._read(lambda changes: _tear(changes, rng))

    def _read(self, choose: Callable[[Sequence[Change]], Sequence[Change]]) -> dict[str, bytes]:
        files = dict(self._flushed)
        for name, pending in self._pending.items():
            files = self._apply(name, choose(pending), files)
        return files

    def _apply(
        self, name: str, changes: Sequence[Change], files: dict[str, bytes]
    ) -> dict[str, bytes]:
        files = dict(files)
        for change in changes:
            if change.kind == "delete":
                files.pop(name, None)
                continue
            before = files.get(name, b"")
            if change.kind == "truncate":
                files[name] = before[: change.offset]
                continue
            end = change.offset + len(change.data)
            filled = before.ljust(change.offset, b"\0")
            files[name] = filled[: change.offset] + change.data + filled[end:]
        return files


def _tear(changes: Sequence[Change], rng: random.Random) -> list[Change]:
    kept = []
    for change in changes:
        if change.kind != "write":
            if rng.random() < 0.5:
                kept.append(change)
            elif change.kind == "delete":
                break  # later changes belong to a new file of that name, which does not exist
            continue
        for start in range(0, len(change.data), _SECTOR):
            if rng.random() < 0.7:
                piece = change.data[start : start + _SECTOR]
                kept.append(replace(change, offset=change.offset + start, data=piece))
    return kept
