"""Parts that say where in the file they belong are written there at once, and hashed as they come.

So nothing is left to copy when such an upload is completed, and little to hash. What is known of
an upload here lives in memory alone: after a restart the hash begins anew, and a part that would
come upon another one is kept as a file of its own, like a part that does not say its place.
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

RANGE_HEADER = "x-part-range"  # FIRST-LAST: the numbers of its first and its last byte
ASSEMBLED = "whole"  # the file in the upload's folder that is written so
_PIECE_BYTES = 1 << 20
_STEP_BYTES = 64 << 20  # hashed at a time, so that an engine that ends need not wait for long
_MOST_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` to `end` (not included) of a file."""

    start: int
    end: int

    @property
    def bytes(self) -> int:
        return self.end - self.start

    def overlaps(self, other: Self) -> bool:
        return self.start < other.end and other.start < self.end


class RangeOverflow(Exception):
    """More bytes came than there is room for at the part's place."""


class RangeWriter:
    """A place in an open file, to be written from its beginning on."""

    def __init__(self, target: BinaryIO, place: ByteRange) -> None:
        self._target = target
        self._left = place.bytes
        target.seek(place.start)

    def writelines(self, pieces: Iterable[bytes], /) -> None:
        """Write them one after another; TooLong before one that would go beyond the end."""
        for piece in pieces:
            self._left -= len(piece)
            if self._left < 0:
                raise RangeOverflow
            self._target.write(piece)


@dataclass(slots=True)
class _Assembly:
    """One upload: the places that are being written, and the hash of its beginning."""

    writing: list[ByteRange] = field(default_factory=list)
    sealed: bool = False
    hashing: threading.Lock = field(default_factory=threading.Lock)
    digest: Any = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    hashed: int = 0


class UploadAssembler:
    """What the engine knows of the uploads whose parts say their places."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Assembly] = {}
        self._pool = ThreadPoolExecutor(1, "ftops-hash")

    @contextlib.contextmanager
    def reserved(
        self, upload_id: str, place: ByteRange, taken: Sequence[ByteRange]
    ) -> Iterator[bool]:
        """Whether the block alone may write there; no place in `taken` is written again."""
        with self._lock:
            known = self._get(upload_id)
            free = not known.sealed and not any(map(place.overlaps, (*known.writing, *taken)))
            if free:
                known.writing.append(place)
        try:
            yield free
        finally:
            if free:
                with self._lock:
                    known.writing.remove(place)

    @contextlib.contextmanager
    def sealed(self, upload_id: str) -> Iterator[bool]:
        """Whether nobody writes, and nobody will for as long as the block lasts."""
        with self._lock:
            known = self._get(upload_id)
            quiet = not known.sealed and not known.writing
            known.sealed = known.sealed or quiet
        try:
            yield quiet
        finally:
            if quiet:
                known.sealed = False

    def hash_received(self, upload_id: str, whole: Path, taken: Sequence[ByteRange]) -> None:
        """Hash, in the background, what has come by now without a gap from the beginning."""
        end = 0
        for place in sorted(taken, key=lambda one: one.start):
            if place.start == end:
                end = place.end
        self._pool.submit(self._hash, upload_id, whole, end)

    def compute_md5(self, upload_id: str, whole: Path, size: int) -> str:
        """The MD5 of all of the file, in hex; only what was not hashed before is read."""
        known = self._get_known(upload_id)
        with known.hashing:
            _hash_to(known, whole, size)
            digest: str = known.digest.hexdigest()
        return digest

    def forget(self, upload_id: str) -> None:
        """The upload has come to its end."""
        with self._lock:
            self._known.pop(upload_id, None)

    def _hash(self, upload_id: str, whole: Path, end: int) -> None:
        known = self._get_known(upload_id)
        with (
            known.hashing,
            contextlib.suppress(OSError, EOFError),
        ):  # gone, or read when it is completed
            _hash_to(known, whole, min(end, known.hashed + _STEP_BYTES))
            if known.hashed < end:
                self._pool.submit(self._hash, upload_id, whole, end)

    def _get_known(self, upload_id: str) -> _Assembly:
        with self._lock:
            return self._get(upload_id)

    def _get(self, upload_id: str) -> _Assembly:
        found = self._known.pop(upload_id, None) or _Assembly()
        self._known[upload_id] = found  # the latest stands last
        for old in list(self._known)[:-_MOST_REMEMBERED]:
            if not (self._known[old].writing or self._known[old].sealed):
                del self._known[old]
        return found


def parse_range(text: str | None, size: int) -> ByteRange | None:
    """The place that a header gives in a file of `size` bytes; None for none, or a wrong one."""
    found = re.fullmatch(r"([0-9]{1,15})-([0-9]{1,15})", text or "")
    if found is None:
        return None
    place = ByteRange(int(found[1]), int(found[2]) + 1)
    return place if place.start < place.end <= size else None


def _hash_to(known: _Assembly, whole: Path, end: int) -> None:
    if known.hashed >= end:
        return
    with whole.open("rb", buffering=0) as stream:
        stream.seek(known.hashed)
        while known.hashed < end:
            piece = stream.read(min(_PIECE_BYTES, end - known.hashed))
            if not piece:
                raise EOFError(f"{whole} has only {known.hashed} bytes")
            known.digest.update(piece)
            known.hashed += len(piece)
