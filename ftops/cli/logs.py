"""`ftops logs`: the requests that left for providers, as the request log has them."""

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ftops.cli import wiring
from ftops.cli.command import command
from ftops.cli.output import Mode, Output, render_json_line
from ftops.errors import UnknownRun

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ftops.clock import Clock
    from ftops.http.request_log import RequestLogEntry, RequestLogReader

LOOK_EVERY_S = 0.5
Ref = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="Run id, job id, model or job name; all when left out."),
]
Tail = Annotated[int, typer.Option("--tail", "-n", min=1, help="At most so many, newest last.")]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on with what leaves from now on, until Ctrl-C.")
]


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "logs",
        examples=[
            "ftops logs run-20261122-1407-k3f9",
            "ftops logs --tail 5 --json",
            "ftops logs news-topics --follow",
        ],
    )(logs)


def logs(out: Output, ref: Ref = None, tail: Tail = 50, follow: Follow = False) -> None:
    """List the requests that left for providers, newest last.

    Failed ones and repeated ones, too. With --follow, --json prints one document a line.
    """
    from ftops.cli.documents import exchange_document
    from ftops.clock import SystemClock
    from ftops.http.request_log import FILENAME, RequestLogReader

    wanted = _make_filter(ref)
    reader = RequestLogReader(wiring.get_home() / FILENAME)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            show_live(out, take_new(reader, wanted, SystemClock(), tail))
        return
    found = list(deque(filter(wanted, reader.read_new()), tail))
    out.finish(
        [exchange_document(one) for one in found],
        essential=map(_render_line, found),
        human=lambda: _render_table(found),
    )


def take_new(
    reader: "RequestLogReader",
    wanted: "Callable[[RequestLogEntry], bool]",
    clock: "Clock",
    tail: int,
) -> "Iterator[list[RequestLogEntry]]":
    """The last `tail` exchanges, then those that come, for ever."""
    yield list(deque(filter(wanted, reader.read_new()), tail))
    while True:
        clock.sleep(LOOK_EVERY_S)
        yield list(filter(wanted, reader.read_new()))


def show_live(out: Output, batches: "Iterator[list[RequestLogEntry]]") -> None:
    """Print a line for each exchange."""
    from ftops.cli.documents import exchange_document

    for one in itertools.chain.from_iterable(batches):
        if out.mode is Mode.JSON:
            out.write(render_json_line(exchange_document(one)))
        else:
            out.write_lines([_render_line(one)])


def _make_filter(ref: str | None) -> "Callable[[RequestLogEntry], bool]":
    """Which exchanges belong to what the user named; a job need not be known to the ledger."""
    if ref is None:
        return lambda _one: True
    with wiring.open_ledger() as ledger:
        try:
            run = ledger.get_run(ref)
        except UnknownRun:
            if not ref.startswith(("ftjob-", "ft-")):
                raise
            return lambda one: one.concerns(None, ref)
    return lambda one: one.concerns(run.id, run.job_id)


def _render_line(one: "RequestLogEntry") -> str:
    """Time in UTC, request, outcome and request id, with single blanks between."""
    outcome = one.error if one.status is None else str(one.status)
    words = [f"{one.at:%Y-%m-%dT%H:%M:%SZ}", one.method, one.path, outcome, one.request_id]
    return " ".join(word for word in words if word)


def _render_table(found: "list[RequestLogEntry]") -> "list[RenderableType]":
    from ftops.cli.tables import render_exchanges

    return [render_exchanges(found)]
