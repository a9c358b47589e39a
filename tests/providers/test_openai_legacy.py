"""Jobs of the legacy protocol: what is sent, jobs found again, events listed and streamed."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import respx

from ftops.errors import (
    InvalidResponse,
    NotFound,
    ProviderError,
    Rejected,
    Unavailable,
    Unreachable,
)
from ftops.providers.openai_response import UNKNOWN_TIME
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import (
    Hyperparameters,
    JobError,
    JobEvent,
    JobRequest,
    Json,
    ProviderSettings,
    RowFormat,
)
from tests.fakes import FakeClock
from tests.providers.conftest import KEY, Bench
from tests.providers.test_connections import Server, close_without_response

BASE_URL = "https://127.0.0.1/v1"
SETTINGS = ProviderSettings("openai", base_url=BASE_URL, protocol="legacy")
JOB: dict[str, Json] = {
    "id": "ft-1",
    "object": "fine-tune",
    "model": "ada",
    "created_at": 1790000000,
    "updated_at": 1790000060,
    "status": "succeeded",
    "fine_tuned_model": "ada:ft-acme:my-news-2026-11-22-20-00-00",
    "organization_id": "acme",
    "hyperparams": {
        "n_epochs": 4,
        "batch_size": None,
        "learning_rate_multiplier": 0.1,
        "classification_betas": [1.0],
    },
    "training_files": [{"id": "file-t", "object": "file"}],
    "validation_files": [],
    "result_files": [{"id": "file-r", "object": "file"}],
}
REQUEST = JobRequest("ada", "file-t", suffix="My news!")
KNOWN_NONE: frozenset[str] = frozenset()


@pytest.fixture
def api(bench: Bench) -> Iterator[respx.MockRouter]:
    """The mocked responses of a server that speaks the legacy protocol."""
    with respx.MockRouter(base_url=BASE_URL, assert_all_called=False) as router:
        bench.api.route(host="127.0.0.1").mock(side_effect=router.handler)
        yield router


@pytest.fixture
def provider(bench: Bench) -> Provider:
    return bench.build(SETTINGS)


def event(message: str, created_at: int = 1790000000) -> dict[str, Json]:
    return {
        "object": "fine-tune-event",
        "created_at": created_at,
        "level": "info",
        "message": message,
    }


def line(message: str, created_at: int = 1790000000) -> bytes:
    return b"data: " + json.dumps(event(message, created_at)).encode() + b"\n\n"


def stream(api: respx.MockRouter, *chunks: bytes | Exception) -> respx.Route:
    """The event stream of ft-1: bytes, or the error that ends it."""

    def content() -> Iterator[bytes]:
        for chunk in chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    def respond(_request: httpx.Request) -> httpx.Response:
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        return httpx.Response(200, headers=headers, content=content())

    route = api.get("/fine-tunes/ft-1/events", params={"stream": "true"})
    return route.mock(side_effect=respond)


def listing(api: respx.MockRouter, *events: Json) -> respx.Route:
    return api.get("/fine-tunes/ft-1/events").respond(json={"object": "list", "data": [*events]})


def stream_messages(
    provider: Provider, known: frozenset[str] = KNOWN_NONE, wait_s: float = 30
) -> list[str]:
    events = provider.stream_events("ft-1", known=known, wait_s=wait_s)
    return [event.message for event in events]


def sent(route: respx.Route) -> Any:
    return json.loads(route.calls[0].request.content)


def test_auto_is_omitted_so_that_the_server_uses_its_default(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.post("/fine-tunes").respond(json=JOB)
    assert provider.create_job(JobRequest("ada", "file-t")).id == "ft-1"
    assert sent(route) == {"model": "ada", "training_file": "file-t"}


@pytest.mark.parametrize("key", [None, "run-1.2"])
def test_the_idempotency_key_is_a_header(
    api: respx.MockRouter, provider: Provider, key: str | None
) -> None:
    route = api.post("/fine-tunes").respond(json=JOB)
    provider.create_job(JobRequest("ada", "file-t", idempotency_key=key))
    assert route.calls[0].request.headers.get("idempotency-key") == key


def test_everything_that_was_set_is_sent_at_the_top_level(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.post("/fine-tunes").respond(json=JOB)
    figures = Hyperparameters(
        n_epochs=4,
        learning_rate_multiplier=0.1,
        prompt_loss_weight=0.0,
        compute_classification_metrics=True,
        classification_n_classes=2,
        classification_positive_class=" yes",
        classification_betas=(0.5, 1.0),
    )
    request = JobRequest("ada", "file-t", "file-v", suffix="news", hyperparameters=figures)
    provider.create_job(request)
    assert sent(route) == {
        "model": "ada",
        "training_file": "file-t",
        "validation_file": "file-v",
        "suffix": "news",
        "n_epochs": 4,
        "learning_rate_multiplier": 0.1,
        "prompt_loss_weight": 0.0,
        "compute_classification_metrics": True,
        "classification_n_classes": 2,
        "classification_positive_class": " yes",
        "classification_betas": [0.5, 1.0],
    }


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.Response(502), Unavailable),
        (httpx.ReadTimeout("slow"), Unreachable),
        (httpx.Response(200, content=b'{"id": "ft'), InvalidResponse),
    ],
)
def test_a_job_creation_is_sent_once_after_any_error(
    api: respx.MockRouter, provider: Provider, error: Any, kind: type[Exception]
) -> None:
    route = api.post("/fine-tunes").mock(side_effect=[error])
    with pytest.raises(kind, match="create a job on ada"):
        provider.create_job(REQUEST)
    assert route.call_count == 1


def test_a_job_is_read_from_the_legacy_fields(api: respx.MockRouter, provider: Provider) -> None:
    api.get("/fine-tunes/ft-1").respond(json=JOB)
    job = provider.get_job("ft-1")
    assert (job.status, job.ended, job.error) == ("succeeded", True, None)
    assert (job.training_file, job.validation_file) == ("file-t", None)
    assert job.result_files == ("file-r",)
    assert job.hyperparameters == {"n_epochs": 4, "learning_rate_multiplier": 0.1}
    assert job.finished_at is not None
    assert (job.finished_at - job.created_at).total_seconds() == 60


def test_a_running_job_has_not_finished(api: respx.MockRouter, provider: Provider) -> None:
    api.get("/fine-tunes/ft-1").respond(json={**JOB, "status": "pending"})
    job = provider.get_job("ft-1")
    assert (job.ended, job.finished_at) == (False, None)


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ([event("Fine-tune started"), event("Fine-tune failed. Line 3 is no row.")], "Line 3 is"),
        ([event("Out of memory")], "Out of memory"),
        ([], None),
        (None, None),
        ([{"level": "error"}], None),
    ],
)
def test_the_error_of_a_failed_job_is_its_last_event(
    api: respx.MockRouter, provider: Provider, events: Json, error: str | None
) -> None:
    api.get("/fine-tunes/ft-1").respond(json={**JOB, "status": "failed", "events": events})
    job_error = provider.get_job("ft-1").error
    if error is None:
        assert job_error is None
    else:
        assert isinstance(job_error, JobError)
        assert job_error.message.startswith(error)


@pytest.mark.parametrize(
    ("fields", "is_found"),
    [
        ({}, True),
        ({"status": "running", "fine_tuned_model": None}, True),
        ({"status": "failed"}, False),
        ({"status": "cancelled"}, False),
        ({"model": "curie"}, False),
        ({"training_files": [{"id": "file-other"}]}, False),
        ({"training_files": []}, False),
        ({"validation_files": [{"id": "file-v"}]}, False),
        ({"fine_tuned_model": "ada:ft-acme:other-2026-11-22-20-00-00"}, False),
        ({"fine_tuned_model": "ada:ft-acme-2026-11-22-20-00-00"}, False),
    ],
    ids=str,
)
def test_a_job_is_found_by_its_parameters(
    api: respx.MockRouter, provider: Provider, fields: dict[str, Json], is_found: bool
) -> None:
    api.get("/fine-tunes").respond(json={"object": "list", "data": [{**JOB, **fields}]})
    job = provider.find_job(REQUEST)
    assert (job is not None) == is_found


def test_a_job_without_suffix_differs_from_one_with_a_suffix(
    api: respx.MockRouter, provider: Provider
) -> None:
    plain: Json = {**JOB, "id": "ft-2", "fine_tuned_model": "ada:ft-acme-2026-11-22-20-00-00"}
    api.get("/fine-tunes").respond(json={"data": [plain, JOB]})
    job = provider.find_job(JobRequest("ada", "file-t"))
    assert job is not None
    assert job.id == "ft-2"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_newest_of_several_jobs_is_found_in_any_order(
    api: respx.MockRouter, provider: Provider, order: tuple[int, ...]
) -> None:
    data: list[Json] = [
        {**JOB, "id": f"ft-{number}", "created_at": 1790000000 + number} for number in order
    ]
    api.get("/fine-tunes").respond(json={"data": data})
    job = provider.find_job(REQUEST)
    assert job is not None
    assert job.id == "ft-2"


def test_of_two_jobs_of_the_same_second_the_last_in_the_list_is_found(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.get("/fine-tunes").respond(json={"data": [JOB, {**JOB, "id": "ft-2"}]})
    job = provider.find_job(REQUEST)
    assert job is not None
    assert job.id == "ft-2"


def test_equal_events_of_the_same_second_have_distinct_stable_ids(
    api: respx.MockRouter, provider: Provider
) -> None:
    same = event("Fine-tune is in the queue. Queue number: 1")
    listing(api, same)
    (first,) = provider.list_events("ft-1", known=KNOWN_NONE)
    listing(api, same, same, event("Fine-tune started"), same)
    events = provider.list_events("ft-1", known=KNOWN_NONE)
    assert len({event.id for event in events}) == 4
    assert events[0] == first
    assert provider.list_events("ft-1", known=frozenset({first.id})) == events[1:]


def test_an_inserted_event_does_not_change_the_ids_of_others(
    api: respx.MockRouter, provider: Provider
) -> None:
    listing(api, event("a"), event("c", 1790000002))
    known = frozenset(event.id for event in provider.list_events("ft-1", known=KNOWN_NONE))
    listing(api, event("a"), event("b", 1790000001), event("c", 1790000002))
    assert [event.message for event in provider.list_events("ft-1", known=known)] == ["b"]


def test_training_progress_is_read_from_the_message(
    api: respx.MockRouter, provider: Provider
) -> None:
    listing(api, event("Completed epoch 2/4"), event("Completed epoch two"))
    counted, other = provider.list_events("ft-1", known=KNOWN_NONE)
    assert (counted.data, other.data) == ({"epoch": 2, "n_epochs": 4}, {})


def test_an_event_has_the_same_id_in_the_list_and_on_the_stream(
    api: respx.MockRouter, provider: Provider
) -> None:
    stream(api, line("a"), line("a"), line("b"), b"data: [DONE]\n\n")
    listing(api, event("a"), event("a"), event("b"))
    listed = provider.list_events("ft-1", known=KNOWN_NONE)
    streamed = list(provider.stream_events("ft-1", known=KNOWN_NONE, wait_s=30))
    assert streamed == listed


def test_a_restarted_stream_repeats_no_event(api: respx.MockRouter, provider: Provider) -> None:
    known = KNOWN_NONE
    messages: list[str] = []
    lines = [line(f"event {number}") for number in range(4)]
    for length in range(5):  # cut after each event, in the middle of the next line
        stream(api, *lines[:length], line("half")[:20], httpx2.ReadError("cut"))
        events = list(provider.stream_events("ft-1", known=known, wait_s=30))
        messages += [event.message for event in events]
        known |= {event.id for event in events}
    assert messages == [f"event {number}" for number in range(4)]


def test_an_event_is_returned_before_the_next_one_arrives(
    api: respx.MockRouter, provider: Provider
) -> None:
    stream(api, line("first"), httpx2.ReadError("cut"))
    events = provider.stream_events("ft-1", known=KNOWN_NONE, wait_s=30)
    assert next(events).message == "first"
    assert list(events) == []


@pytest.mark.parametrize(
    "chunks",
    [
        [line("a"), b"data: [DONE]\n\n", line("after the end")],
        [line("a")],
        [line("a"), httpx2.RemoteProtocolError("incomplete chunked read")],
        [line("a"), b'data: {"error": {"message": "overloaded"}}\n\n', line("b")],
        [line("a"), b"data: <html>\n\n", line("b")],
        [line("a"), b"data: 7\n\n", line("b")],
    ],
    ids=["ended", "closed", "cut", "error", "html", "number"],
)
def test_a_stream_that_ends_at_once_is_not_reopened_at_once(
    api: respx.MockRouter, provider: Provider, clock: FakeClock, chunks: list[bytes | Exception]
) -> None:
    stream(api, *chunks)
    assert stream_messages(provider) == ["a"]
    assert clock.monotonic_s() == 1.0
    assert stream_messages(provider, wait_s=0.25) == ["a"]
    assert clock.monotonic_s() == 1.25


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(502, html="<h1>Bad gateway</h1>"),
        httpx.Response(404, json={"error": {"message": "no stream here"}}),
        httpx.Response(200, json={"object": "list", "data": []}),
        httpx.Response(200, html="<h1>Log in</h1>"),
        httpx.ConnectError("refused"),
    ],
    ids=["proxy", "refused", "list", "portal", "away"],
)
def test_without_a_stream_events_are_listed_after_the_wait(
    api: respx.MockRouter, provider: Provider, clock: FakeClock, response: Any
) -> None:
    route = api.get("/fine-tunes/ft-1/events", params={"stream": "true"})
    route.mock(side_effect=[response])
    assert stream_messages(provider) == []
    assert clock.monotonic_s() == 30.0
    assert route.call_count == 1


def test_a_stream_of_keep_alives_ends_after_the_wait(
    bench: Bench, api: respx.MockRouter, provider: Provider
) -> None:
    def keep_alive(_request: httpx.Request) -> httpx.Response:
        def content() -> Iterator[bytes]:
            while bench.clock.monotonic_s() < 1000:
                bench.clock.advance(15)
                yield b": still there\n\n"

        headers = {"content-type": "text/event-stream"}
        return httpx.Response(200, headers=headers, content=content())

    api.get("/fine-tunes/ft-1/events").mock(side_effect=keep_alive)
    assert stream_messages(provider) == []
    assert bench.clock.monotonic_s() == 30.0


def test_each_wait_for_the_next_bytes_is_limited(api: respx.MockRouter, provider: Provider) -> None:
    route = stream(api, b"data: [DONE]\n\n")
    stream_messages(provider, wait_s=3)
    limits = route.calls[0].request.extensions["timeout"]
    assert (limits["read"], limits["connect"]) == (3, 3)


def test_an_event_without_a_date_has_the_unknown_time(
    api: respx.MockRouter, provider: Provider
) -> None:
    listing(api, {"message": "a"})
    (listed,) = provider.list_events("ft-1", known=KNOWN_NONE)
    assert isinstance(listed, JobEvent)
    assert listed.created_at == UNKNOWN_TIME


def test_cancelling_twice_is_no_error_but_cancelling_an_ended_job_is(
    api: respx.MockRouter, provider: Provider
) -> None:
    refusal = {"error": {"message": "has ended"}}
    api.post("/fine-tunes/ft-1/cancel").respond(400, json=refusal)
    route = api.get("/fine-tunes/ft-1").respond(json={**JOB, "status": "cancelled"})
    assert provider.cancel_job("ft-1").status == "cancelled"
    route.respond(json=JOB)
    with pytest.raises(Rejected, match="has ended"):
        provider.cancel_job("ft-1")


@pytest.mark.parametrize("job_id", ["", ".", ".."])
def test_an_id_that_changes_the_path_is_never_sent(
    api: respx.MockRouter, provider: Provider, job_id: str
) -> None:
    with pytest.raises(Rejected, match="is not the id of a job"):
        provider.get_job(job_id)
    assert not api.calls


def test_an_unusual_id_is_one_segment_of_the_path(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.get(path__regex=r".*").respond(404, json={"error": {"message": "none"}})
    with pytest.raises(NotFound):
        provider.get_job("../models/a?b")
    assert route.calls[0].request.url.raw_path == b"/v1/fine-tunes/..%2Fmodels%2Fa%3Fb"


def test_rows_are_prompts_and_completions_for_any_model(provider: Provider) -> None:
    assert provider.row_format("gpt-4o-mini") is RowFormat.COMPLETION


@pytest.mark.parametrize("base_url", [None, "https://api.openai.com/v1/"])
def test_openai_itself_is_refused_with_the_reason(bench: Bench, base_url: str | None) -> None:
    bench.environ = {}  # even before the key is required
    with pytest.raises(
        ProviderError, match="switched /v1/fine-tunes off in January 2024"
    ) as caught:
        bench.build(ProviderSettings("openai", base_url=base_url, protocol="legacy"))
    assert "`type: local`" in caught.value.hint


def test_a_stream_of_a_dropped_connection_ends_without_an_error(tmp_path: Path) -> None:
    server = Server()
    clock = FakeClock()
    settings = ProviderSettings("openai", base_url=server.base_url, protocol="legacy")
    provider = build_provider(settings, ProviderContext({"OPENAI_API_KEY": KEY}, tmp_path, clock))

    def close_in_stream(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        content = line("whole") + line("half")[:30]
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
        handler.close_connection = True

    server.handlers = [close_in_stream, close_without_response]
    try:
        assert stream_messages(provider) == ["whole"]
        assert stream_messages(provider) == []
    finally:
        provider.close()
        server.http.shutdown()
        server.thread.join()
        server.http.server_close()
    assert server.requests == ["GET /v1/fine-tunes/ft-1/events?stream=true"] * 2
    assert clock.monotonic_s() == 31.0
