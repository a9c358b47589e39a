"""Jobs by the legacy protocol, `/v1/fine-tunes`: what `jobs.py` is for the current one.

A legacy job carries no metadata, its events have no ids, its lists no pages. What happens to it is
told over a stream, which begins with the first event each time it is opened. The stream is for
speed alone: whatever becomes of it, `list_events` knows everything.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

import httpx2
import openai

from ftops.capabilities import Capabilities
from ftops.clock import Clock
from ftops.errors import BadAnswer, ProviderError, Rejected
from ftops.http.client import READ_TIMEOUT_S, make_timeout
from ftops.providers.calls import Caller, read_answer
from ftops.providers.event_stream import read_data
from ftops.providers.jobs import (
    CREATE_TIMEOUT_S,
    has_same_figures,
    make_headers,
    render_hyperparameters,
)
from ftops.providers.provider import JobFilter
from ftops.providers.wire import Fields, read_event, read_ids, read_job, read_object
from ftops.records import (
    Checkpoint,
    Job,
    JobError,
    JobEvent,
    JobRequest,
    Json,
)

_LEAST_WAIT_S = 1.0  # between two streams, when a server or a proxy ends each at once
_END = b"[DONE]"
_FAILED = "Fine-tune failed. "


def render_request(request: JobRequest, capabilities: Capabilities) -> dict[str, Json]:
    """The JSON that asks for the job; what the user left open, or to "auto", is left out.

    Raises Rejected for what this protocol would ignore.
    """
    for name in ("seed", "metadata"):
        if getattr(request, name) not in (None, {}):
            raise Rejected(f"the legacy protocol takes no {name}; nothing was sent")
    body: dict[str, Json] = {"model": request.model, "training_file": request.training_file}
    for name in ("validation_file", "suffix"):
        if value := getattr(request, name):
            body[name] = value
    given = render_hyperparameters(request.hyperparameters, capabilities)
    return body | {name: value for name, value in given.items() if value != "auto"}


def create_job(caller: Caller, request: JobRequest, capabilities: Capabilities) -> Job:
    """Send the request exactly once."""
    doing = f"create a job on {request.model}"
    body = render_request(request, capabilities)
    answer = caller.once(
        doing,
        lambda client: _post(
            client, "/fine-tunes", body, make_headers(request), timeout_s=CREATE_TIMEOUT_S
        ),
    )
    return _read_job(read_answer(answer, doing))


def find_job(
    caller: Caller, request: JobRequest, _capabilities: Capabilities, job_filter: JobFilter
) -> Job | None:
    """The newest job that was asked for in these words and has not ended badly.

    The protocol keeps the suffix in the model's name alone, so it counts once there is a model.
    """
    listed = caller.fetch("list the jobs", lambda client: _get(client, "/fine-tunes"))
    jobs = [_read_job(fields) for fields in listed.get_objects("data")]
    same = [job for job in jobs if _is_same(job, request) and job_filter(job)]
    return max(reversed(same), key=lambda job: job.created_at, default=None)


def list_checkpoints(_caller: Caller, _job_id: str) -> list[Checkpoint]:
    """None: this protocol knows the finished model alone."""
    return []


def fetch_job(caller: Caller, job_id: str) -> Job:
    """The job as it stands."""
    return _read_job(
        caller.fetch(f"look up the job {job_id}", lambda client: _get(client, _path(job_id)))
    )


def cancel_job(caller: Caller, job_id: str) -> Job:
    """Cancel; a job that is cancelled already comes back as it is, so that this may be repeated."""
    try:
        answer = caller.fetch(
            f"cancel the job {job_id}", lambda client: _post(client, _path(job_id, "cancel"))
        )
    except Rejected:
        job = fetch_job(caller, job_id)
        if job.status == "cancelled":
            return job
        raise
    return _read_job(answer)


def pause_job(_caller: Caller, job_id: str) -> Job:
    """Refused: this protocol has no way to say it."""
    raise Rejected(f"the legacy protocol cannot pause the job {job_id}; nothing was sent")


def resume_job(_caller: Caller, job_id: str) -> Job:
    """Refused, like `pause_job`."""
    raise Rejected(f"the legacy protocol cannot resume the job {job_id}; nothing was sent")


def list_events(caller: Caller, job_id: str, known: frozenset[str]) -> list[JobEvent]:
    """The events that are not in `known`, oldest first, each once."""
    listed = caller.fetch(
        f"list the events of {job_id}", lambda client: _get(client, _path(job_id, "events"))
    )
    events = number_events(listed.get_objects("data"))
    return [event for event in events if event.id not in known]


def stream_events(
    caller: Caller, clock: Clock, job_id: str, known: frozenset[str], wait_s: float
) -> Iterator[JobEvent]:
    """What happens to the job within `wait_s`, as it happens; less when the stream ends before.

    A server that goes on sending, or falls silent at the last moment, may make it twice as long.
    Where there is no stream, the time passes all the same.
    """
    began_s = clock.monotonic_s()
    least_s = wait_s
    # Whatever it was: the next question shows it if it lasts, and has the patience for it.
    with contextlib.suppress(ProviderError), _open_stream(caller, job_id, wait_s) as pieces:
        least_s = min(wait_s, _LEAST_WAIT_S)
        in_time = _take_until(pieces, clock, began_s + wait_s)
        for event in number_events(_read_stream(caller, in_time, f"follow {job_id}")):
            if event.id not in known:
                yield event
    clock.sleep(max(0.0, began_s + least_s - clock.monotonic_s()))


def number_events(items: Iterable[Fields]) -> Iterator[JobEvent]:
    """The events, all from the first one on, with the ids that they have whenever they are read.

    An id is made of what the event says and of how many equal ones there are before it.
    """
    equals: Counter[str] = Counter()
    for fields in items:
        event = read_event(fields)
        equals[event.id] += 1
        number = equals[event.id]
        yield replace(
            event,
            id=event.id if number == 1 else f"{event.id}-{number}",
            data=event.data or _find_epoch(event.message),
        )


def _find_epoch(message: str) -> dict[str, Json]:
    """How far the training is: this protocol says it in words alone."""
    found = re.fullmatch(r"Completed epoch ([0-9]{1,9})/([0-9]{1,9})", message)
    return {"epoch": int(found[1]), "n_epochs": int(found[2])} if found else {}


@contextlib.contextmanager
def _open_stream(caller: Caller, job_id: str, wait_s: float) -> Iterator[Iterator[bytes]]:
    """The bytes of the job's event stream; BadAnswer when the answer is something else."""
    doing = f"follow {job_id}"
    opened = caller.once(
        doing,
        lambda client: client.get(
            _path(job_id, "events"),
            cast_to=object,
            options={
                "params": {"stream": "true"},
                "headers": {"Accept": "text/event-stream"},
                "timeout": make_timeout(wait_s),
            },
            stream=True,
            stream_cls=openai.Stream[object],
        ),
    )
    with opened:
        kind = opened.response.headers.get("content-type", "")
        if "text/event-stream" not in kind:
            raise BadAnswer(f"{doing}: the answer is no stream of events but {kind or 'untyped'}")
        yield caller.pieces(doing, opened.response.iter_bytes())


def _take_until(pieces: Iterable[bytes], clock: Clock, until_s: float) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        if clock.monotonic_s() >= until_s:
            return


def _read_stream(caller: Caller, pieces: Iterable[bytes], doing: str) -> Iterator[Fields]:
    """The events in a stream, until it says that it ends; BadAnswer for anything else in it."""
    for data in read_data(pieces):
        if data.strip() == _END:
            return
        fields = read_object(caller.clear(data), doing)
        fields.get_text("message")
        yield fields


def _read_job(fields: Fields) -> Job:
    """The record of a legacy job: files stand in it whole, figures under `hyperparams`."""
    job = read_job(fields)
    training, validation = (
        read_ids(fields.values.get(name)) for name in ("training_files", "validation_files")
    )
    figures = fields.find_object("hyperparams").values
    return replace(
        job,
        training_file=training[0] if training else None,
        validation_file=validation[0] if validation else None,
        finished_at=fields.find_moment("updated_at") if job.ended else None,
        hyperparameters={
            name: value for name, value in figures.items() if isinstance(value, int | float | str)
        },
        error=_find_error(fields) if job.status == "failed" else None,
    )


def _find_error(fields: Fields) -> JobError | None:
    """Why a job failed: this protocol says it in the last event alone."""
    events = fields.values.get("events")
    last = events[-1] if isinstance(events, list) and events else None
    message = last.get("message") if isinstance(last, dict) else None
    if not isinstance(message, str):
        return None
    return JobError(code="", message=message.removeprefix(_FAILED))


def _is_same(job: Job, request: JobRequest) -> bool:
    return (
        job.status not in ("failed", "cancelled")
        and job.training_file == request.training_file
        and job.validation_file == request.validation_file
        and job.model == request.model
        and has_same_figures(job, request.hyperparameters)
        and (job.fine_tuned_model is None or _has_suffix(job.fine_tuned_model, request.suffix))
    )


def _has_suffix(model: str, suffix: str | None) -> bool:
    """Whether the name `BASE:ft-ORGANIZATION[:SUFFIX]-DATE` may come of that suffix."""
    tail = model.partition(":ft-")[2].partition(":")[2]
    wanted = re.sub(r"[^a-z0-9]+", "-", (suffix or "").lower()).strip("-")
    return re.sub(r"[^a-z0-9]+", "-", tail.lower()).startswith(wanted) if wanted else not tail


@dataclass(frozen=True, slots=True)
class _Answer:
    """A `RawAnswer` of an endpoint for which the client has no method of its own."""

    content: bytes
    request_id: str | None


def _get(client: openai.OpenAI, path: str) -> _Answer:
    return _answer(client.get(path, cast_to=httpx2.Response))


def _post(
    client: openai.OpenAI,
    path: str,
    body: dict[str, Json] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    timeout_s: float = READ_TIMEOUT_S,
) -> _Answer:
    return _answer(
        client.post(
            path,
            cast_to=httpx2.Response,
            body=body,
            options={"timeout": make_timeout(timeout_s), "headers": headers or {}},
        )
    )


def _answer(response: httpx2.Response) -> _Answer:
    return _Answer(response.content, response.headers.get("x-request-id"))


def _path(job_id: str, *more: str) -> str:
    """Where the job is; ValueError, as from the client, for an id that would lead elsewhere."""
    if not job_id.strip("."):
        raise ValueError(f"{job_id!r} is not the id of a job")
    return "/".join(("/fine-tunes", quote(job_id, safe=""), *more))
