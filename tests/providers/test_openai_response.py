"""Responses become records; missing or invalid optional values are accepted."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.capabilities import Naming
from ftops.errors import InvalidResponse
from ftops.http.response import JsonObject, parse_object, render_excerpt
from ftops.providers.openai_response import (
    UNKNOWN_TIME,
    read_event,
    read_file,
    read_job,
    read_model,
)
from ftops.records import JobError, Json

JOB: dict[str, Json] = {
    "id": "ftjob-1",
    "object": "fine_tuning.job",
    "model": "gpt-4o-mini-2024-07-18",
    "created_at": 1790000000,
    "finished_at": 1790000600,
    "estimated_finish": None,
    "fine_tuned_model": "ft:gpt-4o-mini-2024-07-18:acme:news:Abc1",
    "organization_id": "org-1",
    "result_files": ["file-r"],
    "status": "succeeded",
    "training_file": "file-t",
    "validation_file": None,
    "hyperparameters": {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.8},
    "trained_tokens": 5049,
    "error": {},
    "seed": 42,
    "metadata": {"ftops_run": "run-1"},
    "user_provided_suffix": "news",
    "usage_metrics": None,
    "shared_with_openai": False,
    "method": {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": "auto", "batch_size": "auto"}},
    },
}


def job(**changes: Json) -> JsonObject:
    return JsonObject({**JOB, **changes}, "look up the job")


def test_a_finished_job_is_read_whole() -> None:
    read = read_job(job())
    assert read.ended
    assert read.created_at == datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    assert read.finished_at is not None
    assert read.finished_at - read.created_at == timedelta(minutes=10)
    assert read.fine_tuned_model == "ft:gpt-4o-mini-2024-07-18:acme:news:Abc1"
    assert (read.trained_tokens, read.seed, read.result_files) == (5049, 42, ("file-r",))
    assert read.metadata == {"ftops_run": "run-1"}


@pytest.mark.parametrize("healthy", [{}, None, {"code": None, "message": None, "param": None}])
def test_an_empty_error_is_no_error(healthy: Json) -> None:
    assert read_job(job(error=healthy)).error is None


def test_a_failed_job_has_the_error_of_the_provider() -> None:
    error: Json = {"code": "invalid_n_examples", "message": "Too few.", "param": "training_file"}
    read = read_job(job(status="failed", error=error))
    assert read.error == JobError("invalid_n_examples", "Too few.", "training_file")


@pytest.mark.parametrize("status", ["paused", "pausing", "pending", "moderating", "running"])
def test_a_job_of_unknown_status_has_not_ended(status: str) -> None:
    read = read_job(job(status=status))
    assert read.status == status
    assert not read.ended


def test_a_number_has_priority_over_auto_in_both_fields() -> None:
    assert read_job(job()).hyperparameters["n_epochs"] == 3
    swapped = job(
        hyperparameters={"n_epochs": "auto", "batch_size": None},
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 4, "batch_size": 8}},
        },
    )
    assert read_job(swapped).hyperparameters == {"n_epochs": 4, "batch_size": 8}


def test_a_job_needs_only_an_id_and_a_status() -> None:
    read = read_job(JsonObject({"id": "ftjob-1", "status": "queued"}, "create a job"))
    assert read.created_at == UNKNOWN_TIME
    assert (read.fine_tuned_model, read.result_files, read.hyperparameters) == (None, (), {})


@pytest.mark.parametrize("missing", ["id", "status"])
def test_a_job_without_id_or_status_is_an_invalid_response(missing: str) -> None:
    with pytest.raises(InvalidResponse, match=f"missing '{missing}'.*gpt-4o-mini"):
        read_job(job(**{missing: None}))


def test_null_and_wrong_types_in_optional_fields_are_accepted() -> None:
    odd = job(
        result_files=None,
        metadata=None,
        seed="seven",
        trained_tokens=True,
        hyperparameters=[],
        method="supervised",
        created_at="yesterday",
        finished_at=1e300,
    )
    read = read_job(odd)
    assert (read.result_files, read.metadata, read.seed, read.trained_tokens) == (
        (),
        {},
        None,
        None,
    )
    assert (read.created_at, read.finished_at) == (UNKNOWN_TIME, None)


def test_dates_can_be_seconds_or_iso_text() -> None:
    read = read_job(job(created_at="2026-11-22T12:00:00+01:00")).created_at
    assert read == datetime(2026, 11, 22, 11, tzinfo=UTC)
    assert read.utcoffset() == timedelta(0)
    assert read_job(job(created_at="2026-11-22T12:00:00")).created_at == read + timedelta(hours=1)
    assert read_job(job(created_at=1790000000.5)).created_at.microsecond == 500000


def test_an_event_keeps_its_data_and_accepts_null() -> None:
    event = JsonObject(
        {
            "id": "ftevent-1",
            "created_at": 1790000000,
            "level": "info",
            "message": "Step 1/9: training loss=2.10",
            "type": "metrics",
            "data": {"step": 1, "train_loss": 2.1},
        },
        "list events",
    )
    assert read_event(event).data == {"step": 1, "train_loss": 2.1}
    assert read_event(JsonObject({**event.values, "data": None}, "list events")).data == {}


def test_an_event_without_an_id_gets_a_stable_id() -> None:
    first, repeated, other = (
        read_event(JsonObject({"created_at": 1, "message": text}, "list events"))
        for text in ("begun", "begun", "done")
    )
    assert first.id == repeated.id != other.id


def test_a_file_without_a_status_counts_as_ready() -> None:
    read = read_file(JsonObject({"id": "file-1", "bytes": 12, "filename": "a.jsonl"}, "x"))
    assert (read.status, read.bytes, read.filename) == ("processed", 12, "a.jsonl")


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("ft:gpt-4o-mini-2024-07-18:acme:news:Abc1", "gpt-4o-mini-2024-07-18"),
        ("ft:ada:local:news-topics:0a1b2c3d", "ada"),
        ("ft:gpt-4.1:acme::Abc1:ckpt-step-90", "gpt-4.1"),
        ("curie:ft-acme-2023-01-02-03-04-05", "curie"),
        ("gpt-4.1-2025-04-14.ft-0a1b2c-news", "gpt-4.1-2025-04-14"),
        ("gpt-4o-mini", None),
        ("ada", None),
        ("ft:", None),
        ("left-to-right", None),
    ],
)
def test_the_base_of_a_model_is_read_from_its_name(name: str, base: str | None) -> None:
    assert Naming().find_base_model(name) == base
    model = read_model(
        JsonObject({"id": name, "created": 1, "owned_by": "x"}, "list models"), Naming()
    )
    assert model.base == base
    assert model.fine_tuned == (base is not None)


def test_a_model_has_its_shutdown_date() -> None:
    fields = JsonObject(
        {"id": "gpt-4.1", "created": 1, "shutdown_date": "2027-01-14"}, "list models"
    )
    assert read_model(fields, Naming()).shutdown_date == "2027-01-14"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"id": "ftjob-1", "sta', "it is not JSON"),
        (b"<html><body>502 Bad Gateway</body></html>", "it is not JSON"),
        (b"", r"it is not JSON: \(empty\)"),
        (b'"ok"', "it is not a JSON object"),
        (b"[]", "it is not a JSON object"),
        (b"null", "it is not a JSON object"),
        (b"[" * 100_000, "it is not JSON"),
    ],
)
def test_a_response_that_is_no_json_object_is_invalid(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidResponse, match=f"look up: malformed response: {reason}"):
        parse_object(content, "look up")


def test_the_excerpt_is_the_first_200_characters_on_one_line() -> None:
    assert (
        render_excerpt(b"<html>\n\t<p>\x1b[31m" + b"x" * 500)
        == ("<html> <p> [31m" + "x" * 500)[:200]
    )


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_as_an_invalid_response(content: bytes) -> None:
    try:
        read_job(parse_object(content, "look up"))
    except InvalidResponse as error:
        assert len(error.message) < 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(JOB)), json_values))
def test_any_json_in_the_fields_of_a_job_is_read_or_refused(values: dict[str, Json]) -> None:
    content = json.dumps({**JOB, **values}).encode()
    try:
        assert read_job(parse_object(content, "look up")).id
    except InvalidResponse:
        assert not (
            isinstance(values.get("id"), str) and isinstance(values.get("status"), str)
        ) or (not values["id"] or not values["status"])
