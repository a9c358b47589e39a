"""A large file goes out in parts, some at a time, through the uploads API.

What the provider has confirmed is remembered at once (`UploadCheckpoint`), so that a later command
sends only what is missing, for as long as the provider keeps the upload. An error or Ctrl-C leaves
it as it is: it can be gone on with, and goes away by itself. When it is gone, all is sent anew.
"""

import contextlib
import hashlib
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
from ftops.clock import Clock
from ftops.errors import NotFound, ProviderError, Rejected
from ftops.http.client import make_timeout
from ftops.providers.calls import Caller, RawAnswer
from ftops.providers.provider import UploadCheckpoint
from ftops.providers.remote_files import PURPOSE, await_file, fetch_file
from ftops.providers.slices import FileSlice, Progress
from ftops.providers.wire import Fields
from ftops.records import MultipartUpload

T = TypeVar("T")

MIB: Final = 1 << 20
PART_MB_VARIABLE: Final = "FTOPS_PART_MB"
STORE_TIMEOUT_S: Final = 600.0  # the answer comes only when all that was sent has been stored
_LARGEST_PART: Final = 64 * MIB
_LIFE: Final = timedelta(hours=1)  # of an upload, where the answer does not say it
_LEAVE_S: Final = 1.0  # for threads that are told to stop
_PIECE_BYTES: Final = MIB
_PLACE_HEADER: Final = "x-part-range"  # as the engine knows it: the numbers of first and last byte


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Above what size, in bytes, a file goes out in parts; their size; how many at a time.

    `listing_wait_s` is how long a file may be stored before it is listed: so long it is looked for
    when an answer was lost, before anything is sent again.
    """

    single_bytes: int = 512 * MIB
    part_bytes: int = _LARGEST_PART
    threads: int = 4
    listing_wait_s: float = 0.0
    tells_places: bool = False  # each part says where in the file it belongs (the engine's own)


@dataclass(frozen=True, slots=True)
class Upload:
    """One file on its way: `size` in bytes, `filename` is its name at the provider."""

    path: Path
    filename: str
    size: int
    progress: Progress
    memory: UploadCheckpoint

    @property
    def doing(self) -> str:
        return f"upload {self.filename}"


def choose_limits(
    environ: Mapping[str, str], *, listing_wait_s: float = 0.0, tells_places: bool = False
) -> UploadLimits:
    """As the API has them, unless FTOPS_PART_MB asks for smaller parts, of smaller files too."""
    text = environ.get(PART_MB_VARIABLE, "").strip()
    if not text:
        return UploadLimits(listing_wait_s=listing_wait_s, tells_places=tells_places)
    size = int(text) * MIB if text.isdecimal() and len(text) < 10 else 0
    if not 0 < size <= _LARGEST_PART:
        raise ProviderError(
            f"{PART_MB_VARIABLE}={text} is not the size of a part",
            hint=f"It is a whole number from 1 to {_LARGEST_PART // MIB}; larger files are sent"
            " in parts of so many MiB.",
        )
    return UploadLimits(size, size, listing_wait_s=listing_wait_s, tells_places=tells_places)


def send_in_parts(caller: Caller, clock: Clock, upload: Upload, limits: UploadLimits) -> Fields:
    """The stored file, as the provider describes it; goes on with an upload that is remembered."""
    sender = _Sender(caller, clock, upload, limits)
    try:
        return sender.send()
    finally:
        sender.leave()


def cancel_upload(caller: Caller, upload_id: str) -> None:
    """Let the provider throw away what it has of the upload."""
    caller.fetch(
        f"cancel the upload {upload_id}",
        lambda client: client.uploads.with_raw_response.cancel(upload_id),
    )


class _Sender:
    """Sends one file in parts; what is confirmed is remembered by the calling thread alone."""

    def __init__(self, caller: Caller, clock: Clock, upload: Upload, limits: UploadLimits) -> None:
        self._caller = caller
        self._clock = clock
        self._upload = upload
        self._limits = limits
        self._under_way: dict[Future[str], int] = {}
        self._md5 = _in_background(lambda: _read_md5(upload))

    def send(self) -> Fields:
        """Go on with what is remembered; begin anew when it has expired or nobody knows it."""
        known = self._upload.memory.find()
        # One that may have been completed is asked about even when its time is over.
        if known and (known.completing or self._clock.now() < known.expires_at):
            with contextlib.suppress(NotFound, Rejected):
                return self._send(known)
        begun = self._begin()
        try:
            return self._send(begun)
        except (NotFound, Rejected) as error:
            if isinstance(error, Rejected) and self._clock.now() < begun.expires_at:
                raise
        return self._send(self._begin())

    def leave(self) -> None:
        """End the threads that still send; they have a moment to close their connections."""
        self._upload.progress.stop()
        wait([*self._under_way, self._md5], timeout=_LEAVE_S)

    def _begin(self) -> MultipartUpload:
        upload = self._upload
        answer = self._caller.fetch(
            upload.doing,
            lambda client: client.uploads.with_raw_response.create(
                bytes=upload.size, filename=upload.filename, mime_type="text/jsonl", purpose=PURPOSE
            ),
        )
        begun = MultipartUpload(
            id=answer.get_text("id"),
            part_bytes=self._limits.part_bytes,
            expires_at=answer.find_moment("expires_at") or self._clock.now() + _LIFE,
        )
        upload.memory.begun(begun)
        return begun

    def _send(self, begun: MultipartUpload) -> Fields:
        """Send the parts that are missing, and let the provider put all of them together."""
        parts = dict(begun.parts)
        lengths = split(self._upload.size, begun.part_bytes)
        self._upload.progress.begin_again()
        for number in parts:
            self._upload.progress.move(number, lengths[number])
        missing = [number for number in range(len(lengths)) if number not in parts]
        self._send_parts(begun, missing, parts)
        return self._complete(begun, [parts[number] for number in range(len(lengths))])

    def _send_parts(
        self, begun: MultipartUpload, missing: Sequence[int], parts: dict[int, str]
    ) -> None:
        """Some at a time. After an error none is begun, and those under way come to their end."""
        left = iter(missing)
        failure: BaseException | None = None
        while True:
            while failure is None and len(self._under_way) < self._limits.threads:
                number = next(left, None)
                if number is None:
                    break
                send = partial(self._send_part, begun, number)
                self._under_way[_in_background(send)] = number
            if not self._under_way:
                break
            for future in wait(self._under_way, return_when=FIRST_COMPLETED).done:
                number = self._under_way.pop(future)
                error = future.exception()
                if error is None:
                    parts[number] = future.result()
                    self._upload.memory.part_done(number, parts[number])
                failure = failure or error
        if failure is not None:
            raise failure

    def _send_part(self, begun: MultipartUpload, number: int) -> str:
        upload = self._upload
        start = number * begun.part_bytes
        length = min(begun.part_bytes, upload.size - start)
        place = {_PLACE_HEADER: f"{start}-{start + length - 1}"}

        def send(client: openai.OpenAI) -> RawAnswer:
            with FileSlice(upload.path, start, length, partial(upload.progress.move, number)) as it:
                return client.uploads.parts.with_raw_response.create(
                    begun.id,
                    data=(upload.filename, cast(BinaryIO, it)),
                    extra_headers=place if self._limits.tells_places else None,
                    timeout=make_timeout(STORE_TIMEOUT_S),
                )

        crashpoints.reach("upload.before_part")
        part_id = self._caller.fetch(upload.doing, send).get_text("id")
        crashpoints.reach("upload.after_part")
        upload.progress.move(number, length)
        return part_id

    def _complete(self, begun: MultipartUpload, part_ids: list[str]) -> Fields:
        md5 = self._md5.result()
        self._upload.memory.completing()
        asked = 0

        def send(client: openai.OpenAI) -> RawAnswer:
            nonlocal asked
            asked += 1
            return client.uploads.with_raw_response.complete(
                begun.id, part_ids=part_ids, md5=md5, timeout=make_timeout(STORE_TIMEOUT_S)
            )

        crashpoints.reach("upload.before_complete")
        try:
            answer = self._caller.fetch(self._upload.doing, send)
        except (NotFound, Rejected):
            # A repetition after a lost answer is refused, because the first one did complete it.
            if asked == 1 and not begun.completing:
                raise
            file = await_file(
                self._caller,
                self._clock,
                (self._upload.filename, self._upload.size),
                self._limits.listing_wait_s,
            )
            if file is None:
                raise
            return fetch_file(self._caller, file.id)
        crashpoints.reach("upload.after_complete")
        return answer.find_object("file")


def split(size: int, part_bytes: int) -> list[int]:
    """The lengths of the parts of a file of `size` bytes, in their order."""
    return [min(part_bytes, size - start) for start in range(0, size, part_bytes)]


def _read_md5(upload: Upload) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with upload.path.open("rb", buffering=0) as stream:
        while piece := stream.read(_PIECE_BYTES):
            upload.progress.check()
            digest.update(piece)
    return digest.hexdigest()


def _in_background(work: Callable[[], T]) -> Future[T]:
    """`work` in a thread that does not keep the process from ending."""
    future: Future[T] = Future()

    def do() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    context = copy_context()  # which run it is for, goes with it
    threading.Thread(target=context.run, args=(do,), daemon=True).start()
    return future
