"""Uploads files to Together, and downloads the weights of models from it.

An upload is three requests: one creates the file and is answered with the address of its storage,
one sends the content there, without the key, and one starts the check of the rows. The service
finds equal files by their checksum, so all three are safe to repeat.
https://docs.together.ai/reference/upload-file
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from ftops.errors import (
    DatasetError,
    InvalidResponse,
    NotFound,
    Rejected,
    Unavailable,
    Unreachable,
)
from ftops.files import PRIVATE_FILE, make_private_dir, sha256_file, storage_error
from ftops.http.address import is_loopback
from ftops.http.client import make_timeout
from ftops.http.response import JsonObject
from ftops.providers.openai_response import UNKNOWN_TIME
from ftops.providers.provider import OnBytes
from ftops.providers.together_client import TogetherClient, get_last_part, quote_id
from ftops.records import RemoteFile

_PURPOSE = "fine-tune"
_PIECE_BYTES = 1 << 20
_MAX_BYTES = 5 << 30  # of a file in one request
_STORE_TIMEOUT_S = 600.0  # the storage responds only once it has all bytes
_CHECK_WAIT_S = 1800.0  # for the check of the rows of a large file
_STATUSES = {"completed": "processed", "failed": "error", "invalid_format": "error"}
_NOT_STARTED = "pending"


def list_files(api: TogetherClient) -> Iterator[RemoteFile]:
    """All files of the account."""
    yield from map(_read_file, api.list_entries("list the files", "/v1/files"))


def find_file(api: TogetherClient, filename: str, size: int) -> RemoteFile | None:
    """The newest usable training file with that name and size in bytes, once it is checked."""
    matching = (
        file
        for file in list_files(api)
        if (file.filename, file.bytes) == (filename, size) and file.status != "error"
    )
    found = max(matching, key=lambda file: file.created_at, default=None)
    return wait_until_processed(api, found.id) if found else None


def get_file(api: TogetherClient, file_id: str) -> RemoteFile:
    """The record of one file."""
    return _read_file(_fetch_file(api, file_id))


def wait_until_processed(api: TogetherClient, file_id: str) -> RemoteFile:
    """The file once its rows are checked; a job on an unchecked file fails.

    Rejected with the reason if the service refuses the rows, Unavailable if the check lasts longer
    than `_CHECK_WAIT_S`.
    """
    until_s, pause_s = api.clock.monotonic_s() + _CHECK_WAIT_S, 1.0
    fields = _fetch_file(api, file_id)
    if _read_file(fields).status == _NOT_STARTED:  # an upload was interrupted before its last step
        _start_check(api, file_id)
        fields = _fetch_file(api, file_id)
    while True:
        file = _read_file(fields)
        if file.status == "error":
            reason = fields.get_object("validation_report").find_text("error") or "no reason given"
            raise Rejected(f"{file.filename} ({file.id}) was not accepted: {reason}")
        if file.status == "processed":
            return file
        if api.clock.monotonic_s() + pause_s > until_s:
            raise Unavailable(f"{file.filename} ({file.id}) is still {file.status}")
        api.clock.sleep(pause_s)
        pause_s = min(2 * pause_s, 15.0)
        fields = _fetch_file(api, file_id)


def upload_file(api: TogetherClient, path: Path, filename: str, on_bytes: OnBytes) -> RemoteFile:
    """Send a file, and wait until its rows are checked."""
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise DatasetError(
                f"{path} has {size:,} bytes, and a request to Together at most {_MAX_BYTES:,};"
                " nothing was sent",
                hint="Train on fewer rows, or in several jobs, each on the model of the last one.",
            )
        on_bytes(0, size)
        stored = _create_file(api, filename, sha256_file(path))
        if stored.location is not None:
            _send_content(api, path, stored, _Progress(size, on_bytes))
            _start_check(api, stored.file_id)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    on_bytes(size, size)
    return wait_until_processed(api, stored.file_id)


@dataclass(frozen=True, slots=True)
class _StoredFile:
    """A file at the service, and where its content is sent; None if the service has it."""

    file_id: str
    location: str | None


class _Progress:
    """Reports sent bytes; a repeated request does not count its bytes twice."""

    def __init__(self, size: int, on_bytes: OnBytes) -> None:
        self.size = size
        self._on_bytes = on_bytes
        self._reported = 0

    def move(self, sent: int) -> None:
        if sent > self._reported:
            self._reported = sent
            self._on_bytes(sent, self.size)


def _create_file(api: TogetherClient, filename: str, checksum: str) -> _StoredFile:
    action = f"upload {filename}"
    form = {
        "purpose": _PURPOSE,
        "file_name": filename,
        "file_type": "jsonl",
        "checksum": checksum,
    }
    request = api.prepare(
        "POST", "/v1/files", files={name: (None, value) for name, value in form.items()}
    )

    def send(client: httpx2.Client) -> _StoredFile | httpx2.Response:
        response = request(client)
        if response.status_code == httpx2.codes.FOUND:
            return _read_location(api, response, action)
        if response.status_code == httpx2.codes.CONFLICT:  # it has this content already
            with contextlib.suppress(ValueError, AttributeError):
                body = response.json()
                file_id = body.get("file_id") or body.get("error", {}).get("file_id")
                if isinstance(file_id, str):
                    return _StoredFile(file_id, None)
        return response

    stored = api.send(action, send)
    if isinstance(stored, _StoredFile):
        return stored
    raise InvalidResponse(f"{action}: the response names no address for the content of the file")


def _read_location(api: TogetherClient, response: httpx2.Response, action: str) -> _StoredFile:
    location = response.headers.get("location", "")
    file_id = response.headers.get("x-together-file-id", "")
    parts = urlsplit(location)
    is_safe = parts.scheme == "https" or (is_loopback(api.root) and is_loopback(location))
    if not file_id or not parts.hostname or not is_safe:
        raise InvalidResponse(
            f"{action}: the response names no safe address for the content of the file"
        )
    return _StoredFile(file_id, location)


def _send_content(
    api: TogetherClient, path: Path, stored: _StoredFile, progress: _Progress
) -> None:
    """Send the bytes to the storage, whose address is its own secret: no key goes there."""
    location = stored.location or ""

    def send(client: httpx2.Client) -> httpx2.Response:
        return client.put(
            location,
            content=_read_pieces(path, progress),
            headers={"Content-Length": str(progress.size)},
            timeout=make_timeout(_STORE_TIMEOUT_S),
        )

    api.send(f"upload the content of {stored.file_id}", send)


def _read_pieces(path: Path, progress: _Progress) -> Iterator[bytes]:
    sent = 0
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece
            sent += len(piece)
            progress.move(sent)


def _start_check(api: TogetherClient, file_id: str) -> None:
    with contextlib.suppress(Rejected):  # it has started already
        api.post(f"start the check of {file_id}", f"/v1/files/{quote_id(file_id)}/preprocess")


def _fetch_file(api: TogetherClient, file_id: str) -> JsonObject:
    return api.get(f"look up the file {file_id}", f"/v1/files/{quote_id(file_id)}")


def _read_file(fields: JsonObject) -> RemoteFile:
    """The record of a file; its id is required."""
    word = (fields.find_text("processing_status") or "").lower()
    is_processed = not word and fields.values.get("Processed") is True
    return RemoteFile(
        id=fields.get_text("id"),
        filename=fields.find_text("filename") or "",
        bytes=fields.find_int("bytes") or 0,
        purpose=fields.find_text("purpose") or "",
        created_at=fields.find_time("created_at") or UNKNOWN_TIME,
        status="processed" if is_processed else _STATUSES.get(word, word or "uploaded"),
    )


def download_weights(api: TogetherClient, job_id: str, name: str, folder: Path) -> Path:
    """Store the weights of a job's model as the archive that the service sends (tar, Zstandard).

    The merged model where the service makes one, else the adapter. An interrupted download
    continues where it stopped, and the size of the result is that which the service states.
    """
    path = folder / f"{re.sub('[^A-Za-z0-9._-]+', '-', get_last_part(name))}.tar.zst"
    make_private_dir(folder)
    for kind in ("merged", "adapter", "model_output_path"):
        archive = _Archive(api, {"ft_id": job_id, "checkpoint": kind}, path)
        try:
            return archive.download()
        except (NotFound, Rejected) as error:  # the job has no such checkpoint
            refusal = error
    raise refusal


@dataclass(frozen=True, slots=True)
class _Archive:
    """One archive of weights at the service, and the file that gets its content."""

    api: TogetherClient
    query: dict[str, str]
    path: Path

    @property
    def part(self) -> Path:
        """The file that an interrupted download leaves and the next one continues."""
        return self.path.with_name(f".{self.path.name}.{self.query['checkpoint']}.part")

    def download(self) -> Path:
        """Receive the missing bytes; each lost connection is followed by another request."""
        size = self.api.send("look up the weights", self._read_size)
        try:
            self.part.touch(PRIVATE_FILE)
            if self.part.stat().st_size > size:
                self.part.write_bytes(b"")
            while (received := self.part.stat().st_size) < size:
                try:
                    self.api.send("download the weights", self._receive)
                except (Unavailable, Unreachable):
                    if self.part.stat().st_size <= received:
                        raise
            self.part.replace(self.path)
        except OSError as error:
            raise storage_error(error, self.path) from error
        return self.path

    def _open(self, client: httpx2.Client, byte_range: str) -> httpx2.Response:
        request = client.build_request(
            "GET",
            f"{self.api.root}/v1/finetune/download",
            params=self.query,
            headers={
                "Authorization": f"Bearer {self.api.secret}",
                "Accept-Encoding": "identity",
                "Range": f"bytes={byte_range}",
            },
        )
        response = client.send(request, stream=True)
        if not response.is_success:
            response.read()
            raise httpx2.HTTPStatusError("refused", request=request, response=response)
        return response

    def _read_size(self, client: httpx2.Client) -> int:
        response = self._open(client, "0-0")
        with contextlib.closing(response):
            total = response.headers.get("content-range", "").rpartition("/")[2]
            size = total if total.isdecimal() else response.headers.get("content-length", "")
        if not size.isdecimal():
            raise InvalidResponse("look up the weights: the response does not state their size")
        return int(size)

    def _receive(self, client: httpx2.Client) -> None:
        received = self.part.stat().st_size
        response = self._open(client, f"{received}-")
        is_whole = response.status_code != httpx2.codes.PARTIAL_CONTENT  # the range was ignored
        with contextlib.closing(response), self.part.open("wb" if is_whole else "ab") as stream:
            for piece in response.iter_bytes():
                stream.write(piece)
