"""A request for a job that is sent again with its `Idempotency-Key` creates no second job."""

import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from tests.engine.running import Running, animals, run_engine, table_settings

PATHS = ("/v1/fine_tuning/jobs", "/v1/fine-tunes")


@pytest.fixture(params=PATHS, ids=["current", "legacy"])
def path(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def ask(
    http: TestClient, path: str, file_id: str, key: str | None = "run-1.1", **fields: Any
) -> httpx2.Response:
    body = {"model": "ada", "training_file": file_id, **fields}
    answer: httpx2.Response = http.post(
        path, json=body, headers={} if key is None else {"idempotency-key": key}
    )
    return answer


def count_jobs(http: TestClient, path: str) -> int:
    return len(http.get(path).json()["data"])


def test_the_same_request_with_the_same_key_returns_the_job_that_it_made(
    idle: Running, path: str
) -> None:
    file_id = idle.upload(animals())
    first = ask(idle.http, path, file_id)
    assert first.status_code == 200
    idle.http.post(f"{path}/{first.json()['id']}/cancel")
    again = ask(idle.http, path, file_id)
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["status"]) == (first.json()["id"], "cancelled")
    assert count_jobs(idle.http, path) == 1


def test_the_order_of_its_fields_does_not_make_another_request(idle: Running, path: str) -> None:
    file_id = idle.upload(animals())
    first = ask(idle.http, path, file_id, suffix="x")
    body = {"suffix": "x", "training_file": file_id, "model": "ada"}
    again = idle.http.post(path, json=body, headers={"idempotency-key": "run-1.1"})
    assert again.json()["id"] == first.json()["id"]


def test_a_repetition_is_answered_though_its_files_are_deleted_by_now(
    idle: Running, path: str
) -> None:
    file_id = idle.upload(animals())
    first = ask(idle.http, path, file_id)
    idle.sdk.files.delete(file_id)
    assert ask(idle.http, path, file_id).json()["id"] == first.json()["id"]


def test_a_key_of_another_request_is_refused(idle: Running, path: str) -> None:
    file_id = idle.upload(animals())
    first = ask(idle.http, path, file_id).json()["id"]
    answer = ask(idle.http, path, file_id, suffix="other")
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "idempotency_key_reused"
    assert first in answer.json()["error"]["message"]
    assert count_jobs(idle.http, path) == 1


def test_a_key_of_a_request_by_the_other_protocol_is_refused(idle: Running) -> None:
    file_id = idle.upload(animals())
    assert ask(idle.http, PATHS[0], file_id).status_code == 200
    assert ask(idle.http, PATHS[1], file_id).status_code == 422


def test_requests_without_a_key_or_with_other_keys_make_jobs_of_their_own(
    idle: Running, path: str
) -> None:
    file_id = idle.upload(animals())
    keys = (None, None, "run-1.1", "run-1.2")
    assert len({ask(idle.http, path, file_id, key).json()["id"] for key in keys}) == 4


def test_a_refused_request_leaves_its_key_free(idle: Running, path: str) -> None:
    assert ask(idle.http, path, "file-none").status_code == 400
    assert ask(idle.http, path, idle.upload(animals())).status_code == 200


def test_owners_share_no_keys(idle: Running, path: str) -> None:
    jobs = set()
    for name in ("ann", "ben"):
        http = idle.http_of(name)
        rows = ("rows.jsonl", b'{"prompt": "a ->", "completion": " b"}\n' * 3)
        uploaded = http.post("/v1/files", files={"file": rows}, data={"purpose": "fine-tune"})
        jobs.add(ask(http, path, uploaded.json()["id"]).json()["id"])
        assert count_jobs(http, path) == 1
    assert len(jobs) == 2


@pytest.mark.parametrize("key", ["", "k" * 256], ids=["empty", "too long"])
def test_a_key_that_is_empty_or_too_long_is_refused(idle: Running, path: str, key: str) -> None:
    assert ask(idle.http, path, idle.upload(animals()), key).status_code == 400


def test_a_key_is_remembered_when_the_engine_starts_anew(tmp_path: Path, path: str) -> None:
    settings = table_settings(tmp_path / "engine")
    with run_engine(settings, schedules=False) as engine:
        file_id = engine.upload(animals())
        first = ask(engine.http, path, file_id).json()["id"]
    with run_engine(settings, schedules=False) as engine:
        assert ask(engine.http, path, file_id).json()["id"] == first
        assert count_jobs(engine.http, path) == 1


def test_the_same_request_sent_many_times_at_once_makes_one_job(idle: Running, path: str) -> None:
    file_id = idle.upload(animals())
    answers: list[str] = []
    start = threading.Barrier(6)

    def send() -> None:
        start.wait()
        answers.append(ask(idle.http, path, file_id).json()["id"])

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert len(set(answers)) == 1
    assert count_jobs(idle.http, path) == 1
    assert len(list(idle.engine.paths.jobs.iterdir())) == 1
