"""`ftops logs`: the requests that left for providers, as the request log has them."""

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
from ftops.records import Json

LOOK_EVERY_S = 0.5
Ref = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="Run id, job id, model or job name; all when left out."),
]
Tail = Annotated[int, typer.Option("--tail", "-n", min=1, help="At most so many, newest last.")]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on with what leaves from now on, until Ctrl-C.")
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
    """List the requests that left for providers, newest last.

    Failed ones and repeated ones, too. With --follow, --json prints one document a line.
    """
    wanted = _make_filter(ref)
    reader = RequestLogReader(get_home() / FILENAME)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            show_live(out, take_new(reader, wanted, SystemClock(), tail))
        return
    found = list(deque(filter(wanted, reader.read_new()), tail))
    out.finish(
        [request_document(one) for one in found],
        essential=map(_render_line, found),
        human=lambda: _render_table(found),
    )


def take_new(
    reader: RequestLogReader,
    wanted: Callable[[RequestLogEntry], bool],
    clock: Clock,
    tail: int,
) -> Iterator[list[RequestLogEntry]]:
    """The last `tail` exchanges, then those that come, for ever."""
    yield list(deque(filter(wanted, reader.read_new()), tail))
    while True:
        clock.sleep(LOOK_EVERY_S)
        yield list(filter(wanted, reader.read_new()))


def show_live(out: Output, batches: Iterator[list[RequestLogEntry]]) -> None:
    """Print a line for each exchange."""
    for one in itertools.chain.from_iterable(batches):
        if out.mode is Mode.JSON:
            out.write(render_json_line(request_document(one)))
        else:
            out.write_lines([_render_line(one)])


def _make_filter(ref: str | None) -> Callable[[RequestLogEntry], bool]:
    """Which exchanges belong to what the user named; a job need not be known to the ledger."""
    if ref is None:
        return lambda _one: True
    with open_ledger() as ledger:
        try:
            run = ledger.get_run(ref)
        except UnknownRun:
            if not ref.startswith(("ftjob-", "ft-")):
                raise
            return lambda one: one.concerns(None, ref)
    return lambda one: one.concerns(run.id, run.job_id)


def _render_line(one: RequestLogEntry) -> str:
    """Time in UTC, request, outcome and request id, with single blanks between."""
    outcome = one.error if one.status is None else str(one.status)
    words = [f"{one.at:%Y-%m-%dT%H:%M:%SZ}", one.method, one.path, outcome, one.request_id]
    return " ".join(word for word in words if word)


def _render_table(found: list[RequestLogEntry]) -> list[RenderableType]:
    return [render_requests(found)]


def render_requests(found: Sequence[RequestLogEntry]) -> RenderableType:
    """One line a request that left, with what came back; times are the user's own."""
    if not found:
        return "No request has left yet."
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
    for one in found:
        is_good = one.status is not None and one.status < 400 and one.error is None
        outcome = " ".join(filter(None, (str(one.status or ""), one.error)))
        table.add_row(
            cell(one.at.astimezone().strftime("%m-%d %H:%M:%S")),
            cell(f"{one.method} {one.path}"),
            cell(outcome, "" if is_good else "red"),
            cell(render_seconds(one.seconds)),
            cell(one.attempt),
            cell("" if one.bytes_sent is None else render_bytes(one.bytes_sent)),
            cell("" if one.bytes_received is None else render_bytes(one.bytes_received)),
            cell(one.request_id, "dim"),
        )
    return table


def request_document(exchange: RequestLogEntry) -> dict[str, Json]:
    """One line of the request log."""
    return {**exchange.to_json(), "at": to_timestamp(exchange.at)}
