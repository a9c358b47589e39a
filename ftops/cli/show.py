"""`ftops show`: everything about one run."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType

from ftops.cli.closing import Report, collect, describe_pruned, next_commands
from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.evaluation_view import render_evaluation
from ftops.cli.format import (
    cell,
    describe_status,
    heading,
    indent,
    make_table,
    render_commands,
    render_moment,
    render_pairs,
    render_seconds,
    render_short_moment,
    to_timestamp,
)
from ftops.cli.options import RunRef
from ftops.cli.output import Output
from ftops.cli.run_view import describe_event, describe_outcome, event_document, render_header
from ftops.ledger.ledger import Move, RemoteCall
from ftops.records import JobEvent, Json, StageRecord
from ftops.runs import export, notifications

_SHOWN_EVENTS = 8
_AT_PROVIDER = "Requests that changed something at the provider"
_ELSEWHERE = {export.CALL: "Trackers that were told", notifications.CALL: "Notices"}


@command("show", examples=["ftops show run-20261122-1407-k3f9", "ftops show news-topics"])
def show(out: Output, ref: RunRef) -> None:
    """Show one run: stages, times, attempts, remote ids."""
    with open_ledger() as ledger:
        run = ledger.get_run(ref)
        report = collect(run, ledger, get_home())
        events = ledger.list_events(run.id)
        calls = ledger.list_calls(run.id)
        moves = ledger.list_moves(run.id)
    out.finish(
        {
            **report.to_json(),
            "remote_calls": [call_document(call) for call in calls],
            "moves": [move_document(move) for move in moves],
            "events": [event_document(event) for event in events],
        },
        essential=[run.status.value],
        human=lambda: render_whole(report, calls, events),
    )


def render_calls(calls: Sequence[RemoteCall], place: str = "remote id") -> RenderableType:
    """One line a request that changed something, there or at a tool."""
    table = make_table("call", "state", place, "at")
    for call in calls:
        table.add_row(
            cell(call.request.get("tool", call.name)),
            cell(call.state),
            cell(call.remote_id or call.error),
            cell(render_short_moment(call.began_at)),
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


def call_document(call: RemoteCall) -> dict[str, Json]:
    return {
        "call": call.name,
        "stage": call.stage.value,
        "state": call.state,
        "remote_id": call.remote_id,
        "began_at": to_timestamp(call.began_at),
        "ended_at": to_timestamp(call.ended_at),
        "error": call.error,
    }


def move_document(move: Move) -> dict[str, Json]:
    """A change of state of the run (`stage` is null) or of a stage; `error` says why it failed."""
    return {
        "at": to_timestamp(move.at),
        "stage": move.stage.value if move.stage else None,
        "before": move.before,
        "after": move.after,
        "attempt": move.attempt,
        "error": move.error,
    }


def render_whole(
    report: Report, calls: Sequence[RemoteCall], events: Sequence[JobEvent]
) -> Iterator[RenderableType]:
    """Everything about one run; for `ftops show`."""
    run = report.run
    yield render_header(run, resumed=False)
    yield render_pairs(
        [
            ("status", describe_status(run.status.value)),
            ("began", render_moment(run.created_at)),
            ("ended", render_moment(run.finished_at) or None),
            ("job", run.job_id),
            ("made", run.fine_tuned_model),
            ("error", run.error),
            ("files", describe_pruned(run)),
        ]
    )
    yield heading("Stages")
    yield render_stages(report.stages)
    for title, listed in group_calls(calls).items():
        yield heading(title)
        place = "remote id" if title == _AT_PROVIDER else "where"
        yield indent(render_calls(listed, place))
    if events:
        yield heading(f"Last of {len(events)} events")
        yield from (describe_event(event) for event in events[-_SHOWN_EVENTS:])
    if report.evaluation is not None:
        yield from render_evaluation(report.evaluation)
    yield heading("Next")
    yield from render_commands(next_commands(report))


def group_calls(calls: Sequence[RemoteCall]) -> dict[str, list[RemoteCall]]:
    """What left this machine, by whom it went to: the provider, trackers, who is notified."""
    grouped: dict[str, list[RemoteCall]] = {}
    for call in calls:
        grouped.setdefault(_ELSEWHERE.get(call.name, _AT_PROVIDER), []).append(call)
    return grouped
