"""Tables without frames: runs, models, files, stages, results, classes."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table

from ftops.cli.outcomes import describe_outcome, render_bytes
from ftops.cli.views import (
    cell,
    describe_status,
    indent,
    is_built_in,
    render_moment,
    render_seconds,
)
from ftops.records import RemoteFile, Run, RunStatus, StageRecord

if TYPE_CHECKING:  # `ftops runs` is to be quick, and needs none of these rooms
    from ftops.http.request_log import RequestLogEntry
    from ftops.ledger.ledger import RemoteCall
    from ftops.reports.results import ResultRow
    from ftops.runs.pruning.selection import RunArtifacts

SHOWN_RESULTS = 7
# title, field of ResultRow, how the figure is written, whether it always has its column
_RESULT_COLUMNS = (
    ("step", "step", "d", True),
    ("epoch", "epoch", "d", False),
    ("train\nloss", "train_loss", ".4f", True),
    ("train\naccuracy", "train_accuracy", ".4f", True),
    ("valid\nloss", "valid_loss", ".4f", True),
    ("valid\naccuracy", "valid_accuracy", ".4f", True),
    ("full valid\nloss", "full_valid_loss", ".4f", False),
    ("learning\nrate", "learning_rate", ".2e", False),
)


def make_table(*columns: str, right: Iterable[str] = (), whole: Iterable[str] = ()) -> Table:
    """A table without frames; columns in `right` hold figures, those in `whole` are not broken."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in set(right) else "left",
            overflow="fold",
            no_wrap=column in set(whole),
        )
    return table


def render_runs(runs: Sequence[tuple[Run, bool]]) -> RenderableType:
    """One line a run, newest first, each with whether a process drives it."""
    if not runs:
        return "Nothing has been run yet."
    table = make_table(
        "run",
        "name",
        "model",
        "status",
        "began",
        "took",
        right=("took",),
        whole=("run", "status", "began", "took"),
    )
    for run, driven in runs:
        took = None if run.finished_at is None else (run.finished_at - run.created_at)
        table.add_row(
            cell(run.id, "cyan"),
            cell(run.name),
            cell(run.model if is_built_in(run) else f"{run.model} ({run.provider.type})"),
            describe_status(_say_status(run, driven=driven)),
            cell(_short(run.created_at)),
            cell("" if took is None else render_seconds(took.total_seconds())),
        )
    return table


def render_files(files: Sequence[RemoteFile]) -> RenderableType:
    """One line a file."""
    if not files:
        return "The provider has no files."
    table = make_table("file", "size", "created", "name", right=("size",), whole=("file",))
    for file in files:
        table.add_row(
            cell(file.id, "cyan"),
            cell(render_bytes(file.bytes)),
            cell(_short(file.created_at)),
            cell(file.filename),
        )
    return table


def render_leftovers(leftovers: "Sequence[RunArtifacts]") -> RenderableType:
    """One line a run that is to be pruned: what it has left here and at its provider."""
    right = ("here", "uploads", "there")
    whole = ("run", "ended", *right)
    table = make_table("run", "name", "ended", *right, right=right, whole=whole)
    for one in leftovers:
        table.add_row(
            cell(one.run.id, "cyan"),
            cell(one.run.name),
            cell(render_moment(one.run.finished_at).partition(" ")[0]),
            cell(render_bytes(one.folder_bytes)),
            cell(len(one.uploads) or ""),
            cell(render_bytes(one.upload_bytes) if one.uploads else ""),
        )
    return table


def render_calls(calls: "Sequence[RemoteCall]", place: str = "remote id") -> RenderableType:
    """One line a request that changed something, there or at a tool."""
    table = make_table("call", "state", place, "at")
    for call in calls:
        table.add_row(
            cell(call.request.get("tool", call.name)),
            cell(call.state),
            cell(call.remote_id or call.error),
            cell(_short(call.began_at)),
        )
    return table


def render_exchanges(found: "Sequence[RequestLogEntry]") -> RenderableType:
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


def render_stages(records: Sequence[StageRecord]) -> RenderableType:
    """One line a stage, with attempts and what came out; for `ftops show`."""
    table = make_table("stage", "status", "time", "attempts", "", right=("time", "attempts"))
    for record in records:
        table.add_row(
            cell(record.stage.value),
            describe_status(record.status.value),
            cell(render_seconds(record.seconds)),
            cell(record.attempts or ""),
            cell(describe_outcome(record)),
        )
    return indent(table)


def render_results(rows: "Sequence[ResultRow]", *, limit: int | None = SHOWN_RESULTS) -> Table:
    """Steps with loss and accuracy: all, or the first, some between, and the last.

    What only some providers tell has a column only where it was told.
    """
    columns = [
        (title, name, digits)
        for title, name, digits, always in _RESULT_COLUMNS
        if always or any(getattr(row, name) is not None for row in rows)
    ]
    titles = [title for title, _, _ in columns]
    table = make_table(*titles, right=titles)
    for row in rows if limit is None else choose_rows(rows, limit):
        table.add_row(*(_figure(getattr(row, name), digits) for _, name, digits in columns))
    return table


def choose_rows(rows: "Sequence[ResultRow]", limit: int) -> "list[ResultRow]":
    """First and last row and up to `limit` in all, rather those where validation was measured."""
    if len(rows) <= limit:
        return list(rows)
    measured = [
        row for row in rows[1:-1] if row.valid_loss is not None or row.full_valid_loss is not None
    ]
    between = measured if len(measured) >= limit - 2 else list(rows[1:-1])
    stride = len(between) / (limit - 2)
    return [
        rows[0],
        *(between[int((index + 0.5) * stride)] for index in range(limit - 2)),
        rows[-1],
    ]


def _say_status(run: Run, *, driven: bool) -> str:
    """The status; of a run that no process drives, whether its job may run without a watcher."""
    if driven or not (run.status is RunStatus.RUNNING or run.ended_before_job):
        return run.status.value
    return "unwatched" if run.job_id else "stopped"


def _short(moment: datetime) -> str:
    return moment.astimezone().strftime("%m-%d %H:%M")


def _figure(value: float | None, digits: str) -> str:
    return "" if value is None else format(value, digits)
