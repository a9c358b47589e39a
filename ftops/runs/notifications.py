"""Sends notifications when a run ends or its job stalls, even after a crash.

The transaction that ends the run records its notifications as open calls; a stall is notified once
until the job makes progress again. The process that drives the run sends all open notifications,
including those of an earlier command that was interrupted. They keep their id, so a receiver can
detect duplicates. A failed notification does not change the status of the run.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path

from ftops import crashpoints
from ftops.errors import JobStalled, NotifyFailed
from ftops.http.request_log import in_run_scope
from ftops.ledger.ledger import Intent, RemoteCall
from ftops.notifications.notification import CommandTarget, Notification, Target, WebhookTarget
from ftops.records import Json, Run, RunStatus, Stage
from ftops.run_folder import hold_run
from ftops.runs.context import RunContext
from ftops.runs.export import create_pending_exports, export_pending, has_pending_exports
from ftops.runs.states import Transition
from ftops.spec.model import JobSpec
from ftops.spec.notify import Outcome
from ftops.stage_results import find_value, get_value

CALL = "notify"
_STALLED = "run.stalled"


def end_run(
    run: Run, context: RunContext, transition: Transition[RunStatus], error: str | None = None
) -> Run:
    """End the run, and send its notifications and exports."""
    after = transition.check(run.status)
    outcome: Outcome = "success" if after is RunStatus.SUCCEEDED else "failure"
    due = [
        *_create_notifications(run, context, outcome, f"run.{after}", after, error),
        *create_pending_exports(run),
    ]
    ended = context.ledger.move_run(run, after, error=error, due=due)
    send_pending(ended, context)
    return ended


def notify_stall(run: Run, context: RunContext, error: JobStalled) -> None:
    """Notify that the run's job stalls, once until it makes progress again."""
    seen = len(context.ledger.list_event_ids(run.id, run.job_id)) if run.job_id else 0
    about = f"{run.job_id}:{seen}"
    notified = {
        call.request.get("via")
        for call in context.ledger.list_calls(run.id)
        if call.name == CALL and call.request.get("about") == about
    }
    for due in _create_notifications(run, context, "stall", _STALLED, run.status, error.message):
        if due.request["via"] not in notified:
            context.ledger.record_intent(
                run.id, due.stage, due.name, {**due.request, "about": about}
            )
    send_pending(run, context)


def send_pending(run: Run, context: RunContext) -> None:
    """Send every open notification of the run, and every open export.

    The caller must hold the lock of the run.
    """
    for call in context.ledger.list_calls(run.id):
        if call.name == CALL and call.state == "intent":
            _send(run, context, call)
    export_pending(run, context)


@in_run_scope
def send_pending_of_idle_run(run: Run, context: RunContext) -> None:
    """Send what an interrupted command left open, unless another process drives the run."""
    if not has_pending(run, context):
        return
    with hold_run(run, context.home) as held:
        if held:
            send_pending(context.ledger.get_run(run.id), context)


def has_pending(run: Run, context: RunContext) -> bool:
    """Whether a notification or an export of the run is still open."""
    return context.ledger.find_open_call(run.id, CALL) is not None or has_pending_exports(
        run, context
    )


def warn_of_unusable_targets(run: Run, context: RunContext) -> None:
    """Warn at the start about targets that notifications cannot reach."""
    for target in _list_targets(run).values():
        if trouble := context.notifier.check(target):
            context.observer.on_note(trouble)


def _create_notifications(
    run: Run, context: RunContext, outcome: Outcome, type: str, status: RunStatus, error: str | None
) -> Iterator[Intent]:
    """A notification for each target that the job file lists for this outcome."""
    if outcome not in JobSpec.from_json(run.spec).notify.on:
        return
    notification_id = f"msg_{uuid.uuid4().hex}"
    data: dict[str, Json] = {
        "outcome": outcome,
        "run_id": run.id,
        "name": run.name,
        "status": status.value,
        "provider": run.provider.type,
        "model": run.model,
        "job_id": run.job_id,
        "fine_tuned_model": run.fine_tuned_model,
        "started_at": run.created_at.isoformat(timespec="seconds"),
    }
    for via in _list_targets(run):
        request: dict[str, Json] = {
            "id": notification_id,
            "via": via,
            "outcome": outcome,
            "type": type,
            "timestamp": context.clock.now().isoformat(timespec="seconds"),
            "data": data,
            "error": error,
        }
        yield Intent(Stage.FOLLOW, CALL, request)


def _send(run: Run, context: RunContext, call: RemoteCall) -> None:
    target = _list_targets(run).get(get_value(call.request, "via", str))
    if target is None:
        context.ledger.record_failed(call, "the job file does not name it any more")
        return
    notification = _read_notification(call)
    crashpoints.reach("notify.before_call")
    try:
        context.notifier.notify(notification, target, context.observer.on_note)
    except NotifyFailed as error:
        context.ledger.record_failed(call, error.message)
        context.observer.on_note(error.message)
        return
    crashpoints.reach("notify.after_call")
    context.ledger.record_done(call, notification.id)


def _read_notification(call: RemoteCall) -> Notification:
    data = call.request.get("data")
    return Notification(
        id=get_value(call.request, "id", str),
        type=get_value(call.request, "type", str),
        outcome=get_value(call.request, "outcome", str),
        timestamp=get_value(call.request, "timestamp", str),
        data=data if isinstance(data, dict) else {},
        error=find_value(call.request, "error", str),
    )


def _list_targets(run: Run) -> dict[str, Target]:
    """The targets in the job file, by kind."""
    spec = JobSpec.from_json(run.spec).notify
    targets: dict[str, Target] = {}
    if spec.command:
        targets["command"] = CommandTarget(spec.command, Path(run.job_file).parent, spec.env)
    if spec.webhook_url and spec.webhook_secret_env:
        targets["webhook"] = WebhookTarget(spec.webhook_url, spec.webhook_secret_env)
    return targets
