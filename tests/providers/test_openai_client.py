"""Errors of the client: their class, the provider's message, and no key."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import httpx2
import pytest
import respx

from ftops.errors import (
    AuthFailed,
    InvalidResponse,
    NotFound,
    PermissionRefused,
    ProviderError,
    RateLimited,
    Rejected,
    Unavailable,
    Unreachable,
)
from ftops.http.errors import find_tls_error
from ftops.providers.provider import Provider
from ftops.records import Chat, Hyperparameters, JobRequest, Message, ProviderSettings, Sampling
from tests.fakes import FakeClock
from tests.providers.conftest import KEY, Bench

REQUEST = JobRequest(model="gpt-4o-mini", training_file="file-t")


def refusal(
    status: int, *, headers: dict[str, str] | None = None, **error: object
) -> httpx.Response:
    body = {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}
    return httpx.Response(status, json={"error": {**body, **error}}, headers=headers)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (401, AuthFailed),
        (403, PermissionRefused),
        (404, NotFound),
        (408, Unavailable),
        (409, Rejected),
        (413, Rejected),
        (415, Rejected),
        (418, Rejected),
        (422, Rejected),
        (429, RateLimited),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (529, Unavailable),
    ],
)
def test_every_status_has_its_error_class(
    api: respx.MockRouter, provider: Provider, status: int, kind: type[ProviderError]
) -> None:
    api.post("/fine_tuning/jobs").mock(return_value=refusal(status))
    with pytest.raises(kind) as caught:
        provider.create_job(REQUEST)
    assert type(caught.value) is kind
    assert caught.value.status == status


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 422])
def test_a_refusal_of_the_content_is_marked_as_refused(
    api: respx.MockRouter, provider: Provider, status: int
) -> None:
    api.post("/fine_tuning/jobs").mock(return_value=refusal(status))
    with pytest.raises(ProviderError) as caught:
        provider.create_job(REQUEST)
    assert caught.value.is_refusal


@pytest.mark.parametrize(
    "response",
    [
        *(refusal(status) for status in (402, 405, 408, 409, 418, 425, 429, 451, 500, 502, 503)),
        *(
            httpx.Response(status, html="<html><h1>Blocked</h1></html>")
            for status in (200, 400, 401, 403, 404, 413, 422, 429, 503)
        ),
        httpx.Response(403, json={"message": "Forbidden"}),
        httpx.Response(422, json={"detail": [{"msg": "Field required"}]}),
        httpx.Response(400, json={"error": "bad request"}),
        httpx.Response(400, content=b'{"error": {"message": "cut he'),
        httpx.Response(404, content=b""),
        httpx.Response(400, content=b"[" * 100_000),
    ],
    ids=lambda response: f"{response.status_code} {response.text[:24]}",
)
def test_other_errors_leave_the_effect_of_a_request_open(
    api: respx.MockRouter, provider: Provider, response: httpx.Response
) -> None:
    api.post("/fine_tuning/jobs").mock(return_value=response)
    with pytest.raises(ProviderError) as caught:
        provider.create_job(REQUEST)
    assert not caught.value.is_refusal


def test_a_request_that_was_never_sent_counts_as_refused(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.post("/fine_tuning/jobs")
    with pytest.raises(Rejected) as caught:
        provider.create_job(
            replace(REQUEST, hyperparameters=Hyperparameters(prompt_loss_weight=0.3))
        )
    assert caught.value.is_refusal
    assert not route.called


def test_message_and_ids_of_the_provider_are_kept(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.get("/fine_tuning/jobs/ftjob-1").mock(
        return_value=refusal(
            404,
            headers={"x-request-id": "req-77"},
            message="No such job.",
            code="fine_tune_not_found",
            param="fine_tuning_job_id",
        )
    )
    with pytest.raises(NotFound) as caught:
        provider.get_job("ftjob-1")
    error = caught.value
    assert error.message == (
        "look up the job ftjob-1: No such job. (HTTP 404, code fine_tune_not_found)"
    )
    assert (error.code, error.param) == ("fine_tune_not_found", "fine_tuning_job_id")
    assert error.request_id == "req-77"


def test_closed_fine_tuning_has_a_hint_with_alternatives(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.post("/fine_tuning/jobs").mock(
        return_value=refusal(
            403, message="Fine-tuning is winding down.", code="training_not_available"
        )
    )
    with pytest.raises(PermissionRefused, match=r"winding down\.") as caught:
        provider.create_job(REQUEST)
    assert "`provider: local`" in caught.value.hint
    assert "`base_url`" in caught.value.hint
    assert "2027-01-06" in caught.value.hint
    assert "2027-01-14" in caught.value.hint
    assert route.call_count == 1


def test_an_unknown_model_has_a_hint_about_the_project_of_the_key(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.post("/chat/completions").mock(
        return_value=refusal(404, message="There is no such model.", code="model_not_found")
    )
    with pytest.raises(NotFound, match="There is no such model") as caught:
        provider.complete("ft:gpt-4.1:acme::x", [Chat((Message("user", "Hello"),))], Sampling())
    assert "`project`" in caught.value.hint
    assert "a few minutes" in caught.value.hint


@pytest.mark.parametrize("code", ["insufficient_quota", "daily_rate_limit_exceeded"])
def test_a_permanent_limit_is_not_retried(
    api: respx.MockRouter, provider: Provider, clock: FakeClock, code: str
) -> None:
    route = api.get("/files/file-1").mock(return_value=refusal(429, code=code))
    with pytest.raises(RateLimited) as caught:
        provider.get_file("file-1")
    assert route.call_count == 1
    assert clock.slept_s == []
    assert caught.value.hint != RateLimited.hint


def test_the_provider_can_forbid_retries(api: respx.MockRouter, provider: Provider) -> None:
    route = api.get("/files/file-1").mock(
        return_value=refusal(503, headers={"x-should-retry": "false"})
    )
    with pytest.raises(Unavailable):
        provider.get_file("file-1")
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:42 GMT"}, 42.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
    ],
)
def test_a_retry_after_of_any_form_is_used(
    api: respx.MockRouter,
    provider: Provider,
    clock: FakeClock,
    headers: dict[str, str],
    pause_s: float,
) -> None:
    api.get("/models/ada").mock(
        side_effect=[refusal(429, headers=headers), httpx.Response(200, json={"id": "ada"})]
    )
    assert provider.get_model("ada").id == "ada"
    assert clock.slept_s == [pause_s]


@pytest.mark.parametrize(
    "nonsense", ["soon", "nan", "inf", "", f"Fri, 31 Dec 2026 23:59:59 +{'9' * 20}"]
)
def test_an_invalid_retry_after_is_replaced_by_a_sampled_pause(
    api: respx.MockRouter, provider: Provider, clock: FakeClock, nonsense: str
) -> None:
    api.get("/models/ada").mock(
        side_effect=[
            refusal(503, headers={"retry-after": nonsense}),
            httpx.Response(200, json={"id": "ada"}),
        ]
    )
    assert provider.get_model("ada").id == "ada"
    assert len(clock.slept_s) == 1
    assert 0 <= clock.slept_s[0] <= 0.5


def test_a_retry_after_of_hours_is_reported_and_not_awaited(
    api: respx.MockRouter, provider: Provider, clock: FakeClock
) -> None:
    route = api.get("/models/ada").mock(return_value=refusal(429, headers={"retry-after": "14400"}))
    with pytest.raises(RateLimited, match=r"asks to wait 4\.0 h"):
        provider.get_model("ada")
    assert (route.call_count, clock.slept_s) == (1, [])


def test_a_single_server_error_is_retried(
    api: respx.MockRouter, provider: Provider, clock: FakeClock
) -> None:
    api.get("/models/ada").mock(
        side_effect=[
            httpx.Response(502, html="<html><h1>Bad gateway</h1></html>"),
            httpx.ConnectError("refused"),
            httpx.ReadTimeout("slow"),
            httpx.Response(200, json={"id": "ada"}),
        ]
    )
    assert provider.get_model("ada").id == "ada"
    assert len(clock.slept_s) == 3


def test_an_unreachable_server_is_reported_with_address_and_reason(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.get("/models/ada").mock(side_effect=httpx.ConnectError("connection refused"))
    with pytest.raises(Unreachable) as caught:
        provider.get_model("ada")
    assert "https://api.openai.com: connection refused (tried 10 times" in caught.value.message


def test_a_timeout_is_reported(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/fine_tuning/jobs").mock(side_effect=httpx.ReadTimeout("slow"))
    with pytest.raises(Unreachable, match="no response in time from https://api"):
        provider.create_job(REQUEST)


def test_an_html_error_page_is_shortened_with_a_hint_about_base_url(
    api: respx.MockRouter, provider: Provider
) -> None:
    page = "<html>\n<h1>Not here</h1>" + "x" * 5000
    api.get("/models/ada").mock(return_value=httpx.Response(404, html=page))
    with pytest.raises(NotFound, match="<html> <h1>Not here</h1>x") as caught:
        provider.get_model("ada")
    assert len(caught.value.message) < 300
    assert "`base_url`" in caught.value.hint


@pytest.mark.parametrize(
    "body", [b'{"error": "nope"}', b'{"detail": "nope"}', b'["nope"]', b'"nope"', b"nope"]
)
def test_an_error_of_unknown_form_is_shown_unchanged(
    api: respx.MockRouter, provider: Provider, body: bytes
) -> None:
    headers = {"content-type": "application/json"}
    api.post("/fine_tuning/jobs").mock(
        return_value=httpx.Response(400, content=body, headers=headers)
    )
    with pytest.raises(Rejected, match="nope"):
        provider.create_job(REQUEST)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"id": "ftjob-1", "stat', "application/json"),
        (b"<html>welcome</html>", "text/html"),
        (b"ok", "text/plain"),
        (b"{}", "application/json"),
        (b"[]", "application/json"),
        (b'"ok"', "application/json"),
    ],
)
def test_a_success_outside_the_protocol_is_an_invalid_response(
    api: respx.MockRouter, provider: Provider, content: bytes, kind: str
) -> None:
    headers = {"content-type": kind, "x-request-id": "req-9"}
    route = api.route(url__startswith="https://api.openai.com/v1/").mock(
        return_value=httpx.Response(200, content=content, headers=headers)
    )
    calls: list[Callable[[], object]] = [
        lambda: provider.get_job("ftjob-1"),
        lambda: provider.create_job(REQUEST),
        lambda: provider.list_events("ftjob-1", known=frozenset()),
        lambda: provider.get_file("file-1"),
        lambda: list(provider.list_files()),
        lambda: list(provider.list_models()),
        lambda: provider.complete("m", ["hello"], Sampling()),
        lambda: provider.complete("m", [Chat((Message("user", "hello"),))], Sampling()),
    ]
    for call in calls:
        with pytest.raises(InvalidResponse) as caught:
            call()
        assert caught.value.request_id == "req-9"
        assert content.decode() in caught.value.message
    assert route.call_count == len(calls)


@pytest.mark.parametrize("id", ["", ".", "..", "\ud800"])
def test_an_id_that_is_no_path_segment_is_refused_without_a_request(
    api: respx.MockRouter, provider: Provider, id: str
) -> None:
    with pytest.raises(Rejected):
        provider.get_job(id)
    with pytest.raises(Rejected):
        provider.delete_model(id)
    assert not api.calls


def test_a_key_echoed_by_the_server_is_redacted(api: respx.MockRouter, provider: Provider) -> None:
    api.get("/models/ada").mock(
        return_value=refusal(401, message=f"Incorrect API key provided: {KEY}.", code="invalid_key")
    )
    with pytest.raises(AuthFailed, match=r"key provided: \*\*\*\.") as caught:
        provider.get_model("ada")
    assert KEY not in repr(caught.value)
    assert KEY not in caught.value.message


def test_the_key_is_in_no_repr(bench: Bench) -> None:
    provider = bench.build()
    provider.ensure_ready()
    assert KEY not in repr(provider)
    assert KEY not in provider.account
    assert KEY not in repr(vars(provider))


def test_a_conflict_of_a_completion_is_retried(api: respx.MockRouter, provider: Provider) -> None:
    route = api.get("/files/file-1")
    route.mock(side_effect=[refusal(409), httpx.Response(200, json={"id": "file-1"})])
    assert provider.get_file("file-1").id == "file-1"
    assert route.call_count == 2


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ({"error": {"message": "Slow down.", "code": 429}}, RateLimited, "Slow down."),
        ({"error": {"message": "Later.", "code": "503"}}, Unavailable, "Later."),
        ({"error": {"message": "Busy.", "type": "server_error"}}, Unavailable, "Busy."),
        ({"error": "Rate limit exceeded"}, RateLimited, "Rate limit exceeded"),
        ({"error": {"status": 401, "message": "No key."}}, AuthFailed, "No key."),
        ({"error": {"message": "Not yours.", "code": 403}}, PermissionRefused, "Not yours."),
        ({"error": {"message": "Gone.", "code": "model_not_found"}}, NotFound, "Gone."),
        ({"error": {"message": "Bad.", "type": "BadRequestError", "code": 400}}, Rejected, "Bad."),
        ({"error": {"reason": "odd"}}, Rejected, "odd"),
        ({"detail": "Too many requests"}, RateLimited, "Too many requests"),
        (
            {"detail": [{"loc": ["body", "model"], "msg": "unknown"}]},
            Rejected,
            "body.model: unknown",
        ),
        ({"object": "error", "message": "Wrong.", "code": 40001}, Rejected, "Wrong."),
        ({"code": 500, "message": "Oops."}, Unavailable, "Oops."),
        (
            {"object": "list", "data": [], "error": {"message": "Half.", "code": 502}},
            Unavailable,
            "Half.",
        ),
    ],
)
def test_an_error_body_with_a_success_status_is_an_error(
    api: respx.MockRouter,
    provider: Provider,
    tmp_path: Path,
    body: dict[str, object],
    kind: type[ProviderError],
    message: str,
) -> None:
    (tmp_path / "t.jsonl").write_text("{}")
    route = api.route(url__startswith="https://api.openai.com/v1/").respond(json=body)
    calls: list[Callable[[], object]] = [
        lambda: provider.get_job("ftjob-1"),
        lambda: provider.list_events("ftjob-1", known=frozenset()),
        lambda: list(provider.list_models()),
        lambda: list(provider.list_files()),
        lambda: provider.complete("m", ["hello"], Sampling()),
        lambda: provider.complete("m", [Chat((Message("user", "hello"),))], Sampling()),
        lambda: list(provider.stream("m", "hello", Sampling())),
    ]
    for call in calls:
        before = route.call_count
        with pytest.raises(kind, match=re.escape(message)) as caught:
            call()
        assert type(caught.value) is kind
        assert "base_url" not in caught.value.hint
        is_repeated = kind in (RateLimited, Unavailable)
        assert route.call_count - before == (10 if is_repeated else 1)
    before = route.call_count
    with pytest.raises(kind):
        provider.create_job(REQUEST)
    assert route.call_count == before + 1


def test_a_temporary_error_body_with_a_success_status_is_retried(
    api: respx.MockRouter, provider: Provider, tmp_path: Path
) -> None:
    (tmp_path / "t.jsonl").write_text("{}")
    error = httpx.Response(200, json={"error": {"message": "Slow down.", "code": 429}})
    listed = httpx.Response(200, json={"data": []})
    file = httpx.Response(200, json={"id": "file-1", "status": "processed"})
    api.get("/files").mock(return_value=listed)
    api.post("/files").mock(side_effect=[error, file])
    stored = provider.upload_file(
        tmp_path / "t.jsonl", filename="t.jsonl", on_bytes=lambda _done, _total: None
    )
    assert stored.id == "file-1"


@pytest.mark.parametrize(
    "body",
    [
        {"id": "ftjob-1", "object": "fine_tuning.job", "status": "running", "error": {}},
        {"id": "ftjob-1", "status": "failed", "error": {"message": "Bad rows.", "code": 429}},
        {"id": "ftjob-1", "object": "fine_tuning.job", "status": "failed", "error": "Bad rows."},
    ],
)
def test_an_error_of_a_job_is_no_error_of_the_request(
    api: respx.MockRouter, provider: Provider, body: dict[str, object]
) -> None:
    api.get("/fine_tuning/jobs/ftjob-1").respond(json=body)
    assert provider.get_job("ftjob-1").status == body["status"]


def test_another_server_has_no_hint_about_openai_projects(bench: Bench) -> None:
    bench.client = httpx.Client(
        transport=httpx.MockTransport(
            lambda _request: refusal(404, message="No such model.", code="model_not_found")
        )
    )
    other = bench.build(ProviderSettings("openai", base_url="https://127.0.0.1/v1"))
    with pytest.raises(NotFound) as caught:
        other.complete("ft:gpt-4.1:acme::x", [Chat((Message("user", "Hello"),))], Sampling())
    assert "project" not in caught.value.hint
    assert "`ftops models list`" in caught.value.hint
    bench.client.close()


@pytest.mark.timeout(10)
def test_cyclic_causes_end_the_search_for_a_tls_error() -> None:
    first, second = httpx2.ConnectError("reset"), OSError("reset")
    first.__cause__, second.__context__ = second, first
    assert find_tls_error(first) is None
