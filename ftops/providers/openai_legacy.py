"""Jobs in OpenAI's legacy protocol, `/v1/fine-tunes`; files, models and completions are the same.

A legacy job has no metadata, its events have no ids, and lists have no pages. Events arrive over a
stream that starts with the first event each time it is opened. The stream only delivers them
sooner: `list_events` returns all events even if it fails.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from urllib.parse import quote

import httpx2
import openai

from ftops.capabilities import Capabilities
from ftops.errors import InvalidResponse, ProviderError, Rejected
from ftops.http.client import READ_TIMEOUT_S, make_timeout
from ftops.http.response import JsonObject, parse_object, read_event_data
from ftops.providers.openai import CREATE_TIMEOUT_S, OpenAIProvider, build_openai
from ftops.providers.openai_request import (
    has_same_hyperparameters,
    render_headers,
    render_hyperparameters,
)
from ftops.providers.openai_response import read_event, read_ids, read_job
from ftops.providers.provider import JobFilter, Provider, any_job
from ftops.records import FAILED_JOB_STATUSES, Job, JobError, JobEvent, JobRequest, Json

_MIN_WAIT_S = 1.0  # between two streams if a server or a proxy ends each at once
_END = b"[DONE]"
_FAILED = "Fine-tune failed. "


class OpenAILegacyProvider(OpenAIProvider):
    """An `OpenAIProvider` that creates and follows jobs by `/v1/fine-tunes`."""

    def create_job(self, request: JobRequest) -> Job:
        action = f"create a job on {request.model}"
        body = render_legacy_request(request, self.capabilities)
        response = self._api.send_once(
            action,
            lambda sdk: _post(
                sdk, "/fine-tunes", body, render_headers(request), timeout_s=CREATE_TIMEOUT_S
            ),
        )
        return _read_job(self._api.parse(response, action))

    def find_job(self, request: JobRequest, *, job_filter: JobFilter = any_job) -> Job | None:
        """The newest job with the same parameters that has not failed.

        The protocol has the suffix only in the model's name, so it is compared once there is a
        model.
        """
        listed = self._api.fetch("list the jobs", lambda sdk: _get(sdk, "/fine-tunes"))
        jobs = [_read_job(fields) for fields in listed.get_objects("data")]
        same = [job for job in jobs if _is_same(job, request) and job_filter(job)]
        return max(reversed(same), key=lambda job: job.created_at, default=None)

    def cancel_job(self, job_id: str) -> Job:
        try:
            fields = self._api.fetch(
                f"cancel the job {job_id}", lambda sdk: _post(sdk, _path(job_id, "cancel"))
            )
        except Rejected:
            job = self._fetch_job(job_id)
            if job.status == "cancelled":
                return job
            raise
        return _read_job(fields)

    def pause_job(self, job_id: str) -> Job:
        raise Rejected(f"the legacy protocol cannot pause the job {job_id}; nothing was sent")

    def resume_job(self, job_id: str) -> Job:
        raise Rejected(f"the legacy protocol cannot resume the job {job_id}; nothing was sent")

    def list_events(self, job_id: str, *, known: frozenset[str]) -> list[JobEvent]:
        listed = self._api.fetch(
            f"list the events of {job_id}", lambda sdk: _get(sdk, _path(job_id, "events"))
        )
        events = number_events(listed.get_objects("data"))
        return [event for event in events if event.id not in known]

    def stream_events(
        self, job_id: str, *, known: frozenset[str], wait_s: float
    ) -> Iterator[JobEvent]:
        """Yield the job's events for up to `wait_s`, as they happen, or until the stream ends.

        A server that keeps sending, or stops sending at the last moment, may double the wait.
        Without a stream it waits for the same time.
        """
        started_s = self.clock.monotonic_s()
        min_wait_s = wait_s
        # Errors are ignored: if they persist, the next request reports them.
        with contextlib.suppress(ProviderError), self._open_stream(job_id, wait_s) as pieces:
            min_wait_s = min(wait_s, _MIN_WAIT_S)
            in_time = self._take_until(pieces, started_s + wait_s)
            for event in number_events(self._read_stream(in_time, f"follow {job_id}")):
                if event.id not in known:
                    yield event
        self.clock.sleep(max(0.0, started_s + min_wait_s - self.clock.monotonic_s()))

    list_checkpoints = Provider.list_checkpoints  # this protocol has only the finished model

    def _fetch_job(self, job_id: str) -> Job:
        return _read_job(
            self._api.fetch(f"look up the job {job_id}", lambda sdk: _get(sdk, _path(job_id)))
        )

    @contextlib.contextmanager
    def _open_stream(self, job_id: str, wait_s: float) -> Iterator[Iterator[bytes]]:
        """The bytes of the job's event stream; InvalidResponse for any other response."""
        action = f"follow {job_id}"
        stream = self._api.send_once(
            action,
            lambda sdk: sdk.get(
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
        with stream:
            content_type = stream.response.headers.get("content-type", "")
            if "text/event-stream" not in content_type:
                raise InvalidResponse(
                    f"{action}: the response is {content_type or 'untyped'}, not an event stream"
                )
            yield self._api.read_stream(action, stream.response.iter_bytes())

    def _take_until(self, pieces: Iterable[bytes], until_s: float) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            if self.clock.monotonic_s() >= until_s:
                return

    def _read_stream(self, pieces: Iterable[bytes], action: str) -> Iterator[JsonObject]:
        """The events in a stream, until its end; InvalidResponse for anything else in it."""
        for data in read_event_data(pieces):
            if data.strip() == _END:
                return
            fields = parse_object(self._api.redact(data), action)
            fields.get_text("message")
            yield fields


build_openai_legacy = partial(build_openai, provider_class=OpenAILegacyProvider)


def render_legacy_request(request: JobRequest, capabilities: Capabilities) -> dict[str, Json]:
    """The body of the request that creates a job, without fields that are unset or "auto".

    Raises Rejected for fields that this protocol would ignore.
    """
    for name in ("seed", "metadata"):
        if getattr(request, name) not in (None, {}):
            raise Rejected(f"the legacy protocol takes no {name}; nothing was sent")
    body: dict[str, Json] = {"model": request.model, "training_file": request.training_file}
    for name in ("validation_file", "suffix"):
        if value := getattr(request, name):
            body[name] = value
    return body | render_hyperparameters(request.hyperparameters, capabilities)


def number_events(items: Iterable[JsonObject]) -> Iterator[JobEvent]:
    """Read the events with stable ids; `items` starts with the first event of the job.

    An id consists of a hash of the event's content and the number of equal events before it.
    """
    counts: Counter[str] = Counter()
    for fields in items:
        event = read_event(fields)
        counts[event.id] += 1
        number = counts[event.id]
        yield replace(
            event,
            id=event.id if number == 1 else f"{event.id}-{number}",
            data=event.data or _read_epoch(event.message),
        )


def _read_epoch(message: str) -> dict[str, Json]:
    """The epoch that training has reached: in this protocol only the message has it."""
    match = re.fullmatch(r"Completed epoch ([0-9]{1,9})/([0-9]{1,9})", message)
    return {"epoch": int(match[1]), "n_epochs": int(match[2])} if match else {}


def _read_job(fields: JsonObject) -> Job:
    """Read a legacy job: it has file objects, and its hyperparameters under `hyperparams`."""
    job = read_job(fields)
    training, validation = (
        read_ids(fields.values.get(name)) for name in ("training_files", "validation_files")
    )
    hyperparameters = fields.get_object("hyperparams").values
    return replace(
        job,
        training_file=training[0] if training else None,
        validation_file=validation[0] if validation else None,
        finished_at=fields.find_time("updated_at") if job.ended else None,
        hyperparameters={
            name: value
            for name, value in hyperparameters.items()
            if isinstance(value, int | float | str)
        },
        error=_find_error(fields) if job.status == "failed" else None,
    )


def _find_error(fields: JsonObject) -> JobError | None:
    """The reason why a job failed: in this protocol only the last event has it."""
    events = fields.values.get("events")
    last = events[-1] if isinstance(events, list) and events else None
    message = last.get("message") if isinstance(last, dict) else None
    if not isinstance(message, str):
        return None
    return JobError(code="", message=message.removeprefix(_FAILED))


def _is_same(job: Job, request: JobRequest) -> bool:
    return (
        job.status not in FAILED_JOB_STATUSES
        and job.training_file == request.training_file
        and job.validation_file == request.validation_file
        and job.model == request.model
        and has_same_hyperparameters(job, request.hyperparameters)
        and (job.fine_tuned_model is None or _has_suffix(job.fine_tuned_model, request.suffix))
    )


def _has_suffix(model: str, suffix: str | None) -> bool:
    """Whether the name `BASE:ft-ORGANIZATION[:SUFFIX]-DATE` may come from that suffix."""
    tail = model.partition(":ft-")[2].partition(":")[2]
    wanted = re.sub(r"[^a-z0-9]+", "-", (suffix or "").lower()).strip("-")
    return re.sub(r"[^a-z0-9]+", "-", tail.lower()).startswith(wanted) if wanted else not tail


def _get(sdk: openai.OpenAI, path: str) -> httpx2.Response:
    return sdk.get(path, cast_to=httpx2.Response)


def _post(
    sdk: openai.OpenAI,
    path: str,
    body: dict[str, Json] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    timeout_s: float = READ_TIMEOUT_S,
) -> httpx2.Response:
    return sdk.post(
        path,
        cast_to=httpx2.Response,
        body=body,
        options={"timeout": make_timeout(timeout_s), "headers": headers or {}},
    )


def _path(job_id: str, *more: str) -> str:
    """The path of the job; ValueError, as in the SDK, for an id that changes the path."""
    if not job_id.strip("."):
        raise ValueError(f"{job_id!r} is not the id of a job")
    return "/".join(("/fine-tunes", quote(job_id, safe=""), *more))
