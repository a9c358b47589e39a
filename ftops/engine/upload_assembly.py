"""Upload parts with a byte range are written into the assembled file and hashed as they arrive.

Completing such an upload therefore copies nothing and hashes little. The state is kept in memory
only: after a restart the hash starts again. A part that overlaps another one, or has no range, is
stored in a separate file.
"""

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

RANGE_HEADER = "x-part-range"  # FIRST-LAST: positions of its first and last byte in the file
ASSEMBLED = "whole"  # the name of the assembled file in the upload's folder
_READ_BYTES = 1 << 20
_STEP_BYTES = 64 << 20  # hashed in one go, so that a shutdown does not wait for long
_MAX_ASSEMBLIES = 64


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` (included) to `end` (excluded) of a file."""

    start: int
    end: int

    @property
    def bytes(self) -> int:
        return self.end - self.start

    def overlaps(self, other: Self) -> bool:
        return self.start < other.end and other.start < self.end


class RangeOverflow(Exception):
    """A part has more bytes than its range."""


class RangeWriter:
    """Writes into a range of an open file, from its start."""

    def __init__(self, target: BinaryIO, byte_range: ByteRange) -> None:
        self._target = target
        self._left = byte_range.bytes
        target.seek(byte_range.start)

    def writelines(self, pieces: Iterable[bytes], /) -> None:
        """Write the pieces in order; RangeOverflow for the first one beyond the end."""
        for piece in pieces:
            self._left -= len(piece)
            if self._left < 0:
                raise RangeOverflow
            self._target.write(piece)


@dataclass(slots=True)
class _Assembly:
    """One upload: the ranges that are being written, and the hash of the file's beginning."""

    writing: list[ByteRange] = field(default_factory=list)
    sealed: bool = False
    hashing: threading.Lock = field(default_factory=threading.Lock)
    digest: Any = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    hashed: int = 0


class UploadAssembler:
    """The state of uploads whose parts have ranges."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Assembly] = {}
        self._pool = ThreadPoolExecutor(1, "ftops-hash")

    @contextlib.contextmanager
    def reserved(
        self, upload_id: str, byte_range: ByteRange, taken: Sequence[ByteRange]
    ) -> Iterator[bool]:
        """Reserve a range for the block; yields False when it overlaps another one or `taken`."""
        with self._lock:
            known = self._get(upload_id)
            free = not known.sealed and not any(map(byte_range.overlaps, (*known.writing, *taken)))
            if free:
                known.writing.append(byte_range)
        try:
            yield free
        finally:
            if free:
                with self._lock:
                    known.writing.remove(byte_range)

    @contextlib.contextmanager
    def sealed(self, upload_id: str) -> Iterator[bool]:
        """Prevent writes within the block; yields False while a write or another seal is active."""
        with self._lock:
            known = self._get(upload_id)
            is_sealed = not known.sealed and not known.writing
            known.sealed = known.sealed or is_sealed
        try:
            yield is_sealed
        finally:
            if is_sealed:
                known.sealed = False

    def hash_received(self, upload_id: str, path: Path, taken: Sequence[ByteRange]) -> None:
        """Hash in the background the bytes that have arrived without a gap from the beginning."""
        end = 0
        for byte_range in sorted(taken, key=lambda item: item.start):
            if byte_range.start == end:
                end = byte_range.end
        self._pool.submit(self._hash, upload_id, path, end)

    def compute_md5(self, upload_id: str, path: Path, size: int) -> str:
        """The MD5 of the file in hex; reads only bytes that are not hashed yet."""
        known = self._get_known(upload_id)
        with known.hashing:
            _hash_to(known, path, size)
            digest: str = known.digest.hexdigest()
        return digest

    def forget(self, upload_id: str) -> None:
        """Forget an upload that has ended."""
        with self._lock:
            self._known.pop(upload_id, None)

    def _hash(self, upload_id: str, path: Path, end: int) -> None:
        known = self._get_known(upload_id)
        with (
            known.hashing,
            contextlib.suppress(OSError, EOFError),
        ):  # deleted, or hashed on completion
            _hash_to(known, path, min(end, known.hashed + _STEP_BYTES))
            if known.hashed < end:
                self._pool.submit(self._hash, upload_id, path, end)

    def _get_known(self, upload_id: str) -> _Assembly:
        with self._lock:
            return self._get(upload_id)

    def _get(self, upload_id: str) -> _Assembly:
        assembly = self._known.pop(upload_id, None) or _Assembly()
        self._known[upload_id] = assembly  # the latest is the last one
        for old in list(self._known)[:-_MAX_ASSEMBLIES]:
            if not (self._known[old].writing or self._known[old].sealed):
                del self._known[old]
        return assembly


def find_range(text: str | None, size: int) -> ByteRange | None:
    """The range in a header, for a file of `size` bytes; None for none or an invalid one."""
    match = re.fullmatch(r"([0-9]{1,15})-([0-9]{1,15})", text or "")
    if match is None:
        return None
    byte_range = ByteRange(int(match[1]), int(match[2]) + 1)
    return byte_range if byte_range.start < byte_range.end <= size else None


def _hash_to(known: _Assembly, path: Path, end: int) -> None:
    if known.hashed >= end:
        return
    with path.open("rb", buffering=0) as stream:
        stream.seek(known.hashed)
        while known.hashed < end:
            piece = stream.read(min(_READ_BYTES, end - known.hashed))
            if not piece:
                raise EOFError(f"{path} has only {known.hashed} bytes")
            known.digest.update(piece)
            known.hashed += len(piece)
