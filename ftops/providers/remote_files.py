"""Files at the provider: looked up, listed, found again, waited for."""

from collections.abc import Iterator
from typing import Final

import openai

from ftops.clock import Clock
from ftops.errors import Rejected
from ftops.providers.calls import Caller, turn_pages
from ftops.providers.wire import Fields, read_file
from ftops.records import RemoteFile

PURPOSE: Final = "fine-tune"
# How long a stored file may be looked at before it is used all the same: a job waits by itself for
# a file that is still being processed, and some servers never say more than "uploaded".
_PROCESSING_WAIT_S = 120.0
_SPOILT_STATUSES = frozenset({"error", "failed", "deleting", "deleted", "cancelled"})


def wait_until_processed(caller: Caller, clock: Clock, stored: Fields) -> RemoteFile:
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


def await_file(
    caller: Caller, clock: Clock, wanted: tuple[str, int], wait_s: float
) -> RemoteFile | None:
    """What `find_file` finds by name and size, looked for until `wait_s` have passed."""
    pause_s = 1.0
    until_s = clock.monotonic_s() + wait_s
    while True:
        file = find_file(caller, *wanted)
        left_s = until_s - clock.monotonic_s()
        if file or left_s <= 0:
            return file
        clock.sleep(min(pause_s, left_s))
        pause_s *= 2
