"""`ftops logs`: lists the requests of the request log."""

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.format import (
    cell,
    make_table,
    render_bytes,
    render_seconds,
    to_timestamp,
)
from ftops.cli.output import Mode, Output, render_json_line
from ftops.clock import Clock, SystemClock
from ftops.errors import UnknownRun
from ftops.http.request_log import FILENAME, RequestLogEntry, RequestLogReader
from ftops.providers.registry import PROVIDERS
from ftops.records import Json

POLL_INTERVAL_S = 0.5
Ref = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="Run id, job id, model or job name; default: all."),
]
Tail = Annotated[int, typer.Option("--tail", "-n", min=1, help="Show the last N requests.")]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Continue with new requests until Ctrl-C.")
]


@command(
    "logs",
    examples=[
        "ftops logs run-20261122-1407-k3f9",
        "ftops logs --tail 5 --json",
        "ftops logs news-topics --follow",
    ],
)
def logs(out: Output, ref: Ref = None, tail: Tail = 50, follow: Follow = False) -> None:
    """List the requests to providers, newest last.

    Failed requests and retries are included. With --follow, --json prints one document per line.
    """
    matches = _create_filter(ref)
    reader = RequestLogReader(get_home() / FILENAME)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            show_live(out, tail_entries(reader, matches, SystemClock(), tail))
        return
    entries = list(deque(filter(matches, reader.read_new()), tail))
    out.finish(
        [request_document(entry) for entry in entries],
        essential=map(_render_line, entries),
        human=lambda: [render_requests(entries)],
    )


def tail_entries(
    reader: RequestLogReader,
    matches: Callable[[RequestLogEntry], bool],
    clock: Clock,
    tail: int,
) -> Iterator[list[RequestLogEntry]]:
    """Yield the last `tail` entries, then new ones, without end."""
    yield list(deque(filter(matches, reader.read_new()), tail))
    while True:
        clock.sleep(POLL_INTERVAL_S)
        yield list(filter(matches, reader.read_new()))


def show_live(out: Output, batches: Iterator[list[RequestLogEntry]]) -> None:
    """Print a line per entry."""
    for entry in itertools.chain.from_iterable(batches):
        if out.mode is Mode.JSON:
            out.write(render_json_line(request_document(entry)))
        else:
            out.write_lines([_render_line(entry)])


def _create_filter(ref: str | None) -> Callable[[RequestLogEntry], bool]:
    """A filter for the entries of a run or job; the ledger need not know the job."""
    if ref is None:
        return lambda _entry: True
    with open_ledger() as ledger:
        try:
            run = ledger.get_run(ref)
        except UnknownRun:
            if not any(entry.capabilities.naming.is_job_id(ref) for entry in PROVIDERS.values()):
                raise
            return lambda entry: entry.concerns(None, ref)
    return lambda entry: entry.concerns(run.id, run.job_id)


def _render_line(entry: RequestLogEntry) -> str:
    """Time in UTC, request, status or error, and request id."""
    outcome = entry.error if entry.status is None else str(entry.status)
    words = [f"{entry.at:%Y-%m-%dT%H:%M:%SZ}", entry.method, entry.path, outcome, entry.request_id]
    return " ".join(word for word in words if word)


def render_requests(entries: Sequence[RequestLogEntry]) -> RenderableType:
    """One line per request; times are in the local time zone."""
    if not entries:
        return "No requests yet."
    table = make_table(
        "at",
        "request",
        "outcome",
        "took",
        "attempt",
        "sent",
        "received",
        "request id",
        right=("took", "attempt", "sent", "received"),
        whole=("at", "took", "attempt", "sent", "received"),
    )
    for entry in entries:
        is_good = entry.status is not None and entry.status < 400 and entry.error is None
        outcome = " ".join(filter(None, (str(entry.status or ""), entry.error)))
        table.add_row(
            cell(entry.at.astimezone().strftime("%m-%d %H:%M:%S")),
            cell(f"{entry.method} {entry.path}"),
            cell(outcome, "" if is_good else "red"),
            cell(render_seconds(entry.seconds)),
            cell(entry.attempt),
            cell("" if entry.bytes_sent is None else render_bytes(entry.bytes_sent)),
            cell("" if entry.bytes_received is None else render_bytes(entry.bytes_received)),
            cell(entry.request_id, "dim"),
        )
    return table


def request_document(entry: RequestLogEntry) -> dict[str, Json]:
    """One line of the request log."""
    return {**entry.to_json(), "at": to_timestamp(entry.at)}
