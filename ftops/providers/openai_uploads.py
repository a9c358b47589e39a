"""Uploads files: small ones in one request, large ones in several parts in parallel.

No file is held in memory. Bytes count as sent once they are handed to the network. Confirmed parts
are recorded at once (`UploadCheckpoint`), so that a later command sends only missing parts, as long
as the provider keeps the upload. An error or Ctrl-C does not cancel the upload: it can be continued
until it expires. After that all parts are sent again.
"""

import contextlib
import hashlib
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, TypeVar, cast

import openai

from ftops import crashpoints
from ftops.errors import DatasetError, NotFound, ProviderError, Rejected
from ftops.http.api_client import RawResponse
from ftops.http.client import make_timeout
from ftops.http.response import JsonObject
from ftops.providers.openai_client import OpenAIClient
from ftops.providers.openai_files import PURPOSE, fetch_file, wait_for_file, wait_until_processed
from ftops.providers.provider import NoCheckpoint, OnBytes, UploadCheckpoint
from ftops.records import MultipartUpload, RemoteFile

T = TypeVar("T")

MIB: Final = 1 << 20
PART_MB_VARIABLE: Final = "FTOPS_PART_MB"
STORE_TIMEOUT_S: Final = 600.0  # the response arrives only after the server has stored all bytes
_MAX_PART_BYTES: Final = 64 * MIB
_LIFETIME: Final = timedelta(hours=1)  # of an upload, if the response has no expiration
_STOP_WAIT_S: Final = 1.0  # for threads that are stopping
_PIECE_BYTES: Final = MIB
_RANGE_HEADER: Final = (
    "x-part-range"  # specific to the engine: the numbers of the first and last byte
)


class UploadStopped(BaseException):
    """The upload has ended: these bytes are not needed.

    Not an Exception, because the HTTP client would take that for a lost connection and try again.
    """


class UploadProgress:
    """Counts the sent bytes of a file, over all parts and threads.

    A part that is sent again does not count twice: the reported total does not change until it
    exceeds its previous maximum.
    """

    def __init__(self, size: int, on_bytes: OnBytes) -> None:
        self._size = size
        self._on_bytes = on_bytes
        self._lock = threading.Lock()
        self._sent: dict[int, int] = {}
        self._reported = -1
        self._stopped = False

    def move(self, part: int, sent: int) -> None:
        """Record that `sent` bytes of the part are sent; raises UploadStopped after `stop`."""
        with self._lock:
            self.check()
            self._sent[part] = sent
            total = sum(self._sent.values())
            if total > self._reported:
                self._reported = total
                self._on_bytes(total, self._size)

    def restart(self) -> None:
        """Start again with all parts."""
        with self._lock:
            self._sent.clear()

    def stop(self) -> None:
        """End every thread that still sends; no progress is reported after this."""
        with self._lock:
            self._stopped = True

    def check(self) -> None:
        """Raise UploadStopped after `stop`."""
        if self._stopped:
            raise UploadStopped


class SliceReader(io.RawIOBase):
    """`length` bytes of a file from `start` on, as a file; `on_sent` gets the number of sent bytes.

    The HTTP client reads a piece only after it has handed the previous one to the socket, so bytes
    that were read earlier count as sent.
    """

    def __init__(self, path: Path, start: int, length: int, on_sent: Callable[[int], None]) -> None:
        super().__init__()
        self._stream = path.open("rb", buffering=0)
        self._start = start
        self._length = length
        self._position = 0
        self._on_sent = on_sent

    @property
    def is_read(self) -> bool:
        """Whether all bytes have been read, so that the server may have received them."""
        return self._position >= self._length

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
        self._on_sent(self._position)
        left = max(0, self._length - self._position)
        self._stream.seek(self._start + self._position)
        piece = self._stream.read(left if size < 0 else min(size, left)) or b""
        self._position += len(piece)
        return piece

    def close(self) -> None:
        if hasattr(self, "_stream"):  # missing if the file could not be opened
            self._stream.close()
        super().close()


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """A file above `single_bytes` is sent in parts of `part_bytes`, by up to `threads` threads.

    After a lost response the uploader looks for the file until `listing_wait_s` have passed, before
    it sends anything again. With `sends_ranges` each part names its byte range (built-in engine).
    """

    single_bytes: int = 512 * MIB
    part_bytes: int = _MAX_PART_BYTES
    threads: int = 4
    listing_wait_s: float = 0.0
    sends_ranges: bool = False


@dataclass(frozen=True, slots=True)
class FileUpload:
    """One file to send: `size` in bytes, `filename` is its name at the provider."""

    path: Path
    filename: str
    size: int
    progress: UploadProgress
    checkpoint: UploadCheckpoint

    @property
    def action(self) -> str:
        return f"upload {self.filename}"


def choose_limits(
    environ: Mapping[str, str], *, listing_wait_s: float = 0.0, sends_ranges: bool = False
) -> UploadLimits:
    """The limits of the API; FTOPS_PART_MB sets smaller parts, for smaller files, too."""
    text = environ.get(PART_MB_VARIABLE, "").strip()
    if not text:
        return UploadLimits(listing_wait_s=listing_wait_s, sends_ranges=sends_ranges)
    size = int(text) * MIB if text.isdecimal() and len(text) < 10 else 0
    if not 0 < size <= _MAX_PART_BYTES:
        raise ProviderError(
            f"{PART_MB_VARIABLE}={text} is not the size of a part",
            hint=f"Set a whole number from 1 to {_MAX_PART_BYTES // MIB}: larger files are sent"
            " in parts of so many MiB.",
        )
    return UploadLimits(size, size, listing_wait_s=listing_wait_s, sends_ranges=sends_ranges)


def open_upload(
    path: Path, filename: str, on_bytes: OnBytes, checkpoint: UploadCheckpoint | None = None
) -> FileUpload:
    """The file at `path`, ready to upload; DatasetError when it cannot be read."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    return FileUpload(
        path, filename, size, UploadProgress(size, on_bytes), checkpoint or NoCheckpoint()
    )


def send_file(api: OpenAIClient, upload: FileUpload, limits: UploadLimits) -> RemoteFile:
    """Upload the file, and wait until the provider has processed it."""
    return wait_until_processed(api, store_file(api, upload, limits))


def store_file(api: OpenAIClient, upload: FileUpload, limits: UploadLimits) -> JsonObject:
    """Upload the file; returns the provider's record of the stored file."""
    send = _send_whole if upload.size <= limits.single_bytes else _send_in_parts
    try:
        upload.progress.move(0, 0)
        return send(api, upload, limits)
    except OSError as error:
        raise DatasetError(f"{upload.path}: cannot be read: {error.strerror or error}") from error


def split(size: int, part_bytes: int) -> list[int]:
    """The lengths in bytes of the parts of a file of `size` bytes, in order."""
    return [min(part_bytes, size - start) for start in range(0, size, part_bytes)]


def _send_whole(api: OpenAIClient, upload: FileUpload, limits: UploadLimits) -> JsonObject:
    """Send the file in one request, repeated after a lost response only if no file was stored."""
    is_in_doubt = False

    def send(sdk: openai.OpenAI) -> JsonObject:
        nonlocal is_in_doubt
        if is_in_doubt:
            if file := wait_for_file(api, upload.filename, upload.size, limits.listing_wait_s):
                return fetch_file(api, file.id)
            is_in_doubt = False
        with SliceReader(upload.path, 0, upload.size, partial(upload.progress.move, 0)) as stream:
            try:
                response = sdk.files.with_raw_response.create(
                    file=(upload.filename, cast(BinaryIO, stream)),
                    purpose=PURPOSE,
                    timeout=make_timeout(STORE_TIMEOUT_S),
                )
                return api.parse(response, upload.action)
            except (openai.OpenAIError, ProviderError):
                is_in_doubt = stream.is_read
                raise

    stored = api.send(upload.action, send)
    upload.progress.move(0, upload.size)
    return stored


def _send_in_parts(api: OpenAIClient, upload: FileUpload, limits: UploadLimits) -> JsonObject:
    sender = _PartSender(api, upload, limits)
    try:
        return sender.send()
    finally:
        sender.stop()


class _PartSender:
    """Sends one file in parts; only the calling thread writes the checkpoint."""

    def __init__(self, api: OpenAIClient, upload: FileUpload, limits: UploadLimits) -> None:
        self._api = api
        self._upload = upload
        self._limits = limits
        self._running: dict[Future[str], int] = {}
        self._md5 = _in_background(lambda: _read_md5(upload))

    def send(self) -> JsonObject:
        """Continue the checkpoint's upload; start again when it has expired or is unknown."""
        now, earlier = self._api.clock.now, self._upload.checkpoint.find()
        # An upload that may be complete is continued even after it has expired.
        if earlier and (earlier.completing or now() < earlier.expires_at):
            with contextlib.suppress(NotFound, Rejected):
                return self._send(earlier)
        started = self._start()
        try:
            return self._send(started)
        except (NotFound, Rejected) as error:
            if isinstance(error, Rejected) and now() < started.expires_at:
                raise
        return self._send(self._start())

    def stop(self) -> None:
        """End the threads that still send, and wait briefly until their connections are closed."""
        self._upload.progress.stop()
        wait([*self._running, self._md5], timeout=_STOP_WAIT_S)

    def _start(self) -> MultipartUpload:
        upload = self._upload
        fields = self._api.fetch(
            upload.action,
            lambda sdk: sdk.uploads.with_raw_response.create(
                bytes=upload.size, filename=upload.filename, mime_type="text/jsonl", purpose=PURPOSE
            ),
        )
        started = MultipartUpload(
            id=fields.get_text("id"),
            part_bytes=self._limits.part_bytes,
            expires_at=fields.find_time("expires_at") or self._api.clock.now() + _LIFETIME,
        )
        upload.checkpoint.begun(started)
        return started

    def _send(self, started: MultipartUpload) -> JsonObject:
        """Send the missing parts, then complete the upload."""
        parts = dict(started.parts)
        lengths = split(self._upload.size, started.part_bytes)
        self._upload.progress.restart()
        for number in parts:
            self._upload.progress.move(number, lengths[number])
        missing = [number for number in range(len(lengths)) if number not in parts]
        self._send_parts(started, missing, parts)
        return self._complete(started, [parts[number] for number in range(len(lengths))])

    def _send_parts(
        self, started: MultipartUpload, missing: Sequence[int], parts: dict[int, str]
    ) -> None:
        """Send several parts at a time. After an error none is started; active ones are awaited."""
        left = iter(missing)
        failure: BaseException | None = None
        while True:
            while failure is None and len(self._running) < self._limits.threads:
                number = next(left, None)
                if number is None:
                    break
                send = partial(self._send_part, started, number)
                self._running[_in_background(send)] = number
            if not self._running:
                break
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                number = self._running.pop(future)
                error = future.exception()
                if error is None:
                    parts[number] = future.result()
                    self._upload.checkpoint.part_done(number, parts[number])
                failure = failure or error
        if failure is not None:
            raise failure

    def _send_part(self, started: MultipartUpload, number: int) -> str:
        upload = self._upload
        start = number * started.part_bytes
        length = min(started.part_bytes, upload.size - start)
        byte_range = {_RANGE_HEADER: f"{start}-{start + length - 1}"}
        on_sent = partial(upload.progress.move, number)

        def send(sdk: openai.OpenAI) -> RawResponse:
            with SliceReader(upload.path, start, length, on_sent) as stream:
                return sdk.uploads.parts.with_raw_response.create(
                    started.id,
                    data=(upload.filename, cast(BinaryIO, stream)),
                    extra_headers=byte_range if self._limits.sends_ranges else None,
                    timeout=make_timeout(STORE_TIMEOUT_S),
                )

        crashpoints.reach("upload.before_part")
        part_id = self._api.fetch(upload.action, send).get_text("id")
        crashpoints.reach("upload.after_part")
        upload.progress.move(number, length)
        return part_id

    def _complete(self, started: MultipartUpload, part_ids: list[str]) -> JsonObject:
        upload = self._upload
        md5 = self._md5.result()
        upload.checkpoint.completing()
        requests = 0

        def send(sdk: openai.OpenAI) -> RawResponse:
            nonlocal requests
            requests += 1
            return sdk.uploads.with_raw_response.complete(
                started.id, part_ids=part_ids, md5=md5, timeout=make_timeout(STORE_TIMEOUT_S)
            )

        crashpoints.reach("upload.before_complete")
        try:
            fields = self._api.fetch(upload.action, send)
        except (NotFound, Rejected):
            # The provider refuses a repeated request, because the first one completed the upload.
            if requests == 1 and not started.completing:
                raise
            wait_s = self._limits.listing_wait_s
            file = wait_for_file(self._api, upload.filename, upload.size, wait_s)
            if file is None:
                raise
            return fetch_file(self._api, file.id)
        crashpoints.reach("upload.after_complete")
        return fields.get_object("file")


def _read_md5(upload: FileUpload) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with upload.path.open("rb", buffering=0) as stream:
        while piece := stream.read(_PIECE_BYTES):
            upload.progress.check()
            digest.update(piece)
    return digest.hexdigest()


def _in_background(work: Callable[[], T]) -> Future[T]:
    """Run `work` in a thread that does not prevent the process from exiting."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    context = copy_context()  # the request log names the run
    threading.Thread(target=context.run, args=(run,), daemon=True).start()
    return future
