"""Files at the provider: sent without ever being held in memory, found again, waited for.

Up to the limit of the files API a file goes out in one request; larger ones in parts, through the
uploads API. What is counted as sent has been handed to the network, not merely read.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import openai

from ftops.clock import Clock
from ftops.errors import DatasetError, FtopsError, Rejected
from ftops.providers.calls import Caller, RawAnswer, turn_pages
from ftops.providers.endpoint import make_timeout
from ftops.providers.protocol import OnBytes
from ftops.providers.wire import Fields, read_file
from ftops.records import RemoteFile

PURPOSE: Final = "fine-tune"
_MIB = 1 << 20
_UPLOAD_TIMEOUT_S = 600.0  # the answer comes only when all of the file has been stored
# How long a stored file may be looked at before it is used all the same: a job waits by itself for
# a file that is still being processed, and some servers never say more than "uploaded".
_PROCESSING_WAIT_S = 120.0
_SPOILT_STATUSES = frozenset({"error", "failed", "deleting", "deleted", "cancelled"})


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Above what size, in bytes, a file goes out in parts (None: never), and their size."""

    single_bytes: int | None = None
    part_bytes: int = 64 * _MIB


WHOLE_FILES = UploadLimits()
OPENAI_LIMITS = UploadLimits(single_bytes=512 * _MIB)


@dataclass(frozen=True, slots=True)
class Upload:
    """One file on its way: `size` in bytes, `filename` is its name at the provider."""

    path: Path
    filename: str
    size: int
    on_bytes: OnBytes

    @property
    def doing(self) -> str:
        return f"upload {self.filename}"

    def open_slice(self, start: int, length: int) -> "FileSlice":
        stream = self.path.open("rb", buffering=0)  # a slice without one could not be closed
        return FileSlice(stream, start, length, lambda sent: self.on_bytes(sent, self.size))


class FileSlice(io.RawIOBase):
    """`length` bytes of a file from `start` on, as a file; tells `on_sent` how far sending got.

    The HTTP client asks for a piece only when it has handed the one before to the socket, so what
    counts as sent is what was read before.
    """

    def __init__(
        self, stream: io.FileIO, start: int, length: int, on_sent: Callable[[int], None]
    ) -> None:
        super().__init__()
        self._stream = stream
        self._start = start
        self._length = length
        self._position = 0
        self._on_sent = on_sent

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        self._on_sent(self._start + self._position)
        left = max(0, self._length - self._position)
        self._stream.seek(self._start + self._position)
        piece = self._stream.read(left if size < 0 else min(size, left)) or b""
        self._position += len(piece)
        return piece

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def send_file(caller: Caller, clock: Clock, upload: Upload, limits: UploadLimits) -> RemoteFile:
    """Upload, and wait until the provider has looked through the file."""
    large = limits.single_bytes is not None and upload.size > limits.single_bytes
    try:
        if large:
            stored = _send_in_parts(caller, upload, limits.part_bytes)
        else:
            stored = _send_whole(caller, upload)
    except OSError as error:
        raise DatasetError(f"{upload.path}: cannot be read: {error.strerror or error}") from error
    upload.on_bytes(upload.size, upload.size)
    return _wait_until_processed(caller, clock, stored)


def _send_whole(caller: Caller, upload: Upload) -> Fields:
    def send(client: openai.OpenAI) -> RawAnswer:
        with upload.open_slice(0, upload.size) as stream:
            return client.files.with_raw_response.create(
                file=(upload.filename, cast(BinaryIO, stream)),
                purpose=PURPOSE,
                timeout=make_timeout(_UPLOAD_TIMEOUT_S),
            )

    return caller.fetch(upload.doing, send)


def _send_in_parts(caller: Caller, upload: Upload, part_bytes: int) -> Fields:
    begun = caller.fetch(
        upload.doing,
        lambda client: client.uploads.with_raw_response.create(
            bytes=upload.size, filename=upload.filename, mime_type="text/jsonl", purpose=PURPOSE
        ),
    )
    upload_id = begun.get_text("id")
    try:
        parts = [
            _send_part(caller, upload, upload_id, start, part_bytes)
            for start in range(0, upload.size, part_bytes)
        ]
        return _complete(caller, upload, upload_id, parts)
    except BaseException:
        # What was stored so far would be kept for an hour; the first error is the one to tell.
        with contextlib.suppress(FtopsError):
            caller.once(
                f"cancel the upload {upload_id}",
                lambda client: client.uploads.with_raw_response.cancel(upload_id),
            )
        raise


def _send_part(caller: Caller, upload: Upload, upload_id: str, start: int, part_bytes: int) -> str:
    length = min(part_bytes, upload.size - start)

    def send(client: openai.OpenAI) -> RawAnswer:
        with upload.open_slice(start, length) as stream:
            return client.uploads.parts.with_raw_response.create(
                upload_id,
                data=(upload.filename, cast(BinaryIO, stream)),
                timeout=make_timeout(_UPLOAD_TIMEOUT_S),
            )

    return caller.fetch(upload.doing, send).get_text("id")


def _complete(caller: Caller, upload: Upload, upload_id: str, parts: list[str]) -> Fields:
    try:
        answer = caller.fetch(
            upload.doing,
            lambda client: client.uploads.with_raw_response.complete(
                upload_id, part_ids=parts, timeout=make_timeout(_UPLOAD_TIMEOUT_S)
            ),
        )
    except Rejected:
        # A repetition after a lost answer is refused, because the first one did complete it.
        file = find_file(caller, upload.filename, upload.size)
        if file is None:
            raise
        return fetch_file(caller, file.id)
    return answer.find_object("file")


def _wait_until_processed(caller: Caller, clock: Clock, stored: Fields) -> RemoteFile:
    """The file once it is ready for use, or as it stands when waiting has become too long."""
    began_s, pause_s = clock.monotonic_s(), 1.0
    while True:
        file = read_file(stored)
        if file.status in _SPOILT_STATUSES:
            details = stored.find_text("status_details") or "no reason given"
            raise Rejected(
                f"{file.filename} ({file.id}) was not accepted: {file.status}: {details}"
            )
        waited_s = clock.monotonic_s() - began_s
        if file.status == "processed" or waited_s + pause_s > _PROCESSING_WAIT_S:
            return file
        clock.sleep(pause_s)
        pause_s = min(2 * pause_s, 10.0)
        stored = fetch_file(caller, file.id)


def fetch_file(caller: Caller, file_id: str) -> Fields:
    """What the provider says about one file."""
    return caller.fetch(
        f"look up the file {file_id}",
        lambda client: client.files.with_raw_response.retrieve(file_id),
    )


def list_files(caller: Caller, *, purpose: str | None = None) -> Iterator[RemoteFile]:
    """Every file at the provider; those for `purpose` only, where it can filter."""
    pages = turn_pages(
        lambda after: caller.fetch(
            "list the files",
            lambda client: client.files.with_raw_response.list(
                purpose=purpose or openai.omit, after=after or openai.omit
            ),
        )
    )
    for page in pages:
        yield from map(read_file, page)


def find_file(caller: Caller, filename: str, size: int) -> RemoteFile | None:
    """The newest usable training file of that name and number of bytes."""
    matching = (
        file
        for file in list_files(caller, purpose=PURPOSE)
        if file.filename == filename
        and file.bytes == size
        and file.purpose == PURPOSE
        and file.status not in _SPOILT_STATUSES
    )
    return max(matching, key=lambda file: file.created_at, default=None)
