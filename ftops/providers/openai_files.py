"""Looks up, lists and finds files at the provider, and waits for them."""

from collections.abc import Iterator
from typing import Final

import openai

from ftops.errors import Rejected
from ftops.http.response import JsonObject, read_pages
from ftops.providers.openai_client import OpenAIClient
from ftops.providers.openai_response import read_file
from ftops.records import RemoteFile

PURPOSE: Final = "fine-tune"
# How long to wait until a stored file is processed. After that it is used anyway: a job waits for
# its file, and some servers never report more than "uploaded".
_PROCESSING_WAIT_S = 120.0
_UNUSABLE_STATUSES = frozenset({"error", "failed", "deleting", "deleted", "cancelled"})


def wait_until_processed(api: OpenAIClient, stored: JsonObject) -> RemoteFile:
    """The file once it is ready for use, or after `_PROCESSING_WAIT_S`."""
    started_s, pause_s = api.clock.monotonic_s(), 1.0
    while True:
        file = read_file(stored)
        if file.status in _UNUSABLE_STATUSES:
            details = stored.find_text("status_details") or "no reason given"
            raise Rejected(
                f"{file.filename} ({file.id}) was not accepted: {file.status}: {details}"
            )
        waited_s = api.clock.monotonic_s() - started_s
        if file.status == "processed" or waited_s + pause_s > _PROCESSING_WAIT_S:
            return file
        api.clock.sleep(pause_s)
        pause_s = min(2 * pause_s, 10.0)
        stored = fetch_file(api, file.id)


def fetch_file(api: OpenAIClient, file_id: str) -> JsonObject:
    """The provider's record of one file."""
    return api.fetch(
        f"look up the file {file_id}", lambda sdk: sdk.files.with_raw_response.retrieve(file_id)
    )


def list_files(api: OpenAIClient, *, purpose: str | None = None) -> Iterator[RemoteFile]:
    """All files at the provider; only those for `purpose` if it supports the filter."""
    pages = read_pages(
        lambda after: api.fetch(
            "list the files",
            lambda sdk: sdk.files.with_raw_response.list(
                purpose=purpose or openai.omit, after=after or openai.omit
            ),
        )
    )
    for page in pages:
        yield from map(read_file, page)


def find_file(api: OpenAIClient, filename: str, size: int) -> RemoteFile | None:
    """The newest usable training file with that name and size in bytes."""
    matching = (
        file
        for file in list_files(api, purpose=PURPOSE)
        if file.filename == filename
        and file.bytes == size
        and file.purpose == PURPOSE
        and file.status not in _UNUSABLE_STATUSES
    )
    return max(matching, key=lambda file: file.created_at, default=None)


def wait_for_file(api: OpenAIClient, filename: str, size: int, wait_s: float) -> RemoteFile | None:
    """Call `find_file` until it finds the file, or until `wait_s` have passed."""
    pause_s = 1.0
    until_s = api.clock.monotonic_s() + wait_s
    while True:
        file = find_file(api, filename, size)
        left_s = until_s - api.clock.monotonic_s()
        if file or left_s <= 0:
            return file
        api.clock.sleep(min(pause_s, left_s))
        pause_s *= 2
