"""The engine keeps to its own `/openapi.json`: every answer to made-up requests is one it declares.

A bounded number of requests for each operation, the same ones every time.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok

from tests.engine.running import Running, animals, run_engine, table_settings

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


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An engine that has a little of everything."""
    folder: Path = tmp_path_factory.mktemp("openapi")
    with run_engine(table_settings(folder)) as running:
        job = running.sdk.fine_tuning.jobs.create(
            model="ada", training_file=running.upload(animals())
        )
        running.wait_for_end(job.id)
        yield running


def _headers(engine: Running) -> dict[str, str]:
    return {"authorization": f"Bearer {engine.engine.token}", "host": "127.0.0.1"}


def _known(engine: Running) -> dict[str, str]:
    """Names by which the engine knows something, as parameters and fields of bodies."""
    job = engine.sdk.fine_tuning.jobs.list().data[-1]
    upload = engine.sdk.uploads.create(
        bytes=1, filename="a", mime_type="text/jsonl", purpose="fine-tune"
    )
    files = engine.sdk.files.list(order="asc").data
    return {
        "file_id": files[-1].id if files else "file-none",
        "training_file": files[0].id if files else "file-none",
        "job_id": job.id,
        "model": job.fine_tuned_model or "ada",
        "engine_id": job.fine_tuned_model or "ada",
        "upload_id": upload.id,
    }


@settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def try_operation(operation: Any, engine: Running, data: st.DataObject) -> None:
    case = data.draw(operation.as_strategy())
    if data.draw(st.booleans()):  # made-up names are unknown: half of the time, use what is there
        known = _known(engine)
        for name in case.path_parameters or {}:
            case.path_parameters[name] = known[name]
        if isinstance(case.body, dict):
            case.body |= {name: known[name] for name in case.body if name in known}
    answer = case.call(headers=_headers(engine))
    case.validate_response(answer, checks=_CHECKS, headers=_headers(engine))


def test_what_is_answered_is_what_is_declared(engine: Running) -> None:
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", engine.http.app, headers=_headers(engine)
    )
    found = list(schema.get_all_operations())
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == len(found) > 20
    problems = []
    for operation in operations:
        try:
            try_operation(operation, engine)
        except (AssertionError, BaseExceptionGroup) as error:
            problems.append(f"{operation.label}: {error}")
    assert not problems, "\n".join(problems)
