"""Deploys fine-tuned models exactly once, and ends deployments, which may cost by the hour.

The intent is recorded in the ledger before the request is sent. A request without a clear response
is followed by a search for the deployment by its name, which only that request has. What the ledger
does not know to have ended counts as live: it is shown with its cost until the provider has none.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from ftops import crashpoints
from ftops.capabilities import DeploymentRule
from ftops.clock import Clock
from ftops.errors import FtopsError, NotFound, ProviderError, RunError, WaitedTooLong
from ftops.ledger.ledger import Ledger
from ftops.ledger.records import DeploymentRecord, RemoteCall
from ftops.providers.provider import Provider
from ftops.records import READY, Deployment, DeploymentRequest, Json, Stage
from ftops.runs.commands import format_command, format_run_command
from ftops.runs.context import StageContext
from ftops.runs.poll import JOB_LIMITS_S, PollBackoff, schedule_polls
from ftops.spec.model import JobSpec
from ftops.stage_results import get_value

CALL = "create_deployment"
NAME_PREFIX = "ftops-"
_LONGEST_START_S = 3600.0  # providers report up to 40 minutes
_GONE_PAUSES_S = (0.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)  # after a deletion was accepted
_FIRST_PAUSE_S = 1.0
_LAG = timedelta(minutes=1)  # until a new deployment is found for certain


def requires_deployment(spec: JobSpec, provider: Provider) -> bool:
    """Whether the model of this job answers only when it is deployed."""
    return provider.find_deployment_rule(spec.sections) is not None


def will_deploy(spec: JobSpec, provider: Provider) -> bool:
    """Whether a run of this job deploys its model, if the provider requires it."""
    is_used = spec.deploy.keep or bool(spec.evaluate.file or spec.validation_file)
    return is_used and provider.is_served(spec.model, spec.sections)


def check_end(stage: StageContext) -> None:
    """Raise RunError for a deployment that only ftops would end, unless the user allows it.

    Raises ProviderError if settings for a deployment are missing.
    """
    rule = stage.provider.find_deployment_rule(stage.spec.sections)
    if rule is None or not will_deploy(stage.spec, stage.provider):
        return
    stage.provider.check_deployment(stage.spec.sections)
    if stage.context.allow_open_ended or not rule.hourly or rule.ends != "never":
        return
    raise RunError(
        f"{stage.provider.name} bills a deployment by the hour and never ends it by itself;"
        " nothing was sent",
        hint="--allow-open-ended allows it: ftops ends it after the evaluation, but only while it"
        " runs. Without `evaluate.file` and `validation_file`, nothing is deployed.",
    )


def describe_deployment(spec: JobSpec, provider: Provider) -> str | None:
    """How the model of this job is deployed, how that ends, and what it costs."""
    rule = provider.find_deployment_rule(spec.sections)
    if rule is None:
        return None
    if not provider.is_served(spec.model, spec.sections):
        return f"none: the provider does not serve models that are fine-tuned from {spec.model}"
    if not will_deploy(spec, provider):
        return "none, as nothing is evaluated; the model answers nothing without one"
    provider.check_deployment(spec.sections)
    kept = "kept if the requirements are met" if spec.deploy.keep else "ended after the evaluation"
    if not rule.hourly:
        return f"costs by the token; {kept}"
    limit, limit_s = spec.limits.max_deployment_time, spec.limits.max_deployment_time_s
    ends = {
        "idle": f"by the provider after {limit} without requests",
        "expiry": f"by the provider after {limit}",
        "never": f"by ftops after {limit}, but only when a command runs",
    }[rule.ends]
    cost = "an unknown price an hour"
    if rule.hourly_usd is not None:
        worst = rule.hourly_usd * limit_s / 3600
        cost = f"about ${rule.hourly_usd:,.2f} an hour, ${worst:,.2f} in {limit}"
    return f"{cost}; {kept}, at the latest {ends}"


def find_live(stage: StageContext) -> DeploymentRecord | None:
    """The deployment of the run's model that the provider still has, with its state."""
    model = stage.run.fine_tuned_model or ""
    while record := stage.ledger.find_deployment(stage.provider.account, model):
        record = update(stage.ledger, stage.provider, record, stage.clock)
        if record.ended_at is None:
            return record
    return None


def update(
    ledger: Ledger,
    provider: Provider,
    record: DeploymentRecord,
    clock: Clock,
    *,
    is_deleted: bool = False,
) -> DeploymentRecord:
    """The record with the state that the provider reports, stored in the ledger.

    A deployment that was never ready may not be found yet in its first minute, unless `is_deleted`.
    """
    try:
        seen = provider.get_deployment(record.id)
    except NotFound:
        if not is_deleted and record.status != READY and clock.now() - record.created_at < _LAG:
            return record
        current = replace(record, status="deleted", ended_at=clock.now())
    else:
        current = replace(
            record,
            status=seen.status,
            call_name=seen.model or record.call_name,
            hourly_usd=record.hourly_usd if seen.hourly_usd is None else seen.hourly_usd,
            ends_at=seen.expires_at or record.ends_at,
            ended_at=clock.now() if seen.status == "deleted" else None,
        )
    if current != record:
        ledger.update_deployment(current)
    return current


def ensure_deployed(stage: StageContext) -> DeploymentRecord:
    """A ready deployment of the run's model: the live one, or a new one.

    RunError if it fails or is not ready after an hour; the provider's error if it refuses.
    """
    record = find_live(stage) or find_made(stage)
    if record is not None and record.status == "failed":
        end(stage.ledger, stage.provider, record, stage.clock)
        record = None
    return _wait_until_ready(stage, record or _create(stage))


def _create(stage: StageContext) -> DeploymentRecord:
    ledger, provider = stage.ledger, stage.provider
    request = make_request(stage, _make_name(stage))
    hourly_usd = provider.estimate_hourly_cost(request)
    stored: dict[str, Json] = {"name": request.name, "model": stage.run.fine_tuned_model}
    call = ledger.record_intent(stage.run.id, Stage.DEPLOY, CALL, stored)
    crashpoints.reach("deploy.before_call")
    try:
        deployment = provider.create_deployment(request)
    except ProviderError as error:
        if record := _find_of_call(stage, call, wait=not error.is_refusal):
            return record
        if error.is_refusal:
            ledger.record_failed(call, error.message)
            raise
        raise RunError(
            f"the deployment had an unclear result ({error.message}): it may or may not exist",
            hint=f"{format_run_command(stage.run)} looks for it before it deploys again.",
        ) from error
    crashpoints.reach("deploy.after_call")
    return _record(stage, call, deployment, hourly_usd)


def find_made(stage: StageContext) -> DeploymentRecord | None:
    """The deployment of an unanswered request; the request is closed if there is none."""
    call = stage.ledger.find_open_call(stage.run.id, CALL)
    if call is None:
        return None
    record = _find_of_call(stage, call, wait=True)
    if record is None:
        stage.ledger.record_failed(call, "the provider has no such deployment")
    return record


def _find_of_call(stage: StageContext, call: RemoteCall, *, wait: bool) -> DeploymentRecord | None:
    request = make_request(stage, get_value(call.request, "name", str))
    pauses_s = (_FIRST_PAUSE_S * 2**attempt for attempt in itertools.count())
    lag_s = stage.provider.capabilities.listing_lag_s if wait else 0.0
    for _ in schedule_polls(stage.clock, pauses_s, timeout_s=lag_s, sleep=stage.sleep):
        if deployment := stage.provider.find_deployment(request):
            stage.observer.on_note(f"found {deployment.id}, which an earlier request had deployed")
            return _record(stage, call, deployment, None)
    return None


def make_request(stage: StageContext, name: str) -> DeploymentRequest:
    """The request that deploys the run's model under `name`."""
    if stage.run.job_id is None or stage.run.fine_tuned_model is None:
        raise RunError(f"{stage.run.id} has made no model")
    job = stage.provider.get_job(stage.run.job_id)
    max_s = stage.spec.limits.max_deployment_time_s
    return DeploymentRequest(name, job, max_s, stage.spec.sections)


def _make_name(stage: StageContext) -> str:
    """A name that no other deployment has: the run's id and a number."""
    made = sum(call.name == CALL for call in stage.ledger.list_calls(stage.run.id))
    rule = stage.provider.find_deployment_rule(stage.spec.sections)
    longest = (rule or DeploymentRule()).name_max - len(NAME_PREFIX)
    tail = f"{stage.run.id.removeprefix('run-')}-{made + 1}"
    return NAME_PREFIX + tail[-longest:].strip("-")


def _record(
    stage: StageContext, call: RemoteCall, deployment: Deployment, hourly_usd: float | None
) -> DeploymentRecord:
    now = stage.clock.now()
    rule = stage.provider.find_deployment_rule(stage.spec.sections)
    if deployment.hourly_usd is not None:
        hourly_usd = deployment.hourly_usd
    elif hourly_usd is None and rule is not None:
        hourly_usd = rule.hourly_usd if rule.hourly else 0.0
    limit = timedelta(seconds=stage.spec.limits.max_deployment_time_s)
    record = DeploymentRecord(
        account=stage.provider.account,
        id=deployment.id,
        run_id=stage.run.id,
        provider=stage.run.provider,
        name=get_value(call.request, "name", str),
        model=stage.run.fine_tuned_model or "",
        call_name=deployment.model,
        status=deployment.status,
        created_at=deployment.created_at or now,
        hourly_usd=hourly_usd,
        ends_at=deployment.expires_at or (now + limit if rule and rule.hourly else None),
    )
    stage.ledger.record_deployment(call, record)
    return record


def _wait_until_ready(stage: StageContext, record: DeploymentRecord) -> DeploymentRecord:
    backoff = PollBackoff(stage, JOB_LIMITS_S, f"{record.name} may still start, asking again")
    pauses_s = itertools.repeat(stage.provider.capabilities.poll_every_s)
    for _ in schedule_polls(stage.clock, pauses_s, timeout_s=_LONGEST_START_S, sleep=stage.sleep):
        if record.status == READY:
            return record
        if record.ended_at or record.status == "failed":
            raise _give_up(stage, record)
        record = _poll(stage, record, backoff)
    raise RunError(
        f"{record.name} is {record.status} after an hour, and may cost by the hour",
        hint=f"{format_command('undeploy', record.name)} ends it;"
        f" {format_run_command(stage.run)} waits on.",
    )


def _poll(stage: StageContext, record: DeploymentRecord, backoff: PollBackoff) -> DeploymentRecord:
    while True:
        try:
            current = update(stage.ledger, stage.provider, record, stage.clock)
        except ProviderError as error:
            if backoff.is_over(error):
                raise error.reworded(
                    f"{error.message}; {record.name} may still cost by the hour",
                    f"{format_command('undeploy', record.name)} ends it. {error.hint}".strip(),
                ) from error
            backoff.pause(error, stage.provider.capabilities.poll_every_s)
        else:
            backoff.record_success()
            if current.status != record.status:
                stage.observer.on_note(f"the deployment {record.name} is {current.status}")
            return current


def _give_up(stage: StageContext, record: DeploymentRecord) -> RunError:
    """The error for a deployment that failed; it is deleted, as a failed one may cost, too."""
    reason = ""
    if record.ended_at is None:
        reason = stage.provider.get_deployment(record.id).error
        end(stage.ledger, stage.provider, record, stage.clock)
    return RunError(
        f"the deployment {record.name} of {record.model} failed"
        f" ({reason or 'the provider gives no reason'}); the model itself is unharmed",
        hint=f"{format_run_command(stage.run)} deploys it again.",
    )


def end(
    ledger: Ledger, provider: Provider, record: DeploymentRecord, clock: Clock
) -> DeploymentRecord:
    """Delete the deployment, and wait until the provider has none; returns its last state.

    The record stays live if the provider still shows it after two minutes.
    """
    with contextlib.suppress(NotFound):
        provider.delete_deployment(record.id)
    for _ in schedule_polls(clock, _GONE_PAUSES_S):
        record = update(ledger, provider, record, clock, is_deleted=True)
        if record.ended_at is not None:
            break
    return record


@contextlib.contextmanager
def deployed(stage: StageContext) -> Iterator[None]:
    """Deploy the run's model for the block, if its provider requires that.

    The deployment outlives the block, which may be repeated, but not an error in it.
    """
    if not requires_deployment(stage.spec, stage.provider):
        yield
        return
    ensure_deployed(stage)
    try:
        yield
    except WaitedTooLong:
        raise  # the next command continues
    except FtopsError:
        end_all(stage)
        raise


def end_unless_kept(stage: StageContext) -> None:
    """End the deployments of a run whose stages are done, if they are not to be kept."""
    evaluation = stage.read_results().evaluate
    if not stage.spec.deploy.keep or (evaluation is not None and evaluation.missed):
        end_all(stage)


def end_all(stage: StageContext) -> None:
    """End the live deployments of the run; a failure is a note, as they stay in the ledger."""
    for record in stage.ledger.list_deployments():
        if record.run_id == stage.run.id:
            _end_with_note(stage, record)


def end_overdue(stage: StageContext) -> None:
    """End the deployments of the run's account whose time is over."""
    for record in list_overdue(stage.ledger, stage.clock):
        if record.account == stage.provider.account:
            _end_with_note(stage, record)


def list_overdue(ledger: Ledger, clock: Clock) -> Iterator[DeploymentRecord]:
    """The live deployments whose time is over."""
    now = clock.now()
    for record in ledger.list_deployments():
        if record.ends_at is not None and record.ends_at <= now:
            yield record


def _end_with_note(stage: StageContext, record: DeploymentRecord) -> None:
    try:
        ended = end(stage.ledger, stage.provider, record, stage.clock)
    except FtopsError as error:
        stage.observer.on_note(
            f"{record.name} was not ended, and may cost by the hour: {error.message}."
            f" {format_command('undeploy', record.name)} tries again"
        )
        return
    if ended.ended_at is None:
        stage.observer.on_note(
            f"{record.name} is still {ended.status} after its deletion was accepted;"
            f" {format_command('undeploy', record.name)} asks again"
        )
        return
    cost = ended.get_cost_usd(stage.clock.now())
    about = f" (about ${cost:,.2f})" if cost else ""
    stage.observer.on_note(f"the deployment {record.name} has ended{about}")
