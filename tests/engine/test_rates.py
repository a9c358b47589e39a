"""What every answer says in its headers, and what happens when too much is wanted at once."""

from pathlib import Path

import openai
import pytest

from ftops.engine.settings import EngineSettings
from tests.engine.conftest import Trained
from tests.engine.running import TABLE_WORKER, Running, animals, run_engine


def test_every_answer_carries_the_apis_headers(idle: Running) -> None:
    answers = [
        idle.http.get("/v1/models"),
        idle.http.get("/v1/models", headers={"authorization": "Bearer wrong"}),
        idle.http.get("/v1/nothing"),
        idle.http.post("/v1/fine_tuning/jobs", json={}),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 404, 400]
    for answer in answers:
        assert answer.headers["x-request-id"].startswith("req_")
        assert 0 <= int(answer.headers["openai-processing-ms"]) < 10_000
        known = answer.status_code != 401  # a wrong key has no organization
        assert answer.headers.get("openai-organization") == ("local" if known else None)
        assert answer.headers["openai-version"] == "2020-10-01"
    assert len({answer.headers["x-request-id"] for answer in answers}) == 4


def test_a_full_queue_takes_no_more_jobs_until_one_has_ended(tmp_path: Path) -> None:
    settings = EngineSettings(tmp_path, worker_command=TABLE_WORKER, max_jobs_per_owner=2)
    with run_engine(settings, schedules=False) as running:
        jobs = running.sdk.fine_tuning.jobs
        file_id = running.upload(animals())
        made = [jobs.with_raw_response.create(model="ada", training_file=file_id) for _ in range(2)]
        remaining = [answer.headers["x-ratelimit-remaining-requests"] for answer in made]
        assert remaining == ["1", "0"]
        assert made[0].headers["x-ratelimit-limit-requests"] == "2"
        with pytest.raises(openai.RateLimitError) as caught:
            jobs.create(model="ada", training_file=file_id)
        assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")
        headers = caught.value.response.headers
        assert int(headers["retry-after"]) > 0
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert len(list(running.engine.paths.jobs.iterdir())) == 2
        jobs.cancel(made[0].parse().id)
        assert jobs.create(model="ada", training_file=file_id).status == "validating_files"


def test_answers_say_how_many_callers_a_model_takes(trained: Trained) -> None:
    create = trained.running.sdk.completions.with_raw_response.create
    for stream in (False, True):
        answer = create(model=trained.completion_model, prompt="cat ->", stream=stream)
        assert int(answer.headers["x-ratelimit-limit-requests"]) == 512
        assert int(answer.headers["x-ratelimit-remaining-requests"]) > 500
        assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
