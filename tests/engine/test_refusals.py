"""Every status that the engine refuses with, by a real request that provokes it, and every limit.

422 is not among them: like the API, the engine answers 400 to a value that it does not take.
"""

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from ftops.engine.generation import ModelPool
from ftops.engine.server import create_app
from ftops.engine.settings import EngineSettings
from ftops.engine.trainer import GenerationChunk, Prompt, SamplingParams
from tests.engine.conftest import Trained
from tests.engine.running import BASE_URL, TABLE_WORKER, Running, animals, run_engine
from tests.engine.table_worker import TableModel, TableTrainer

Send = Callable[["Shop"], httpx2.Response]
MEGABYTE = "x" * 1_000_000
KEY = {"content-type": "application/json"}


@dataclass(frozen=True)
class Shop:
    """An engine that is small in every way, with a file, a job and a model."""

    running: Running
    file: str
    job: str
    model: str

    @property
    def http(self) -> TestClient:
        return self.running.http

    def upload(self) -> str:
        body = {"bytes": 1, "filename": "a", "mime_type": "text/jsonl", "purpose": "fine-tune"}
        return str(self.http.post("/v1/uploads", json=body).json()["id"])


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("refusals")
    settings = EngineSettings(
        folder,
        worker_command=TABLE_WORKER,
        max_upload_bytes=2000,
        max_body_bytes=4_000_000,
        max_jobs_per_owner=1,
    )
    with run_engine(settings) as running:
        file = running.upload(animals())
        job = running.sdk.fine_tuning.jobs.create(model="ada", training_file=file)
        model = running.wait_for_end(job.id).fine_tuned_model
        assert model is not None
        yield Shop(running, file, job.id, model)


def send_file(context: Shop, content: bytes) -> httpx2.Response:
    files = {"file": ("a.jsonl", content)}
    return context.http.post("/v1/files", data={"purpose": "fine-tune"}, files=files)


def finish_upload_without_its_parts(context: Shop) -> httpx2.Response:
    """As when it is cancelled while its parts are put together."""
    upload = context.upload()
    part = context.http.post(f"/v1/uploads/{upload}/parts", files={"data": b"x"}).json()["id"]
    shutil.rmtree(context.running.engine.paths.upload(upload))
    return context.http.post(f"/v1/uploads/{upload}/complete", json={"part_ids": [part]})


def create_two_jobs(context: Shop) -> httpx2.Response:
    """The engine takes one that is unfinished, and none ends: nothing is scheduled any more."""
    body = {"model": "ada", "training_file": context.file}
    context.running.engine.scheduler.stop()
    first = context.http.post("/v1/fine_tuning/jobs", json=body).json()["id"]
    second = context.http.post("/v1/fine_tuning/jobs", json=body)
    context.http.post(f"/v1/fine_tuning/jobs/{first}/cancel")
    return second


def post(path: str, **fields: Any) -> Send:
    return lambda context: context.http.post(path, json=fields)


INVALID = "invalid_request_error"
REFUSALS: Sequence[tuple[Send, int, str, str | None, str | None]] = [
    (post("/v1/fine_tuning/jobs"), 400, INVALID, "model", "missing_required_parameter"),
    (post("/v1/fine_tuning/jobs", model=1), 400, INVALID, "model", "invalid_value"),
    (
        lambda context: context.http.post("/v1/completions", content=b"{", headers=KEY),
        400,
        INVALID,
        None,
        "invalid_json",
    ),
    (
        lambda context: context.http.get("/v1/models", headers={"authorization": "Bearer no"}),
        401,
        INVALID,
        None,
        "invalid_api_key",
    ),
    (
        lambda context: context.http.get("/v1/models", headers={"host": "evil.example"}),
        403,
        INVALID,
        None,
        "bad_host",
    ),
    (lambda context: context.http.delete("/v1/models/ada"), 403, INVALID, "model", "base_model"),
    (lambda context: context.http.get("/v1/nothing"), 404, INVALID, None, "unknown_url"),
    (lambda context: context.http.get("/v1/files/file-none"), 404, INVALID, "id", None),
    (lambda context: context.http.get("/v1/fine_tuning/jobs/ftjob-none"), 404, INVALID, "id", None),
    (post("/v1/completions", model="none"), 404, INVALID, "model", "model_not_found"),
    (lambda context: context.http.put("/v1/files"), 405, INVALID, None, "method_not_allowed"),
    (finish_upload_without_its_parts, 409, INVALID, None, "upload_ended"),
    (lambda context: send_file(context, b"x" * 2001), 413, INVALID, None, "request_too_large"),
    (post("/v1/completions", model="x" * 4_000_000), 413, INVALID, None, "request_too_large"),
    (
        lambda context: context.http.post("/v1/files", content=b"{}", headers=KEY),
        415,
        INVALID,
        None,
        "unsupported_media_type",
    ),
    (
        lambda context: context.http.post("/v1/completions", content=b"model=ada"),
        415,
        INVALID,
        None,
        "unsupported_media_type",
    ),
    (create_two_jobs, 429, "requests", None, "rate_limit_exceeded"),
]


@pytest.mark.parametrize(("send", "status", "kind", "param", "code"), REFUSALS)
def test_every_refusal_has_its_status_and_says_why(
    context: Shop, send: Send, status: int, kind: str, param: str | None, code: str | None
) -> None:
    answer = send(context)
    assert answer.status_code == status, answer.text
    (error,) = answer.json().values()
    assert error.pop("message")
    assert error == {"type": kind, "param": param, "code": code}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    if status == 429:
        assert int(answer.headers["retry-after"]) > 0


def many(count: int) -> dict[str, float]:
    return {str(number): 1 for number in range(count)}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "x" * 100}, "prompt"),
        ({"prompt": ["a", "x" * 100]}, "prompt"),
        ({"prompt": ["a"] * 10_000}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": ["a"] * 200, "n": 2}, "n"),
        ({"n": 129}, "n"),
        ({"n": 100, "best_of": 10_000}, "best_of"),
        ({"max_tokens": 100_000}, "max_tokens"),
        ({"max_tokens": 10**400}, "max_tokens"),
        ({"logit_bias": many(2_000)}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1"),
        ({"logit_bias": {"one": 1}}, "logit_bias"),
        ({"stop": ["x"] * 100}, "stop"),
        ({"stop": "x" * 1001}, "stop"),
        ({"seed": 2**63}, "seed"),
        ({"logprobs": 21}, "logprobs"),
        ({"suffix": MEGABYTE}, "suffix"),
        ({"user": MEGABYTE}, "user"),
        ({"model": MEGABYTE}, "model"),
        ({"x" * 1_000_000: 1}, "x" * 1_000_000),
    ],
)
def test_completions_have_limits(
    trained: Trained, fields: Mapping[str, object], param: str
) -> None:
    body = {"model": trained.completion_model, "prompt": "a", **fields}
    is_refused(trained, "/v1/completions", body, param)


def said(content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": said("x" * 100)}, "messages"),
        ({"messages": said("a") * 1001}, "messages"),
        ({"messages": said([{"type": "text", "text": "x"}] * 100)}, "messages"),
        ({"messages": said("\udfff")}, "messages.0.content"),
        ({"messages": []}, "messages"),
        ({"max_tokens": 100_000}, "max_tokens"),
        ({"max_completion_tokens": 100_000}, "max_completion_tokens"),
        ({"n": 129}, "n"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"logit_bias": many(2_000)}, "logit_bias"),
        ({"stop": ["x"] * 100}, "stop"),
        ({"metadata": {str(n): "a" for n in range(17)}}, "metadata"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a"),
        ({"safety_identifier": MEGABYTE}, "safety_identifier"),
    ],
)
def test_chats_have_limits(trained: Trained, fields: Mapping[str, object], param: str) -> None:
    body = {"model": trained.chat_model, "messages": said("hello"), **fields}
    is_refused(trained, "/v1/chat/completions", body, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"suffix": "x" * 65}, "suffix"),
        ({"suffix": ""}, "suffix"),
        ({"metadata": {str(n): "a" for n in range(17)}}, "metadata"),
        ({"metadata": {"x" * 65: "a"}}, f"metadata.{'x' * 65}"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a"),
        ({"metadata": {"a": "\ud800"}}, "metadata.a"),
        ({"model": MEGABYTE}, "model"),
        ({"training_file": MEGABYTE}, "training_file"),
        ({"validation_file": MEGABYTE}, "validation_file"),
        ({"seed": 2**31}, "seed"),
        ({"hyperparameters": {"n_epochs": 10**40}}, "hyperparameters.n_epochs"),
        (
            {"hyperparameters": {"classification_betas": [1.0] * 17}},
            "hyperparameters.classification_betas",
        ),
        (
            {"hyperparameters": {"classification_positive_class": MEGABYTE}},
            "hyperparameters.classification_positive_class",
        ),
    ],
)
def test_jobs_have_limits(trained: Trained, fields: Mapping[str, object], param: str) -> None:
    body = {"model": "ada", "training_file": "file-none", **fields}
    is_refused(trained, "/v1/fine_tuning/jobs", body, param)


def test_a_model_in_the_path_has_a_limit_too(trained: Trained) -> None:
    is_refused(trained, f"/v1/engines/{'x' * 1000}/completions", {"prompt": "a"}, "engine_id")


def is_refused(trained: Trained, path: str, body: Mapping[str, object], param: str) -> None:
    # JSON can say a half of a surrogate pair only as an escape.
    answer = trained.running.http.post(path, content=json.dumps(body).encode(), headers=KEY)
    assert answer.status_code == 400, answer.text[:500]
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == (INVALID, param)
    assert error["code"] in {"invalid_value", "context_length_exceeded", "unsupported_parameter",
                             "unknown_parameter"}  # fmt: skip


class HeldModel(TableModel):
    """Generates nothing until the gate is open."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__({"cat ->": " c"})
        self._gate = gate

    def _answer(
        self, prompts: Sequence[Prompt], params: SamplingParams
    ) -> Iterator[GenerationChunk]:
        self._gate.wait(30)
        yield from super()._answer(prompts, params)


class HeldTrainer(TableTrainer):
    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self._gate = gate

    def load(self, folder: Path) -> TableModel:
        return HeldModel(self._gate)


def test_a_model_with_as_many_callers_as_it_takes_is_429(trained: Trained) -> None:
    gate = threading.Event()
    engine = trained.running.engine
    held = replace(
        engine,
        settings=replace(engine.settings, max_requests_per_model=1),
        model_pool=ModelPool(engine.paths, lambda base: HeldTrainer(gate), 1),
    )
    headers = {"authorization": f"Bearer {engine.token}"}
    body = {"model": trained.completion_model, "prompt": "cat ->", "stream": True}
    answers: list[httpx2.Response] = []

    def ask() -> None:
        with TestClient(create_app(held), base_url=BASE_URL, headers=headers) as http:
            answers.append(http.post("/v1/completions", json=body))

    row = engine.store.models.find(trained.completion_model)
    assert row is not None
    model = held.model_pool.open(row)
    first = threading.Thread(target=ask)
    first.start()
    while not model.load:
        gate.wait(0.01)
    ask()
    refused = answers[0]
    gate.set()
    first.join(30)
    error = refused.json()["error"]
    assert refused.status_code == 429
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert answers[1].status_code == 200
