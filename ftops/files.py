"""Atomic files: written under a temporary name, flushed, then renamed."""

import contextlib
import errno
import glob
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ftops import crashpoints
from ftops.errors import StorageError

if sys.platform != "win32":  # Windows does not remove or rename open files anyway
    import fcntl

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600
_CHUNK_BYTES = 1 << 20
_RANDOM = re.compile("[a-z0-9_]{8}")  # the random part of a `tempfile` name
_BINARY = getattr(os, "O_BINARY", 0)  # exists only on Windows
_NO_COPYING = frozenset(
    {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
)
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than this system allows",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EISDIR: "it is a folder",
}


def storage_error(error: OSError, path: Path) -> StorageError:
    """The error for a path that cannot be written, with the reason in plain words."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return StorageError(f"{path}: cannot write: {reason}")


def make_private_dir(path: Path) -> Path:
    """Create the folder and its missing parents with mode 0700; returns the folder.

    Existing folders keep their mode. StorageError when it cannot be created.
    """
    try:
        # mkdir(parents=True) applies its mode only to the last folder
        for folder in (*reversed(path.parents), path):
            if not folder.is_dir():
                folder.mkdir(mode=PRIVATE_DIR, exist_ok=True)
                sync_dir(folder.parent)  # flushed files are lost with the folder's entry
    except OSError as error:
        raise storage_error(error, path) from error
    return path


def make_private(path: Path) -> None:
    """Give an existing file the mode 0600; does nothing on Windows."""
    with contextlib.suppress(FileNotFoundError):
        if os.name == "posix" and path.stat().st_mode & 0o077:
            path.chmod(PRIVATE_FILE)


def make_private_database(path: Path) -> None:
    """Create an empty file for SQLite with mode 0600, or give an existing one that mode.

    SQLite gives its -wal and -shm files the mode of the main file. An existing file is not opened:
    closing it would drop the locks of another connection. Raises OSError.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))
    path.stat()  # raises for a broken link
    for suffix in ("", "-wal", "-shm"):
        make_private(path.with_name(path.name + suffix))


@contextlib.contextmanager
def open_atomic(path: Path, *, mode: int = PRIVATE_FILE) -> Iterator[BinaryIO]:
    """A binary file that replaces `path` when the block ends without an error.

    Temporary files of killed writers of `path` are removed first. StorageError when it cannot be
    written; an existing file is then unchanged.
    """
    make_private_dir(path.parent)
    _remove_stale_parts(path)
    try:
        descriptor, temporary = _create_part(path)
    except OSError as error:
        raise storage_error(error, path) from error
    with contextlib.ExitStack() as locked:
        if sys.platform != "win32":  # the lock ends with the last descriptor, after the rename
            locked.callback(os.close, os.dup(descriptor))
        try:
            with os.fdopen(descriptor, "w+b") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(mode)
            crashpoints.reach("files.before_rename")
            temporary.replace(path)
            crashpoints.reach("files.after_rename")
            sync_dir(path.parent)
        except OSError as error:
            raise storage_error(error, path) from error
        finally:
            temporary.unlink(missing_ok=True)


def _create_part(path: Path) -> tuple[int, Path]:
    """Create a file beside `path`, locked until it is closed to show that its writer is alive."""
    while True:
        descriptor, name = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=".part", dir=path.parent
        )
        if sys.platform == "win32":
            return descriptor, Path(name)
        with contextlib.suppress(OSError):  # without file locks no file is ever removed
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # another writer of `path` removed it before it was locked


def _remove_stale_parts(path: Path) -> None:
    """Remove the temporary files of `path` whose writers are dead."""
    head, tail = f".{path.name}.", ".part"
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            name = entry.name
            if not (name.startswith(head) and name.endswith(tail)):
                continue
            if _RANDOM.fullmatch(name[len(head) : -len(tail)]) and entry.is_file(
                follow_symlinks=False
            ):
                _remove_if_stale(entry.path)


def _remove_if_stale(name: str) -> None:
    with contextlib.suppress(OSError):  # locked, or already removed
        if sys.platform == "win32":
            Path(name).unlink()
            return
        descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Path(name).unlink()
        finally:
            os.close(descriptor)


def write_atomic(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Write `data` to `path` completely; StorageError when that fails, with `path` unchanged."""
    with open_atomic(path, mode=mode) as stream:
        stream.write(data)


def read_if_there(path: Path) -> bytes | None:
    """The content of a file; None when it does not exist. StorageError when it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, path) from error


def append_lines(path: Path, lines: bytes) -> int:
    """Append complete lines in one write, so that they do not mix with those of other processes.

    A truncated last line is ended first. Returns the new size in bytes; raises OSError.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | _BINARY
    descriptor = os.open(path, flags, PRIVATE_FILE)
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        if size:
            os.lseek(descriptor, size - 1, os.SEEK_SET)
            if os.read(descriptor, 1) != b"\n":  # a full disk truncated the last line
                lines = b"\n" + lines
        written = os.write(descriptor, lines)
        if written < len(lines):  # the next write raises the reason
            os.write(descriptor, lines[written:])
        return size + len(lines)
    finally:
        os.close(descriptor)


def append_file(source: BinaryIO, target: BinaryIO, length: int) -> None:
    """Copy `length` bytes from the position of `source` to the end of `target`.

    The kernel copies if it can; otherwise chunks of 1 MiB are read and written.
    """
    target.flush()
    try:
        while length > 0:
            copied = os.copy_file_range(source.fileno(), target.fileno(), length)
            if not copied:
                return
            length -= copied
    except (AttributeError, OSError) as error:  # not available everywhere
        if isinstance(error, OSError) and error.errno not in _NO_COPYING:
            raise
        while length > 0 and (piece := source.read(min(_CHUNK_BYTES, length))):
            target.write(piece)
            length -= len(piece)
    target.flush()


def remove_parts(path: Path) -> None:
    """Remove temporary files of killed writers of `path`; no process may be writing it now."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        part.unlink(missing_ok=True)


def rename_dir(temporary: Path, final: Path) -> None:
    """Give a finished folder its final name; its files must be flushed already."""
    try:
        temporary.replace(final)
        sync_dir(final.parent)
    except OSError as error:
        raise storage_error(error, final) from error


def remove_path(path: Path) -> None:
    """Remove the file, or the folder with its content, if it exists.

    Another process may remove it at the same time. StorageError when it cannot be removed.
    """
    while path.is_symlink() or path.exists():
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except FileNotFoundError:
            continue  # another process removed some of it
        except OSError as error:
            raise storage_error(error, path) from error


def sync_data(descriptor: int) -> None:
    """Flush the data and the length of an open file, so that they survive a power cut."""
    if hasattr(os, "fdatasync"):  # skips the timestamps, which need another write
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def sync_dir(path: Path) -> None:
    """Make renames in the folder survive a power cut; a no-op if it cannot be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """The SHA-256 of the file in hex, read in chunks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def measure_path(path: Path) -> tuple[int, str]:
    """The size in bytes and the SHA-256 in hex of a file, or of all files in a folder.

    A folder's hash covers the names and the content of its files, without hidden ones.
    """
    if not path.is_dir():
        return path.stat().st_size, sha256_file(path)
    digest, size = hashlib.sha256(), 0
    for file in sorted(path.rglob("*")):
        inner = file.relative_to(path)
        if file.is_file() and not any(part.startswith(".") for part in inner.parts):
            size += file.stat().st_size
            digest.update(f"{inner.as_posix()}\0{sha256_file(file)}\n".encode())
    return size, digest.hexdigest()
