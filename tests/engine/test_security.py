"""Access to the engine, and the format of every refusal."""

from pathlib import Path

import openai
import pytest
from starlette.testclient import TestClient

from ftops.engine.api.errors import install_error_handlers
from ftops.engine.security import Activity
from ftops.engine.server import create_app
from ftops.engine.settings import EngineSettings
from tests.engine.conftest import Trained
from tests.engine.running import TABLE_WORKER, Running, run_engine
from tests.fakes import FakeClock


@pytest.mark.parametrize("key", ["", "wrong", "ftops-"])
def test_a_missing_or_wrong_token_is_401(idle: Running, key: str) -> None:
    for path in ("/v1/models", "/healthz", "/v1/nowhere"):
        answer = idle.http.get(path, headers={"authorization": f"Bearer {key}".strip()})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == ("invalid_api_key" if key else None)
        assert idle.engine.token not in answer.text


def test_the_sdk_sees_an_authentication_error(idle: Running) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        idle.sdk.with_options(api_key="sk-none").models.list()
    assert caught.value.request_id


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("127.0.0.1", 200),
        ("localhost:99", 200),
        ("LOCALHOST", 200),
        ("[::1]:8000", 200),
        ("[::1]", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:8000", 403),
        ("", 403),
    ],
)
def test_the_engine_answers_only_to_its_own_names(idle: Running, host: str, status: int) -> None:
    for path in ("/v1/models", "/openapi.json"):
        assert idle.http.get(path, headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://127.0.0.1:8000"}, 200),
        ({"origin": "https://127.0.0.1:8000"}, 200),  # behind a proxy that speaks TLS
        ({"origin": "HTTP://127.0.0.1:8000", "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-mode": "cors"}, 200),  # as Node sends it
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "http://127.0.0.1:8001"}, 403),
        ({"origin": "http://127.0.0.1"}, 403),
        ({"origin": "http://localhost:8000"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:8000.evil.example"}, 403),
        ({"origin": "ftp://127.0.0.1:8000"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://127.0.0.1:8000", "sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_no_web_page_but_the_engines_own_is_answered(
    idle: Running, headers: dict[str, str], status: int
) -> None:
    for method, path in (("GET", "/v1/models"), ("GET", "/openapi.json")):
        answer = idle.http.request(method, path, headers=headers)
        assert answer.status_code == status, (path, answer.text)
        if status == 403:
            assert answer.json()["error"]["code"] == "bad_origin"
            assert "access-control-allow-origin" not in answer.headers


def test_a_browsers_question_before_a_request_is_refused(idle: Running) -> None:
    asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    assert idle.http.options("/v1/files", headers=asked).status_code == 403


def test_an_engine_on_every_address_cannot_know_its_names(tmp_path: Path) -> None:
    settings = EngineSettings(tmp_path, host="0.0.0.0", worker_command=TABLE_WORKER)
    with run_engine(settings, schedules=False) as running:
        http = running.http_of("alice")
        assert http.get("/v1/models", headers={"host": "box.lan"}).status_code == 200
        assert http.get("/v1/models", headers={"authorization": ""}).status_code == 401


def test_every_answer_has_a_request_id_of_its_own(idle: Running) -> None:
    answers = [
        idle.http.get("/v1/models"),
        idle.http.get("/v1/nowhere"),
        idle.http.get("/v1/models", headers={"authorization": ""}),
        idle.http.get("/v1/models", headers={"host": "evil.example"}),
        idle.http.post("/v1/completions", content=b"{", headers={"content-type": "text/plain"}),
    ]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == len(answers)


def test_unknown_paths_and_methods_have_error_bodies(idle: Running) -> None:
    unknown = idle.http.get("/v1/fine_tuning/nowhere")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_url")
    method = idle.http.put("/v1/files")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_allowed")
    assert method.headers["allow"]


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"[" * 10_000, "application/json", 400, None),
        (b"[" * 100_000, "application/json", 400, "invalid_value"),
        (b"\xff", "application/json", 400, None),
        (b"[]", "application/json", 400, "invalid_value"),
        (b"", "application/json", 400, "missing_required_parameter"),
        (b"model=ada", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
    ],
)
def test_bodies_that_are_not_json_objects_are_refused(
    idle: Running, content: bytes, kind: str, status: int, code: str | None
) -> None:
    answer = idle.http.post("/v1/fine_tuning/jobs", content=content, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", code)


def test_bodies_over_the_limit_are_413_with_and_without_their_length(tmp_path: Path) -> None:
    settings = EngineSettings(tmp_path, worker_command=TABLE_WORKER, max_body_bytes=1000)
    with run_engine(settings, schedules=False) as running:
        body = b'{"model": "' + b"x" * 2000 + b'"}'
        for content in (body, iter([body[:900], body[900:]])):
            answer = running.http.post(
                "/v1/completions", content=content, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 413, answer.text
            assert answer.json()["error"]["code"] == "request_too_large"


def test_a_bug_is_a_500_that_tells_nothing_and_has_a_request_id(idle: Running) -> None:
    app = create_app(idle.engine)
    install_error_handlers(app)

    def fall() -> None:
        raise ZeroDivisionError("a secret")

    app.add_api_route("/v1/fall", fall)
    http = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    answer = http.get("/v1/fall", headers={"authorization": f"Bearer {idle.engine.token}"})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"].startswith("req_")


def test_health_needs_the_token(idle: Running) -> None:
    body = idle.http.get("/healthz").json()
    assert (body["status"], body["unfinished_jobs"]) == ("ok", 0)


def test_the_openapi_document_names_every_path_and_needs_no_token(idle: Running) -> None:
    document = idle.http.get("/openapi.json", headers={"authorization": ""}).json()
    assert set(document["paths"]) == {
        "/healthz",
        "/v1/files",
        "/v1/files/{file_id}",
        "/v1/files/{file_id}/content",
        "/v1/fine_tuning/jobs",
        "/v1/fine_tuning/jobs/{job_id}",
        "/v1/fine_tuning/jobs/{job_id}/cancel",
        "/v1/fine_tuning/jobs/{job_id}/events",
        "/v1/fine_tuning/jobs/{job_id}/checkpoints",
        "/v1/fine_tuning/jobs/{job_id}/pause",
        "/v1/fine_tuning/jobs/{job_id}/resume",
        "/v1/uploads",
        "/v1/uploads/{upload_id}/parts",
        "/v1/uploads/{upload_id}/complete",
        "/v1/uploads/{upload_id}/cancel",
        "/v1/fine-tunes",
        "/v1/fine-tunes/{job_id}",
        "/v1/fine-tunes/{job_id}/cancel",
        "/v1/fine-tunes/{job_id}/events",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/engines",
        "/v1/engines/{engine_id}",
        "/v1/engines/{engine_id}/completions",
        "/v1/completions",
        "/v1/chat/completions",
    }


def test_requests_keep_an_engine_awake_but_health_checks_do_not(trained: Trained) -> None:
    clock = FakeClock()
    activity = Activity(clock)
    clock.advance(5)
    assert activity.idle_s == 5
    activity.began()
    clock.advance(60)
    assert activity.idle_s == 0
    activity.ended()
    clock.advance(2)
    assert activity.idle_s == 2

    awake = trained.running.engine.activity
    before = awake.idle_s
    trained.running.http.get("/healthz")
    assert awake.idle_s >= before
    trained.running.http.get("/v1/models")
    assert awake.idle_s < 1
