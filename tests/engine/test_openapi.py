"""The engine keeps to its own `/openapi.json`: every answer to made-up requests is one it declares.

A bounded number of requests for each operation, the same ones every time. Half of them are made up
from the document alone and mostly refused; the others begin with a request that must succeed, and
change a part of it, so that answers of all kinds are seen for every operation.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok

from tests.engine.running import (
    Running,
    animals,
    greetings,
    run_engine,
    table_settings,
    wait_for,
    write_rows,
)
from tests.examples import share

load_all_checks()
_CHECKS = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "response_headers_conformance",
    ]
)


@dataclass(frozen=True)
class Shop:
    """An engine that has a little of everything."""

    running: Running
    file: str
    model: str
    chat_model: str
    spare_model: str
    fine_tune: str
    statuses: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.running.engine.token}", "host": "127.0.0.1"}

    def create_job(self, path: str = "/v1/fine_tuning/jobs") -> str:
        body = {"model": "ada", "training_file": self.file}
        return str(self.running.http.post(path, json=body).json()["id"])

    def queue_job(self) -> str:
        job = self.create_job()
        self.running.wait_for_status(job, "queued")
        return job

    def pause_job(self) -> str:
        job = self.queue_job()
        self.running.sdk.fine_tuning.jobs.pause(job)
        return job

    def create_upload(self) -> str:
        made = self.running.sdk.uploads.create(
            bytes=1, filename="a", mime_type="text/jsonl", purpose="fine-tune"
        )
        return made.id

    def add_part(self, upload: str) -> str:
        return self.running.sdk.uploads.parts.create(upload, data=b"x").id


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Four models are trained; then a job stays at its first step, and all others in the queue."""
    folder: Path = tmp_path_factory.mktemp("openapi")
    gate = folder / "gate"
    plain = table_settings(folder / "engine", "--gate", str(gate), "--gate-step", "1")
    with run_engine(
        replace(plain, max_unfinished_jobs=100_000, max_pending_uploads=100_000)
    ) as running:
        files = [running.upload(rows) for rows in (animals(), greetings())]
        jobs = running.sdk.fine_tuning.jobs
        made = [jobs.create(model="ada", training_file=file).id for file in [*files, files[0]]]
        body = {"model": "ada", "training_file": files[0]}
        fine_tune = running.http.post("/v1/fine-tunes", json=body).json()["id"]
        models = [running.wait_for_end(job).fine_tuned_model or "" for job in made]
        wait_for(lambda: not running.store.jobs.list_unfinished())
        gate.touch()
        held = jobs.create(model="ada", training_file=files[0]).id
        running.wait_for_status(held, "running")
        yield Shop(running, files[0], models[0], models[1], models[2], fine_tune)
        gate.unlink()


@dataclass(frozen=True)
class Good:
    """A request that succeeds: the parameters in its path, and its body."""

    path: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


def upload_with_part(shop: Shop) -> Good:
    upload = shop.create_upload()
    return Good({"upload_id": upload}, {"part_ids": [shop.add_part(upload)]})


def first_job(shop: Shop) -> Good:
    return Good({"job_id": shop.running.sdk.fine_tuning.jobs.list().data[-1].id})


def unfinished_fine_tune(shop: Shop) -> Good:
    return Good({"job_id": shop.create_job("/v1/fine-tunes")})


def new_job(shop: Shop) -> Good:
    return Good(body={"model": "ada", "training_file": shop.file})


def nothing_special(shop: Shop) -> Good:
    return Good()


UPLOAD = {"bytes": 1, "filename": "a", "mime_type": "text/jsonl", "purpose": "fine-tune"}
HELLO = [{"role": "user", "content": "hello"}]
GOOD: Mapping[str, Callable[[Shop], Good]] = {
    "GET /healthz": nothing_special,
    "GET /v1/files": nothing_special,
    "POST /v1/files": lambda shop: Good(
        body={"purpose": "fine-tune", "file": write_rows(animals())}
    ),
    "GET /v1/files/{file_id}": lambda shop: Good({"file_id": shop.file}),
    "GET /v1/files/{file_id}/content": lambda shop: Good({"file_id": shop.file}),
    "DELETE /v1/files/{file_id}": lambda shop: Good({"file_id": shop.running.upload(animals())}),
    "POST /v1/uploads": lambda shop: Good(body=UPLOAD),
    "POST /v1/uploads/{upload_id}/parts": lambda shop: Good(
        {"upload_id": shop.create_upload()}, {"data": b"x"}
    ),
    "POST /v1/uploads/{upload_id}/complete": upload_with_part,
    "POST /v1/uploads/{upload_id}/cancel": lambda shop: Good({"upload_id": shop.create_upload()}),
    "GET /v1/fine_tuning/jobs": nothing_special,
    "POST /v1/fine_tuning/jobs": new_job,
    "GET /v1/fine_tuning/jobs/{job_id}": first_job,
    "GET /v1/fine_tuning/jobs/{job_id}/events": first_job,
    "GET /v1/fine_tuning/jobs/{job_id}/checkpoints": first_job,
    "POST /v1/fine_tuning/jobs/{job_id}/cancel": lambda shop: Good({"job_id": shop.create_job()}),
    "POST /v1/fine_tuning/jobs/{job_id}/pause": lambda shop: Good({"job_id": shop.queue_job()}),
    "POST /v1/fine_tuning/jobs/{job_id}/resume": lambda shop: Good({"job_id": shop.pause_job()}),
    "GET /v1/models": nothing_special,
    "GET /v1/models/{model}": lambda shop: Good({"model": shop.model}),
    "DELETE /v1/models/{model}": lambda shop: Good({"model": shop.spare_model}),
    "POST /v1/completions": lambda shop: Good(body={"model": shop.model, "prompt": "cat ->"}),
    "POST /v1/chat/completions": lambda shop: Good(
        body={"model": shop.chat_model, "messages": HELLO}
    ),
    "GET /v1/engines": nothing_special,
    "GET /v1/engines/{engine_id}": lambda shop: Good({"engine_id": shop.model}),
    "POST /v1/engines/{engine_id}/completions": lambda shop: Good(
        {"engine_id": shop.model}, {"prompt": "cat ->"}
    ),
    "GET /v1/fine-tunes": nothing_special,
    "POST /v1/fine-tunes": new_job,
    "GET /v1/fine-tunes/{job_id}": lambda shop: Good({"job_id": shop.fine_tune}),
    "GET /v1/fine-tunes/{job_id}/events": lambda shop: Good({"job_id": shop.fine_tune}),
    "POST /v1/fine-tunes/{job_id}/cancel": unfinished_fine_tune,
    "DELETE /v1/fine-tunes/{job_id}": lambda shop: Good({"job_id": shop.fine_tune}),
}
_ONCE = ("DELETE /v1/models/{model}", "DELETE /v1/fine-tunes/{job_id}")  # models take time to make


def call(case: Any, shop: Shop, label: str) -> int:
    """The status of an answer that is one of those declared."""
    answer = case.call(headers=shop.headers)
    case.validate_response(answer, checks=_CHECKS, headers=shop.headers)
    shop.statuses[label].add(answer.status_code)
    return int(answer.status_code)


def bounded(examples: int) -> settings:
    return settings(
        max_examples=share(examples),
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@bounded(8)
@given(data=st.data())
def try_made_up(operation: Any, shop: Shop, data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(GenerationMode))
    call(data.draw(operation.as_strategy(generation_mode=mode)), shop, operation.label)


@bounded(4)
@given(data=st.data())
def try_changed(operation: Any, shop: Shop, data: st.DataObject) -> None:
    """A good request with some made-up fields beside its own."""
    case = data.draw(operation.as_strategy())
    good = GOOD[operation.label](shop)
    for name, value in good.path.items():
        case.path_parameters[name] = value
    if isinstance(case.body, dict) and good.body is not None:
        others = sorted(set(case.body) - set(good.body))
        chosen = data.draw(st.sets(st.sampled_from(others), max_size=2)) if others else set()
        case.body = {name: case.body[name] for name in sorted(chosen)} | dict(good.body)
    call(case, shop, operation.label)


def try_good(operation: Any, shop: Shop) -> None:
    good = GOOD[operation.label](shop)
    body: dict[str, Any] = {}
    if good.body is not None:
        media_types = list(operation.definition.raw["requestBody"]["content"])
        body = {"body": copy.deepcopy(dict(good.body)), "media_type": media_types[0]}
    case = operation.Case(path_parameters=dict(good.path), **body)
    assert 200 <= call(case, shop, operation.label) < 300


@pytest.mark.timeout(600)
def test_what_is_answered_is_what_is_declared(shop: Shop) -> None:
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", shop.running.http.app, headers=shop.headers
    )
    found = list(schema.get_all_operations())
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == len(found)
    assert {operation.label for operation in operations} == set(GOOD)
    problems = []
    for operation in operations:
        try:
            try_good(operation, shop)
            try_made_up(operation, shop)
            if operation.label not in _ONCE:
                try_changed(operation, shop)
        except (AssertionError, BaseExceptionGroup) as error:
            problems.append(f"{operation.label}: {error}")
    assert not problems, "\n".join(problems)
    never = [label for label in GOOD if not any(status < 300 for status in shop.statuses[label])]
    assert not never
