"""Sends notifications when a run ends or its job stalls, even after a crash.

The transaction that ends the run records its notifications as open calls; a stall is notified once
until the job makes progress again. The process that drives the run sends all open notifications,
including those of an earlier command that was interrupted. They keep their id, so a receiver can
detect duplicates. A failed notification does not change the status of the run.
"""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ftops import crashpoints
from ftops.errors import JobStalled, NotifyFailed
from ftops.http.request_log import in_run_scope
from ftops.ledger.records import Intent, RemoteCall
from ftops.notifications.notification import CommandTarget, Notification, Target, WebhookTarget
from ftops.records import Json, Run, RunStatus, Stage
from ftops.run_folder import hold_run
from ftops.runs.context import RunContext, StageContext
from ftops.runs.export import create_pending_exports, export_pending, has_pending_exports
from ftops.runs.states import Transition
from ftops.spec.notify import Outcome
from ftops.stage_results import find_value, get_value

CALL = "notify"
_STALLED = "run.stalled"


def end_run(
    stage: StageContext, transition: Transition[RunStatus], error: str | None = None
) -> Run:
    """End the run, and send its notifications and exports."""
    run = stage.run
    after = transition.check(run.status)
    outcome: Outcome = "success" if after is RunStatus.SUCCEEDED else "failure"
    due = [
        *_create_notifications(stage, outcome, f"run.{after}", after, error),
        *create_pending_exports(stage.spec, run.job_file),
    ]
    ended = stage.ledger.move_run(run, after, error=error, due=due)
    send_pending(replace(stage, run=ended))
    return ended


def notify_stall(stage: StageContext, error: JobStalled) -> None:
    """Notify that the run's job stalls, once until it makes progress again."""
    run, ledger = stage.run, stage.ledger
    seen = len(ledger.list_event_ids(run.id, run.job_id)) if run.job_id else 0
    about = f"{run.job_id}:{seen}"
    notified = {
        call.request.get("via")
        for call in ledger.list_calls(run.id)
        if call.name == CALL and call.request.get("about") == about
    }
    for due in _create_notifications(stage, "stall", _STALLED, run.status, error.message):
        if due.request["via"] not in notified:
            ledger.record_intent(run.id, due.stage, due.name, {**due.request, "about": about})
    send_pending(stage)


def send_pending(stage: StageContext) -> None:
    """Send every open notification of the run, and every open export.

    The caller must hold the lock of the run.
    """
    for call in stage.ledger.list_calls(stage.run.id):
        if call.name == CALL and call.state == "intent":
            _send(stage, call)
    export_pending(stage.run, stage.context)


@in_run_scope
def send_pending_of_idle_run(run: Run, context: RunContext) -> None:
    """Send what an interrupted command left open, unless another process drives the run."""
    if not has_pending(run, context):
        return
    with hold_run(run, context.home) as held:
        if held:
            send_pending(StageContext.load(context.ledger.get_run(run.id), context))


def has_pending(run: Run, context: RunContext) -> bool:
    """Whether a notification or an export of the run is still open."""
    return context.ledger.find_open_call(run.id, CALL) is not None or has_pending_exports(
        run, context
    )


def warn_of_unusable_targets(stage: StageContext) -> None:
    """Warn at the start about targets that notifications cannot reach."""
    for target in _list_targets(stage).values():
        if trouble := stage.context.notifier.check(target):
            stage.observer.on_note(trouble)


def _create_notifications(
    stage: StageContext, outcome: Outcome, type: str, status: RunStatus, error: str | None
) -> Iterator[Intent]:
    """A notification for each target that the job file lists for this outcome."""
    if outcome not in stage.spec.notify.on:
        return
    run = stage.run
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
    for via in _list_targets(stage):
        request: dict[str, Json] = {
            "id": notification_id,
            "via": via,
            "outcome": outcome,
            "type": type,
            "timestamp": stage.clock.now().isoformat(timespec="seconds"),
            "data": data,
            "error": error,
        }
        yield Intent(Stage.FOLLOW, CALL, request)


def _send(stage: StageContext, call: RemoteCall) -> None:
    target = _list_targets(stage).get(get_value(call.request, "via", str))
    if target is None:
        stage.ledger.record_failed(call, "the job file does not name it any more")
        return
    notification = _read_notification(call)
    crashpoints.reach("notify.before_call")
    try:
        stage.context.notifier.notify(notification, target, stage.observer.on_note)
    except NotifyFailed as error:
        stage.ledger.record_failed(call, error.message)
        stage.observer.on_note(error.message)
        return
    crashpoints.reach("notify.after_call")
    stage.ledger.record_done(call, notification.id)


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


def _list_targets(stage: StageContext) -> dict[str, Target]:
    """The targets in the job file, by kind."""
    spec = stage.spec.notify
    targets: dict[str, Target] = {}
    if spec.command:
        targets["command"] = CommandTarget(spec.command, Path(stage.run.job_file).parent, spec.env)
    if spec.webhook_url and spec.webhook_secret_env:
        targets["webhook"] = WebhookTarget(spec.webhook_url, spec.webhook_secret_env)
    return targets
