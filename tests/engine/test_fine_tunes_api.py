"""`/v1/fine-tunes` as the legacy client speaks it, without and with training."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.engine.store import NewEvent
from ftops.records import Json
from tests.engine.conftest import Trained
from tests.engine.running import (
    Running,
    animals,
    run_engine,
    table_settings,
    wait_for,
)


def create(running: Running, **fields: object) -> dict[str, Any]:
    body = {"training_file": running.upload(animals()), "model": "ada", **fields}
    answer = running.http.post("/v1/fine-tunes", json=body)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def retrieve(running: Running, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = running.http.get(f"/v1/fine-tunes/{job_id}").json()
    return job


def train(running: Running, **fields: object) -> dict[str, Any]:
    job_id = create(running, **fields)["id"]
    ended = ("succeeded", "failed", "cancelled")
    wait_for(lambda: retrieve(running, job_id)["status"] in ended)
    return retrieve(running, job_id)


def messages(job: Mapping[str, Any]) -> list[str]:
    return [event["message"] for event in job["events"]]


def results(running: Running, job: Mapping[str, Any]) -> list[dict[str, str]]:
    (file,) = job["result_files"]
    text = running.http.get(f"/v1/files/{file['id']}/content").text
    return list(csv.DictReader(text.splitlines()))


def refusal(running: Running, **fields: object) -> tuple[int, dict[str, Any]]:
    body = {"training_file": running.upload(animals()), "model": "ada", **fields}
    answer = running.http.post("/v1/fine-tunes", json=body)
    return answer.status_code, answer.json()["error"]


def test_a_new_job_has_that_services_shape(idle: Running) -> None:
    file_id = idle.upload(animals())
    answer = idle.http.post(
        "/v1/fine-tunes",
        json={"training_file": file_id, "model": "ada"},
        headers={"OpenAI-Organization": "org-acme"},
    )
    job = answer.json()
    assert job["id"].startswith("ft-")
    file = idle.http.get(f"/v1/files/{file_id}").json()
    assert {key: value for key, value in job.items() if key not in ("id", "events")} == {
        "object": "fine-tune",
        "model": "ada",
        "created_at": job["created_at"],
        "updated_at": job["created_at"],
        "status": "pending",
        "fine_tuned_model": None,
        "organization_id": "org-acme",
        "hyperparams": {
            "n_epochs": 4,
            "batch_size": None,
            "learning_rate_multiplier": None,
            "prompt_loss_weight": 0.01,
        },
        "training_files": [file],
        "validation_files": [],
        "result_files": [],
    }
    assert messages(job) == [f"Created fine-tune: {job['id']}"]
    assert job["events"][0]["object"] == "fine-tune-event"


def test_a_job_trains_and_tells_it_in_that_services_words(running: Running) -> None:
    job = train(running, suffix="my_model", n_epochs=2)
    name = job["fine_tuned_model"]
    assert name.startswith("ada:ft-local:my-model-20")
    assert messages(job) == [
        f"Created fine-tune: {job['id']}",
        "Fine-tune costs $0.00",
        "Fine-tune enqueued. Queue number: 0",
        "Fine-tune started",
        "Completed epoch 1/2",
        "Completed epoch 2/2",
        f"Uploaded model: {name}",
        f"Uploaded result file: {job['result_files'][0]['id']}",
        "Fine-tune succeeded",
    ]
    assert job["status"] == "succeeded"
    assert job["updated_at"] >= job["created_at"]
    assert job["hyperparams"]["learning_rate_multiplier"] == 0.05
    assert [row["step"] for row in results(running, job)] == list("123456")
    assert "validation_loss" not in results(running, job)[0]


def test_the_default_model_is_curie(idle: Running) -> None:
    answer = idle.http.post("/v1/fine-tunes", json={"training_file": idle.upload(animals())})
    assert answer.status_code == 404  # the table trainer has no model of that name
    schemas = idle.http.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["CreateFineTune"]["properties"]["model"]["default"] == "curie"


def test_four_epochs_are_trained_when_none_are_asked_for(running: Running) -> None:
    assert "Completed epoch 4/4" in messages(train(running))


def test_two_classes_are_judged_on_the_validation_file(running: Running) -> None:
    rows = [{"prompt": f"{n} ->", "completion": " odd" if n % 2 else " even"} for n in range(6)]
    job = train(
        running,
        training_file=running.upload(rows),
        validation_file=running.upload(rows[:4]),
        compute_classification_metrics=True,
        classification_positive_class=" odd",
        classification_betas=[0.5, 2.0],
    )
    assert job["status"] == "succeeded", messages(job)
    last = results(running, job)[-1]
    figures = {key: value for key, value in last.items() if key.startswith("classification/")}
    names = ["accuracy", "precision", "recall", "f1.0", "f0.5", "f2.0", "auroc", "auprc"]
    assert figures == {f"classification/{name}": "1" for name in names}
    assert last["validation_loss"] == "0"


def test_several_classes_have_a_weighted_f1_score(running: Running) -> None:
    job = train(
        running,
        validation_file=running.upload(animals()),
        compute_classification_metrics=True,
        classification_n_classes=3,
    )
    last = results(running, job)[-1]
    assert last["classification/accuracy"] == "1"
    assert last["classification/weighted_f1_score"] == "1"


def test_each_protocol_shows_its_own_jobs(idle: Running) -> None:
    first, second = create(idle)["id"], create(idle)["id"]
    current = idle.sdk.fine_tuning.jobs.create(model="ada", training_file=idle.upload(animals()))
    listed = idle.http.get("/v1/fine-tunes").json()
    assert [job["id"] for job in listed["data"]] == [first, second]
    assert "events" not in listed["data"][0]
    assert [job.id for job in idle.sdk.fine_tuning.jobs.list()] == [current.id]
    assert idle.http.get(f"/v1/fine_tuning/jobs/{first}").status_code == 404
    assert idle.http.get(f"/v1/fine-tunes/{current.id}").status_code == 404


def test_a_job_whose_file_was_deleted_still_names_it(idle: Running) -> None:
    job = create(idle)
    file_id = job["training_files"][0]["id"]
    idle.http.delete(f"/v1/files/{file_id}")
    (file,) = retrieve(idle, job["id"])["training_files"]
    assert (file["id"], file["status"]) == (file_id, "deleted")


def test_a_cancelled_job_is_cancelled_once(idle: Running) -> None:
    job_id = create(idle)["id"]
    cancelled = idle.http.post(f"/v1/fine-tunes/{job_id}/cancel").json()
    assert cancelled["status"] == "cancelled"
    assert messages(cancelled)[-1] == "Fine-tune cancelled"
    again = idle.http.post(f"/v1/fine-tunes/{job_id}/cancel")
    assert (again.status_code, again.json()["error"]["code"]) == (400, "job_ended")


def test_deleting_a_job_deletes_its_model_by_either_name(running: Running) -> None:
    for by_name in (False, True):
        job = train(running)
        model = job["fine_tuned_model"]
        named = model if by_name else job["id"]
        answer = running.http.delete(f"/v1/fine-tunes/{named}")
        assert answer.json() == {"id": named, "object": "fine-tune", "deleted": True}
        assert running.http.get(f"/v1/models/{model}").status_code == 404
        assert running.http.delete(f"/v1/fine-tunes/{named}").status_code == 404
        assert retrieve(running, job["id"])["status"] == "succeeded"


def test_a_job_without_a_model_cannot_be_deleted(idle: Running) -> None:
    job_id = create(idle)["id"]
    waiting = idle.http.delete(f"/v1/fine-tunes/{job_id}")
    assert (waiting.status_code, waiting.json()["error"]["code"]) == (400, "job_not_ended")
    idle.http.post(f"/v1/fine-tunes/{job_id}/cancel")
    ended = idle.http.delete(f"/v1/fine-tunes/{job_id}")
    assert (ended.status_code, ended.json()["error"]["code"]) == (400, "no_model")


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"suffix": "x" * 41}, 400, "suffix"),
        ({"n_epochs": 0}, 400, "n_epochs"),
        ({"n_epochs": "auto"}, 400, "n_epochs"),
        ({"batch_size": 257}, 400, "batch_size"),
        ({"prompt_loss_weight": -1}, 400, "prompt_loss_weight"),
        ({"seed": 1}, 400, "seed"),
        ({"model": "gpt-none"}, 404, "model"),
        ({"training_file": "../no/rows.jsonl"}, 400, "training_file"),
        ({"validation_file": "file-none"}, 400, "validation_file"),
        ({"compute_classification_metrics": True}, 400, "compute_classification_metrics"),
        ({"classification_n_classes": 3}, 400, "classification_n_classes"),
    ],
)
def test_a_bad_request_names_its_field(
    idle: Running, fields: dict[str, object], status: int, param: str
) -> None:
    code, error = refusal(idle, **fields)
    assert (code, error["param"]) == (status, param)
    assert error["type"] == "invalid_request_error"
    assert idle.http.get("/v1/fine-tunes").json()["data"] == []


def test_metrics_need_the_number_of_classes_or_the_positive_one(idle: Running) -> None:
    file_id = idle.upload(animals())
    code, error = refusal(idle, validation_file=file_id, compute_classification_metrics=True)
    assert (code, error["param"]) == (400, "compute_classification_metrics")
    assert "classification_n_classes" in error["message"]


def test_a_bad_file_fails_the_job_with_the_line(running: Running) -> None:
    job = train(running, training_file=running.upload([*animals(1), {"prompt": "x"}]))
    assert job["status"] == "failed"
    assert "line 2: completion is missing" in messages(job)[-1]
    assert messages(job)[-1].startswith("Fine-tune failed. ")


def test_jobs_in_the_queue_hear_how_they_move_on(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    settings = table_settings(tmp_path / "engine", "--gate", str(gate), "--gate-step", "2")
    with run_engine(settings) as running:
        first = create(running)["id"]
        wait_for(lambda: retrieve(running, first)["status"] == "running")
        second, third = create(running)["id"], create(running)["id"]
        wait_for(lambda: len(messages(retrieve(running, third))) == 3)
        assert messages(retrieve(running, second))[-1] == "Fine-tune enqueued. Queue number: 0"
        assert messages(retrieve(running, third))[-1] == "Fine-tune enqueued. Queue number: 1"
        running.http.post(f"/v1/fine-tunes/{second}/cancel")
        expected = "Fine-tune is in the queue. Queue number: 0"
        wait_for(lambda: messages(retrieve(running, third))[-1] == expected)
        gate.unlink()


@pytest.mark.parametrize("point", ["after_step", "after_publish", "after_results"])
def test_a_job_whose_worker_was_killed_repeats_no_event(tmp_path: Path, point: str) -> None:
    options = ("--crash", f"engine.worker.{point}", "--once", str(tmp_path / "died"))
    with run_engine(table_settings(tmp_path / "engine", *options)) as running:
        job = train(running, n_epochs=2)
        assert (tmp_path / "died").exists()
        assert job["status"] == "succeeded"
        assert len(messages(job)) == len(set(messages(job))) == 9
        assert [row["step"] for row in results(running, job)] == list("123456")
        answer = running.http.post(
            "/v1/completions", json={"model": job["fine_tuned_model"], "prompt": "cat ->"}
        )
        assert answer.json()["choices"][0]["text"] == " c"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An engine that starts no job, for many examples."""
    settings = table_settings(tmp_path_factory.mktemp("quiet") / "engine")
    with run_engine(settings, schedules=False) as running:
        yield running


@given(reason=st.text(max_size=40))
def test_every_line_of_a_stream_is_one_whole_event(quiet: Running, reason: str) -> None:
    job_id = create(quiet)["id"]
    data: dict[str, Json] = {"fine_tuned_model": reason}
    quiet.store.add_events(job_id, NewEvent("model", "New fine-tuned model", data=data))
    quiet.store.fail(job_id, "server_error", reason)
    answer = quiet.http.get(f"/v1/fine-tunes/{job_id}/events?stream=true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.content.splitlines() if line]
    assert lines.pop() == b"data: [DONE]"
    events = [json.loads(line.removeprefix(b"data: ")) for line in lines]
    listed = quiet.http.get(f"/v1/fine-tunes/{job_id}/events").json()
    assert listed == {"object": "list", "data": events}
    assert events[-1]["message"] == f"Fine-tune failed. {reason}"
    assert events[-1]["level"] == "error"


def test_an_unknown_job_has_no_events(idle: Running) -> None:
    for path in ("", "/events", "/events?stream=true"):
        answer = idle.http.get(f"/v1/fine-tunes/ft-none{path}")
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "id")


def test_an_encoded_path_is_one_name(idle: Running) -> None:
    for typed in ("sub%2Fdir%2Fx.jsonl", "..%2fdata%2Fx.jsonl", "..%2Fhealthz", "my+rows.jsonl"):
        answer = idle.http.get(f"/v1/files/{typed}")
        assert answer.status_code == 404
        assert answer.json()["error"]["message"].startswith("There is no file")


def test_a_path_that_a_client_typed_becomes_a_plain_file_name(idle: Running) -> None:
    made = idle.http.post(
        "/v1/files",
        data={"purpose": "fine-tune"},
        files={"file": ("../data/rows.jsonl", b"{}\n", "application/octet-stream")},
    )
    assert made.json()["filename"] == "rows.jsonl"


def test_a_completion_may_carry_every_key_with_null(trained: Trained) -> None:
    body = dict.fromkeys(
        ("n", "max_tokens", "logprobs", "temperature", "top_p", "stop", "best_of", "suffix")
    )
    asked = {**body, "prompt": "cat ->", "stream": False, "echo": True}
    model = trained.completion_model
    answers = [
        trained.running.http.post("/v1/completions", json={**asked, "model": model}),
        trained.running.http.post(
            f"/v1/engines/{model.replace(':', '%3A')}/completions", json={**asked, "model": None}
        ),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["text"] == "cat -> c"
        assert answer.json()["model"] == model


def test_engines_are_the_models_by_another_name(trained: Trained) -> None:
    listed = trained.running.http.get("/v1/engines").json()["data"]
    assert listed[0] == {
        "id": "ada",
        "object": "engine",
        "created": 1577836800,
        "owner": "ftops",
        "permissions": None,
        "ready": True,
    }
    assert trained.completion_model in [engine["id"] for engine in listed]
    assert trained.running.http.get("/v1/engines/ada").json() == listed[0]
    assert trained.running.http.get("/v1/engines/none").status_code == 404
