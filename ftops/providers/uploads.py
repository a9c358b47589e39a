"""Files go to the provider without ever being held in memory.

Up to the limit of the files API a file goes out in one request; larger ones in parts (`parts.py`).
What is counted as sent has been handed to the network, not merely read.
"""

from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import openai

from ftops.clock import Clock
from ftops.errors import DatasetError, ProviderError
from ftops.http.client import make_timeout
from ftops.providers.calls import Caller, read_answer
from ftops.providers.parts import STORE_TIMEOUT_S, Upload, UploadLimits, send_in_parts
from ftops.providers.provider import NoCheckpoint, OnBytes, UploadCheckpoint
from ftops.providers.remote_files import PURPOSE, await_file, fetch_file, wait_until_processed
from ftops.providers.slices import FileSlice, Progress
from ftops.providers.wire import Fields
from ftops.records import RemoteFile


def open_upload(
    path: Path, filename: str, on_bytes: OnBytes, memory: UploadCheckpoint | None = None
) -> Upload:
    """The file at `path` as it is to be sent; DatasetError when it cannot be read."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    return Upload(path, filename, size, Progress(size, on_bytes), memory or NoCheckpoint())


def send_file(caller: Caller, clock: Clock, upload: Upload, limits: UploadLimits) -> RemoteFile:
    """Upload, and wait until the provider has looked through the file."""
    return wait_until_processed(caller, clock, store_file(caller, clock, upload, limits))


def store_file(caller: Caller, clock: Clock, upload: Upload, limits: UploadLimits) -> Fields:
    """Upload; the file as the provider describes it once it has stored all of it."""
    send = _send_whole if upload.size <= limits.single_bytes else send_in_parts
    try:
        upload.progress.move(0, 0)
        return send(caller, clock, upload, limits)
    except OSError as error:
        raise DatasetError(f"{upload.path}: cannot be read: {error.strerror or error}") from error


def _send_whole(caller: Caller, clock: Clock, upload: Upload, limits: UploadLimits) -> Fields:
    """In one request; one whose answer was lost is repeated only if it has made no file."""
    is_in_doubt = False

    def send(client: openai.OpenAI) -> Fields:
        nonlocal is_in_doubt
        if is_in_doubt:
            wanted = (upload.filename, upload.size)
            if file := await_file(caller, clock, wanted, limits.listing_wait_s):
                return fetch_file(caller, file.id)
            is_in_doubt = False
        with FileSlice(upload.path, 0, upload.size, partial(upload.progress.move, 0)) as stream:
            try:
                answer = client.files.with_raw_response.create(
                    file=(upload.filename, cast(BinaryIO, stream)),
                    purpose=PURPOSE,
                    timeout=make_timeout(STORE_TIMEOUT_S),
                )
                return read_answer(answer, upload.doing)
            except (openai.OpenAIError, ProviderError):
                is_in_doubt = stream.is_read
                raise

    stored = caller.repeat(upload.doing, send)
    upload.progress.move(0, upload.size)
    return stored
