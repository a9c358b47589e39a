"""Training files as objects in a bucket of Google Cloud Storage.

An object is named after its file, in the folder `ftops`. Its MD5 digest shows whether it has the
same content, so that an upload whose response was lost is not repeated.
https://cloud.google.com/storage/docs/json_api/v1/objects
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from ftops.errors import InvalidResponse, NotFound
from ftops.http.response import JsonObject
from ftops.providers.openai_response import UNKNOWN_TIME
from ftops.providers.provider import OnBytes
from ftops.providers.vertex_client import GoogleApi, list_pages
from ftops.providers.vertex_response import find_int64
from ftops.records import RemoteFile

_FOLDER = "ftops/"
_PIECE_BYTES = 1 << 20
_FILE_ID = re.compile(r"gs://([a-z0-9][a-z0-9._-]*)/(.+)")


class StorageBucket:
    """The bucket for uploads; a file id may name an object of another one.

    `get_name` raises ProviderError if no bucket is named.
    """

    def __init__(self, api: GoogleApi, storage_url: str, get_name: Callable[[], str]) -> None:
        self.get_name = get_name
        self._api = api
        self._storage_url = storage_url

    def upload(self, path: Path, filename: str, on_bytes: OnBytes) -> RemoteFile:
        """Store the file; an object with the same name and content is not sent again."""
        size, digest = path.stat().st_size, _digest(path)
        on_bytes(0, size)
        there = self._find(filename)
        if there is None or there.find_text("md5Hash") != digest:
            there = self._store(path, filename, on_bytes)
            if there.find_text("md5Hash") != digest:
                raise InvalidResponse(f"upload {filename}: the stored object has other content")
        on_bytes(size, size)
        return _read_object(there)

    def find_file(self, filename: str) -> RemoteFile | None:
        """The object of that file name; None if there is none."""
        there = self._find(filename)
        return _read_object(there) if there else None

    def get_file(self, file_id: str) -> RemoteFile:
        url = self._locate(file_id)
        return _read_object(
            self._api.fetch(f"look up {file_id}", lambda client: client.request("GET", url))
        )

    def list_files(self) -> Iterator[RemoteFile]:
        url = f"{self._storage_url}/storage/v1/b/{self.get_name()}/o"
        return map(_read_object, list_pages(self._api, "the files", url, "items", prefix=_FOLDER))

    def read_file(self, file_id: str) -> bytes:
        url = self._locate(file_id)
        response = self._api.send(
            f"read {file_id}", lambda client: client.request("GET", url, params={"alt": "media"})
        )
        return response.content

    def delete_file(self, file_id: str) -> None:
        url = self._locate(file_id)
        self._api.delete(f"delete {file_id}", lambda client: client.request("DELETE", url))

    def _find(self, filename: str) -> JsonObject | None:
        url = self._locate(f"gs://{self.get_name()}/{_FOLDER}{filename}")
        try:
            return self._api.fetch(f"look up {filename}", lambda client: client.request("GET", url))
        except NotFound:
            return None

    def _store(self, path: Path, filename: str, on_bytes: OnBytes) -> JsonObject:
        url = f"{self._storage_url}/upload/storage/v1/b/{self.get_name()}/o"
        size = path.stat().st_size
        reported = 0

        def read_pieces() -> Iterator[bytes]:
            nonlocal reported
            sent = 0
            with path.open("rb") as stream:
                while piece := stream.read(_PIECE_BYTES):
                    yield piece
                    sent += len(piece)
                    if sent > reported:  # a repeated attempt does not count twice
                        reported = sent
                        on_bytes(sent, size)

        return self._api.fetch(
            f"upload {filename}",
            lambda client: client.request(
                "POST",
                url,
                params={"uploadType": "media", "name": _FOLDER + filename},
                headers={"Content-Type": "application/jsonl", "Content-Length": str(size)},
                content=read_pieces(),
            ),
        )

    def _locate(self, file_id: str) -> str:
        """The address of an object; NotFound if the id is no gs:// address."""
        match = _FILE_ID.fullmatch(file_id)
        if match is None:
            raise NotFound(f"there is no file {file_id!r}: an id is like gs://bucket/name")
        return f"{self._storage_url}/storage/v1/b/{match[1]}/o/{quote(match[2], safe='')}"


def _read_object(fields: JsonObject) -> RemoteFile:
    bucket, name = fields.get_text("bucket"), fields.get_text("name")
    return RemoteFile(
        id=f"gs://{bucket}/{name}",
        filename=name.removeprefix(_FOLDER),
        bytes=find_int64(fields, "size") or 0,
        purpose="fine-tune",
        created_at=fields.find_time("timeCreated") or UNKNOWN_TIME,
    )


def _digest(path: Path) -> str:
    """The MD5 digest of a file, in the spelling of the service."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
    return base64.b64encode(digest.digest()).decode()
