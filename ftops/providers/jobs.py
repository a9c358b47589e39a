"""Fine-tuning jobs by the current protocol: how one is asked for and found, and what it tells.

`fine_tunes.py` does the same by the legacy protocol.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, cast

import openai

from ftops.capabilities import Capabilities
from ftops.clock import Clock
from ftops.errors import NotFound, Rejected
from ftops.http.client import make_timeout
from ftops.providers.calls import Caller, RawAnswer, Send, read_answer, turn_pages
from ftops.providers.provider import RUN_ID_METADATA, RUN_KEY_METADATA, JobFilter
from ftops.providers.wire import Fields, read_checkpoint, read_event, read_job
from ftops.records import (
    Checkpoint,
    Hyperparameters,
    Job,
    JobEvent,
    JobRequest,
    Json,
    Method,
)

_RESTING = frozenset({"pausing", "paused"})
_PAGE = 100
_MOST_JOBS_LOOKED_AT = 500
CREATE_TIMEOUT_S = 120.0


def render_request(request: JobRequest, capabilities: Capabilities) -> dict[str, Json]:
    """The JSON that asks for the job; what the user left open is left out.

    Raises Rejected for a method or a hyperparameter that the provider would ignore.
    """
    given = render_hyperparameters(request.hyperparameters, capabilities)
    body: dict[str, Json] = {"model": request.model, "training_file": request.training_file}
    for name in ("validation_file", "suffix", "seed"):
        value = getattr(request, name)
        if value is not None and value != "":
            body[name] = value
    if request.metadata:
        body["metadata"] = dict(request.metadata)
    if request.method not in capabilities.methods:
        raise Rejected(f"this provider does not train by {request.method}; nothing was sent")
    name = request.method.value
    if given:
        body["method"] = {"type": name, name: {"hyperparameters": given}}
    elif request.method is not Method.SUPERVISED:
        body["method"] = {"type": name}
    return body


def render_hyperparameters(figures: Hyperparameters, capabilities: Capabilities) -> dict[str, Json]:
    """The hyperparameters as JSON; Rejected for one that the provider would ignore."""
    given: dict[str, Json] = {}
    for name, value in asdict(figures).items():
        if value is None:
            continue
        if name in capabilities.hyperparameters:
            given[name] = list(value) if isinstance(value, tuple) else value
        elif value != "auto":
            raise Rejected(f"this provider takes no hyperparameter {name!r}; nothing was sent")
    return given


def make_headers(request: JobRequest) -> dict[str, str]:
    """The header by which a server that knows it recognises a request that is sent again."""
    return {"Idempotency-Key": request.idempotency_key} if request.idempotency_key else {}


def create_job(caller: Caller, request: JobRequest, capabilities: Capabilities) -> Job:
    """Send the request exactly once."""
    doing = f"create a job on {request.model}"
    # The client's own types do not know every hyperparameter that servers of this protocol take.
    body = cast(Mapping[str, Any], render_request(request, capabilities))
    raw = caller.once(
        doing,
        lambda client: client.fine_tuning.jobs.with_raw_response.create(
            **body,
            extra_headers=make_headers(request),
            timeout=make_timeout(CREATE_TIMEOUT_S),
        ),
    )
    return read_job(read_answer(raw, doing))


def find_job(
    caller: Caller, request: JobRequest, capabilities: Capabilities, job_filter: JobFilter
) -> Job | None:
    """The newest job that this request made, if any.

    Told by its metadata: the mark of its run, or of its key when the request has only that. Where a
    provider keeps none at all, a job that was asked for in the same words and has not ended badly
    counts as the one.
    """
    mark = _find_mark(request)
    if capabilities.metadata and mark:
        listed = _list_marked_jobs(caller, mark)
        marked = [item for item in listed if mark.items() <= item.find_texts("metadata").items()]
        if marked:
            return next(filter(job_filter, map(read_job, marked)), None)
        listed = listed or _list_jobs(caller, _PAGE, None)
        if any(fields.find_texts("metadata") for fields in listed):
            return None
    else:
        listed = _list_jobs(caller, _MOST_JOBS_LOOKED_AT, None)
    same = (read_job(fields) for fields in listed if _is_same(fields, request))
    return next(filter(job_filter, same), None)


def _find_mark(request: JobRequest) -> dict[str, str]:
    for name in (RUN_ID_METADATA, RUN_KEY_METADATA):
        if value := request.metadata.get(name):
            return {name: value}
    return {}


def _list_marked_jobs(caller: Caller, mark: dict[str, str]) -> list[Fields]:
    """What the provider lists when asked for the marked jobs; some list all jobs regardless."""
    try:
        return _list_jobs(caller, _MOST_JOBS_LOOKED_AT, mark)
    except Rejected:  # it does not know the filter
        return _list_jobs(caller, _MOST_JOBS_LOOKED_AT, None)


def _list_jobs(caller: Caller, most: int, metadata: dict[str, str] | None) -> list[Fields]:
    """The latest jobs, newest first."""
    pages = turn_pages(
        lambda after: caller.fetch(
            "list the jobs",
            lambda client: client.fine_tuning.jobs.with_raw_response.list(
                limit=_PAGE, after=after or openai.omit, metadata=metadata or openai.omit
            ),
        )
    )
    return list(itertools.islice(itertools.chain.from_iterable(pages), most))


def _is_same(fields: Fields, request: JobRequest) -> bool:
    job = read_job(fields)
    suffix = fields.find_text("suffix") or fields.find_text("user_provided_suffix")
    return (
        job.status not in ("failed", "cancelled")
        and job.training_file == request.training_file
        and job.validation_file == request.validation_file
        # An alias such as gpt-4o-mini comes back with its date.
        and job.model.startswith(request.model)
        and (suffix is None or suffix == request.suffix)
        and (job.seed is None or request.seed is None or job.seed == request.seed)
        and has_same_figures(job, request.hyperparameters)
    )


def has_same_figures(job: Job, wanted: Hyperparameters) -> bool:
    """Whether no figure of the job is another than the one that was asked for.

    What "auto" becomes, and what the job does not tell, may be anything.
    """
    for name, told in job.hyperparameters.items():
        value = getattr(wanted, name, None)
        if isinstance(value, int | float) and told not in ("auto", value):
            return False
    return True


def list_events(caller: Caller, job_id: str, known: frozenset[str]) -> list[JobEvent]:
    """The events that are not in `known`, oldest first, each once.

    Pages come newest first; turning them stops at one that holds a known event, because all that
    follows is older. A server that lists the oldest first is read to the end. That a page is the
    last one is only believed when there is no gap before what is known: a wrong `has_more` would
    otherwise lose what lies in between for good.
    """
    events, is_whole = _read_events(caller, job_id, known)
    if not is_whole:  # what a page left out is lost for good once newer events are known
        events, _ = _read_events(caller, job_id, known)
    return events


def _read_events(caller: Caller, job_id: str, known: frozenset[str]) -> tuple[list[JobEvent], bool]:
    """The events, and whether they go back to what is known; no events at all are suspect, too."""
    events: list[JobEvent] = []
    oldest_first = reached = False
    for page in _turn_event_pages(caller, job_id, known):
        oldest_first = oldest_first or page[0].created_at < page[-1].created_at
        events += [event for event in page if event.id not in known]
        reached = reached or any(event.id in known for event in page)
        if reached and not oldest_first:
            break
    if not oldest_first:
        events.reverse()
    is_whole = reached if known else bool(events)
    return list({event.id: event for event in events}.values()), is_whole


def _turn_event_pages(
    caller: Caller, job_id: str, known: frozenset[str]
) -> Iterator[list[JobEvent]]:
    reached = False

    def is_last(items: list[Fields]) -> bool:
        nonlocal reached
        reached = reached or any(read_event(fields).id in known for fields in items)
        return reached if known else len(items) < _PAGE

    pages = turn_pages(
        lambda after: caller.fetch(
            f"list the events of {job_id}",
            lambda client: client.fine_tuning.jobs.with_raw_response.list_events(
                job_id, limit=_PAGE, after=after or openai.omit
            ),
        ),
        is_last=is_last,
    )
    has_begun = False
    try:
        for page in pages:
            has_begun = True
            yield [read_event(fields) for fields in page]
    except (Rejected, NotFound):
        if not has_begun:
            raise
        # The server refuses the cursor of a later page: what it lists without one is all there is.


def stream_events(
    _caller: Caller, clock: Clock, _job_id: str, _known: frozenset[str], wait_s: float
) -> Iterator[JobEvent]:
    """This protocol has no stream of events: the time passes, and `list_events` tells."""
    clock.sleep(wait_s)
    return iter(())


def list_checkpoints(caller: Caller, job_id: str) -> list[Checkpoint]:
    """The models that the job left on its way, by step."""
    pages = turn_pages(
        lambda after: caller.fetch(
            f"list the checkpoints of {job_id}",
            lambda client: client.fine_tuning.jobs.checkpoints.with_raw_response.list(
                job_id, limit=_PAGE, after=after or openai.omit
            ),
        )
    )
    found = [read_checkpoint(fields) for page in pages for fields in page]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def fetch_job(caller: Caller, job_id: str) -> Job:
    """The job as it stands."""
    return read_job(
        caller.fetch(
            f"look up the job {job_id}",
            lambda client: client.fine_tuning.jobs.with_raw_response.retrieve(job_id),
        )
    )


def cancel_job(caller: Caller, job_id: str) -> Job:
    """Cancel; a job that is cancelled already comes back as it is, so that this may be repeated."""
    return _ask_for(
        caller,
        job_id,
        "cancel",
        lambda client: client.fine_tuning.jobs.with_raw_response.cancel(job_id),
        lambda job: job.status == "cancelled",
    )


def pause_job(caller: Caller, job_id: str) -> Job:
    """Let the job wait; one that waits, or is about to, comes back as it is."""
    return _ask_for(
        caller,
        job_id,
        "pause",
        lambda client: client.fine_tuning.jobs.with_raw_response.pause(job_id),
        lambda job: job.status in _RESTING,
    )


def resume_job(caller: Caller, job_id: str) -> Job:
    """Let a paused job go on; one that has not ended and does not wait comes back as it is."""
    return _ask_for(
        caller,
        job_id,
        "resume",
        lambda client: client.fine_tuning.jobs.with_raw_response.resume(job_id),
        lambda job: not job.ended and job.status not in _RESTING,
    )


def _ask_for(
    caller: Caller,
    job_id: str,
    verb: str,
    send: Send[RawAnswer],
    is_so: Callable[[Job], bool],
) -> Job:
    """Ask for a change of the job; a refusal is none where the job is already as it should be."""
    try:
        return read_job(caller.fetch(f"{verb} the job {job_id}", send))
    except Rejected:
        job = fetch_job(caller, job_id)
        if is_so(job):
            return job
        raise
