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
from tests.examples import scale_examples

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
class ApiContext:
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
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiContext]:
    """Four models are trained; then a job stays at its first step, and all others in the queue."""
    folder: Path = tmp_path_factory.mktemp("openapi")
    gate = folder / "gate"
    plain = table_settings(folder / "engine", "--gate", str(gate), "--gate-step", "1")
    with run_engine(
        replace(plain, max_jobs_per_owner=100_000, max_pending_uploads=100_000)
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
        yield ApiContext(running, files[0], models[0], models[1], models[2], fine_tune)
        gate.unlink()


@dataclass(frozen=True)
class Good:
    """A request that succeeds: the parameters in its path, and its body."""

    path: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


def upload_with_part(context: ApiContext) -> Good:
    upload = context.create_upload()
    return Good({"upload_id": upload}, {"part_ids": [context.add_part(upload)]})


def first_job(context: ApiContext) -> Good:
    return Good({"job_id": context.running.sdk.fine_tuning.jobs.list().data[-1].id})


def unfinished_fine_tune(context: ApiContext) -> Good:
    return Good({"job_id": context.create_job("/v1/fine-tunes")})


def new_job(context: ApiContext) -> Good:
    return Good(body={"model": "ada", "training_file": context.file})


def nothing_special(context: ApiContext) -> Good:
    return Good()


UPLOAD = {"bytes": 1, "filename": "a", "mime_type": "text/jsonl", "purpose": "fine-tune"}
HELLO = [{"role": "user", "content": "hello"}]
GOOD: Mapping[str, Callable[[ApiContext], Good]] = {
    "GET /healthz": nothing_special,
    "GET /v1/files": nothing_special,
    "POST /v1/files": lambda context: Good(
        body={"purpose": "fine-tune", "file": write_rows(animals())}
    ),
    "GET /v1/files/{file_id}": lambda context: Good({"file_id": context.file}),
    "GET /v1/files/{file_id}/content": lambda context: Good({"file_id": context.file}),
    "DELETE /v1/files/{file_id}": lambda context: Good(
        {"file_id": context.running.upload(animals())}
    ),
    "POST /v1/uploads": lambda context: Good(body=UPLOAD),
    "POST /v1/uploads/{upload_id}/parts": lambda context: Good(
        {"upload_id": context.create_upload()}, {"data": b"x"}
    ),
    "POST /v1/uploads/{upload_id}/complete": upload_with_part,
    "POST /v1/uploads/{upload_id}/cancel": lambda context: Good(
        {"upload_id": context.create_upload()}
    ),
    "GET /v1/fine_tuning/jobs": nothing_special,
    "POST /v1/fine_tuning/jobs": new_job,
    "GET /v1/fine_tuning/jobs/{job_id}": first_job,
    "GET /v1/fine_tuning/jobs/{job_id}/events": first_job,
    "GET /v1/fine_tuning/jobs/{job_id}/checkpoints": first_job,
    "POST /v1/fine_tuning/jobs/{job_id}/cancel": lambda context: Good(
        {"job_id": context.create_job()}
    ),
    "POST /v1/fine_tuning/jobs/{job_id}/pause": lambda context: Good(
        {"job_id": context.queue_job()}
    ),
    "POST /v1/fine_tuning/jobs/{job_id}/resume": lambda context: Good(
        {"job_id": context.pause_job()}
    ),
    "GET /v1/models": nothing_special,
    "GET /v1/models/{model}": lambda context: Good({"model": context.model}),
    "DELETE /v1/models/{model}": lambda context: Good({"model": context.spare_model}),
    "POST /v1/completions": lambda context: Good(body={"model": context.model, "prompt": "cat ->"}),
    "POST /v1/chat/completions": lambda context: Good(
        body={"model": context.chat_model, "messages": HELLO}
    ),
    "GET /v1/engines": nothing_special,
    "GET /v1/engines/{engine_id}": lambda context: Good({"engine_id": context.model}),
    "POST /v1/engines/{engine_id}/completions": lambda context: Good(
        {"engine_id": context.model}, {"prompt": "cat ->"}
    ),
    "GET /v1/fine-tunes": nothing_special,
    "POST /v1/fine-tunes": new_job,
    "GET /v1/fine-tunes/{job_id}": lambda context: Good({"job_id": context.fine_tune}),
    "GET /v1/fine-tunes/{job_id}/events": lambda context: Good({"job_id": context.fine_tune}),
    "POST /v1/fine-tunes/{job_id}/cancel": unfinished_fine_tune,
    "DELETE /v1/fine-tunes/{job_id}": lambda context: Good({"job_id": context.fine_tune}),
}
_ONCE = ("DELETE /v1/models/{model}", "DELETE /v1/fine-tunes/{job_id}")  # models take time to make


def call(case: Any, context: ApiContext, label: str) -> int:
    """The status of an answer that is one of those declared."""
    answer = case.call(headers=context.headers)
    case.validate_response(answer, checks=_CHECKS, headers=context.headers)
    context.statuses[label].add(answer.status_code)
    return int(answer.status_code)


def bounded(examples: int) -> settings:
    return settings(
        max_examples=scale_examples(examples),
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@bounded(8)
@given(data=st.data())
def try_made_up(operation: Any, context: ApiContext, data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(GenerationMode))
    call(data.draw(operation.as_strategy(generation_mode=mode)), context, operation.label)


@bounded(4)
@given(data=st.data())
def try_changed(operation: Any, context: ApiContext, data: st.DataObject) -> None:
    """A good request with some made-up fields beside its own."""
    case = data.draw(operation.as_strategy())
    good = GOOD[operation.label](context)
    for name, value in good.path.items():
        case.path_parameters[name] = value
    if isinstance(case.body, dict) and good.body is not None:
        others = sorted(set(case.body) - set(good.body))
        chosen = data.draw(st.sets(st.sampled_from(others), max_size=2)) if others else set()
        case.body = {name: case.body[name] for name in sorted(chosen)} | dict(good.body)
    call(case, context, operation.label)


def try_good(operation: Any, context: ApiContext) -> None:
    good = GOOD[operation.label](context)
    body: dict[str, Any] = {}
    if good.body is not None:
        media_types = list(operation.definition.raw["requestBody"]["content"])
        body = {"body": copy.deepcopy(dict(good.body)), "media_type": media_types[0]}
    case = operation.Case(path_parameters=dict(good.path), **body)
    assert 200 <= call(case, context, operation.label) < 300


@pytest.mark.timeout(600)
def test_what_is_answered_is_what_is_declared(context: ApiContext) -> None:
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", context.running.http.app, headers=context.headers
    )
    found = list(schema.get_all_operations())
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == len(found)
    assert {operation.label for operation in operations} == set(GOOD)
    problems = []
    for operation in operations:
        try:
            try_good(operation, context)
            try_made_up(operation, context)
            if operation.label not in _ONCE:
                try_changed(operation, context)
        except (AssertionError, BaseExceptionGroup) as error:
            problems.append(f"{operation.label}: {error}")
    assert not problems, "\n".join(problems)
    never = [label for label in GOOD if not any(status < 300 for status in context.statuses[label])]
    assert not never
