"""`/v1/fine_tuning/jobs` through the real SDK, without and with training."""

import csv

import openai
import pytest

from tests.engine.running import Running, animals, greetings, wait_for


def test_a_new_job_has_the_services_shape(idle: Running) -> None:
    file_id = idle.upload(animals())
    job = idle.sdk.fine_tuning.jobs.create(
        model="ada",
        training_file=file_id,
        suffix="my model",
        seed=7,
        metadata={"team": "search"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
    )
    assert job.id.startswith("ftjob-")
    body = idle.http.get(f"/v1/fine_tuning/jobs/{job.id}").json()
    figures = {"n_epochs": 3, "batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert body == {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": job.created_at,
        "error": {},
        "fine_tuned_model": None,
        "finished_at": None,
        "hyperparameters": figures,
        "model": "ada",
        "organization_id": "local",
        "result_files": [],
        "seed": 7,
        "status": "validating_files",
        "trained_tokens": None,
        "training_file": file_id,
        "validation_file": None,
        "estimated_finish": None,
        "integrations": [],
        "metadata": {"team": "search"},
        "method": {"type": "supervised", "supervised": {"hyperparameters": figures}},
        "user_provided_suffix": "my model",
    }


def test_a_job_trains_and_its_model_answers(running: Running) -> None:
    job = running.sdk.fine_tuning.jobs.create(
        model="ada",
        training_file=running.upload(animals()),
        validation_file=running.upload(animals(2)),
        suffix="my model",
    )
    job = running.wait_for_end(job.id)
    assert job.status == "succeeded", job.error
    assert job.fine_tuned_model == f"ft:ada:local:my-model:{job.id[-8:]}"
    assert job.trained_tokens == 6
    assert job.finished_at is not None
    assert job.finished_at >= job.created_at
    assert job.hyperparameters.n_epochs == 2  # "auto" became a number
    assert job.method is not None
    assert job.method.supervised is not None
    assert job.method.supervised.hyperparameters is not None
    assert job.method.supervised.hyperparameters.batch_size == 1
    assert running.messages(job.id) == [
        f"Created fine-tuning job: {job.id}",
        f"Checking training file {job.training_file} and validation file {job.validation_file}.",
        "Files are valid (3 training rows, 2 validation rows). Job queued.",
        "Training started: ada, 2 epochs, 6 steps, batch size 1, learning rate multiplier 1.",
        "Step 1/6: training loss=0.6667",
        "Step 2/6: training loss=0.3333",
        "Step 3/6: training loss=0.0000, validation loss=0.0000",
        "Epoch 1/2 completed.",
        "Step 4/6: training loss=0.0000",
        "Step 5/6: training loss=0.0000",
        "Step 6/6: training loss=0.0000, validation loss=0.0000",
        "Epoch 2/2 completed.",
        f"New fine-tuned model created: {job.fine_tuned_model}",
        "The job has successfully completed.",
    ]
    answer = running.sdk.completions.create(model=job.fine_tuned_model, prompt="cat ->")
    assert answer.choices[0].text == " c"
    (result_id,) = job.result_files
    results = running.sdk.files.retrieve(result_id)
    text = running.sdk.files.content(result_id).text
    assert (results.purpose, results.bytes) == ("fine-tune-results", len(text))
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["step"] for row in rows] == list("123456")
    assert [row["valid_loss"] for row in rows] == ["", "", "0", "", "", "0"]
    wait_for(lambda: not any(running.engine.paths.jobs.iterdir()))  # nothing is left behind


def test_metrics_events_carry_figures(running: Running) -> None:
    job = running.sdk.fine_tuning.jobs.create(model="ada", training_file=running.upload(animals(1)))
    running.wait_for_end(job.id)
    events = running.sdk.fine_tuning.jobs.list_events(job.id, limit=100).data
    data = [event.data for event in events if event.type == "metrics"]
    assert data[-1] == {
        "step": 1,
        "total_steps": 2,
        "train_loss": 0.0,
        "train_mean_token_accuracy": 1.0,
    }


def test_a_long_job_does_not_flood_its_events(running: Running) -> None:
    job = running.sdk.fine_tuning.jobs.create(
        model="ada",
        training_file=running.upload(animals(1)),
        hyperparameters={"n_epochs": 250},
    )
    job = running.wait_for_end(job.id)
    events = list(running.sdk.fine_tuning.jobs.list_events(job.id, limit=100))
    assert len(events) == len({event.id for event in events}) < 200
    assert any(event.message.startswith("Step 250/250:") for event in events)
    lines = running.sdk.files.content(job.result_files[0]).text.splitlines()
    assert len(lines) == 1 + 250


def test_events_come_newest_first_and_in_pages(running: Running) -> None:
    job = running.sdk.fine_tuning.jobs.create(model="ada", training_file=running.upload(animals()))
    running.wait_for_end(job.id)
    first = running.sdk.fine_tuning.jobs.list_events(job.id, limit=2)
    assert first.data[0].message == "The job has successfully completed."
    assert first.has_more
    every = [event.id for event in first]
    assert len(every) == len(set(every)) == 14
    with pytest.raises(openai.BadRequestError):
        running.sdk.fine_tuning.jobs.list_events(job.id, after="ftevent-none")
    with pytest.raises(openai.NotFoundError):
        running.sdk.fine_tuning.jobs.list_events("ftjob-none")


def test_jobs_are_listed_newest_first_and_found_by_metadata(idle: Running) -> None:
    file_id = idle.upload(animals())
    made = [
        idle.sdk.fine_tuning.jobs.create(
            model="ada",
            training_file=file_id,
            metadata={"ftops_run": f"run-{n}", "odd": f"{n % 2}"},
        ).id
        for n in range(4)
    ]
    assert [job.id for job in idle.sdk.fine_tuning.jobs.list(limit=3)] == made[::-1]
    odd = idle.sdk.fine_tuning.jobs.list(metadata={"odd": "1"})
    assert [job.id for job in odd.data] == [made[3], made[1]]
    one = idle.sdk.fine_tuning.jobs.list(metadata={"odd": "1", "ftops_run": "run-1"})
    assert [job.id for job in one.data] == [made[1]]
    with pytest.raises(openai.BadRequestError):
        idle.sdk.fine_tuning.jobs.list(after="ftjob-none")


@pytest.mark.parametrize(
    ("change", "status", "param", "code"),
    [
        ({"model": "gpt-9"}, 404, "model", "model_not_found"),
        ({"model": None}, 400, "model", "invalid_value"),
        ({"training_file": "file-none"}, 400, "training_file", "file_not_found"),
        ({"validation_file": "file-none"}, 400, "validation_file", "file_not_found"),
        ({"suffix": "x" * 65}, 400, "suffix", "invalid_value"),
        ({"seed": -1}, 400, "seed", "invalid_value"),
        ({"seed": "1"}, 400, "seed", "invalid_value"),
        ({"metadata": {str(n): "" for n in range(17)}}, 400, "metadata", "invalid_value"),
        ({"metadata": {"k": 1}}, 400, "metadata.k", "invalid_value"),
        ({"metadata": {"k" * 65: ""}}, 400, None, "invalid_value"),
        ({"metadata": {"k": "v" * 513}}, 400, "metadata.k", "invalid_value"),
        ({"n_epoch": 3}, 400, "n_epoch", "unknown_parameter"),
        (
            {"hyperparameters": {"n_epochs": 0}},
            400,
            "hyperparameters.n_epochs",
            "invalid_value",
        ),
        (
            {"hyperparameters": {"n_epochs": "many"}},
            400,
            "hyperparameters.n_epochs",
            "invalid_value",
        ),
        (
            {"hyperparameters": {"n_epoch": 1}},
            400,
            "hyperparameters.n_epoch",
            "unknown_parameter",
        ),
        (
            {"hyperparameters": {"batch_size": 257}},
            400,
            "hyperparameters.batch_size",
            "invalid_value",
        ),
        ({"method": {"type": "reinforcement"}}, 400, "method", "unsupported_method"),
        (
            {"method": {"type": "reinforcement", "reinforcement": {"grader": {}}}},
            400,
            "method",
            "unsupported_method",
        ),
        ({"method": {"type": "dpo", "supervised": {}}}, 400, "method.supervised", "invalid_value"),
        ({"method": {"type": "supervised", "dpo": {}}}, 400, "method.dpo", "invalid_value"),
        (
            {"method": {"type": "dpo"}, "hyperparameters": {"n_epochs": 1}},
            400,
            "hyperparameters",
            "invalid_value",
        ),
        (
            {"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 2.5}}}},
            400,
            "method.dpo.hyperparameters.beta",
            "invalid_value",
        ),
        (
            {"method": {"type": "dpo", "dpo": {"hyperparameters": {"prompt_loss_weight": 1}}}},
            400,
            "method.dpo.hyperparameters.prompt_loss_weight",
            "unknown_parameter",
        ),
        ({"method": {"type": "magic"}}, 400, "method.type", "invalid_value"),
        (
            {
                "hyperparameters": {"n_epochs": 1},
                "method": {
                    "type": "supervised",
                    "supervised": {"hyperparameters": {"n_epochs": 2}},
                },
            },
            400,
            "hyperparameters",
            "invalid_value",
        ),
        (
            {"integrations": [{"type": "wandb", "wandb": {"project": "x"}}]},
            400,
            "integrations",
            "unsupported_parameter",
        ),
        (
            {"hyperparameters": {"classification_n_classes": 2}},
            400,
            "hyperparameters.classification_n_classes",
            "invalid_value",
        ),
        (
            {"hyperparameters": {"compute_classification_metrics": True}},
            400,
            "hyperparameters.compute_classification_metrics",
            "invalid_value",
        ),
    ],
)
def test_a_job_that_cannot_be_is_refused(
    idle: Running, change: dict[str, object], status: int, param: str | None, code: str
) -> None:
    body = {"model": "ada", "training_file": idle.upload(animals()), **change}
    answer = idle.http.post("/v1/fine_tuning/jobs", json=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", code), error
    assert param is None or error["param"] == param
    assert error["message"]
    assert idle.sdk.fine_tuning.jobs.list().data == []
    assert list(idle.engine.paths.jobs.iterdir()) == []


@pytest.mark.parametrize(
    ("hyperparameters", "word"),
    [
        ({}, "classification_n_classes"),
        ({"classification_n_classes": 3, "classification_positive_class": "x"}, "two classes"),
        ({"classification_n_classes": 3, "classification_betas": [1.0]}, "positive_class"),
    ],
)
def test_classification_settings_must_fit_together(
    idle: Running, hyperparameters: dict[str, object], word: str
) -> None:
    file_id = idle.upload(animals())
    settings = {"compute_classification_metrics": True, **hyperparameters}
    body = {
        "model": "ada",
        "training_file": file_id,
        "validation_file": file_id,
        "hyperparameters": settings,
    }
    answer = idle.http.post("/v1/fine_tuning/jobs", json=body)
    assert answer.status_code == 400
    assert word in answer.json()["error"]["message"]


def test_results_cannot_be_trained_on(running: Running) -> None:
    job = running.sdk.fine_tuning.jobs.create(model="ada", training_file=running.upload(animals()))
    results = running.wait_for_end(job.id).result_files[0]
    with pytest.raises(openai.BadRequestError) as caught:
        running.sdk.fine_tuning.jobs.create(model="ada", training_file=results)
    assert caught.value.code == "invalid_file_purpose"


@pytest.mark.parametrize("kind", ["training_file", "validation_file"])
def test_a_bad_row_fails_the_job_with_its_line(running: Running, kind: str) -> None:
    bad = running.upload([*animals(2), {"prompt": "x ->", "completion": None}])
    good = running.upload(animals())
    files = {"training_file": good, "validation_file": good, kind: bad}
    job = running.sdk.fine_tuning.jobs.create(
        model="ada",
        training_file=files["training_file"],
        validation_file=files["validation_file"],
    )
    job = running.wait_for_end(job.id)
    assert job.status == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.param) == (f"invalid_{kind}", kind)
    assert "line 3: completion is null" in job.error.message
    assert running.messages(job.id)[-1].startswith("The job failed: ")
    assert job.fine_tuned_model is None
    with pytest.raises(openai.BadRequestError):
        running.sdk.fine_tuning.jobs.cancel(job.id)


def test_training_and_validation_rows_must_be_of_one_kind(running: Running) -> None:
    job = running.sdk.fine_tuning.jobs.create(
        model="ada",
        training_file=running.upload(animals()),
        validation_file=running.upload(greetings()),
    )
    job = running.wait_for_end(job.id)
    assert job.error is not None
    assert job.error.code == "invalid_validation_file"
    assert "chat rows" in job.error.message


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"classification_n_classes": 2}, "3 different completions"),
        ({"classification_positive_class": "c"}, "3 different completions"),
    ],
)
def test_more_classes_than_were_said_fail_the_job(
    running: Running, settings: dict[str, object], word: str
) -> None:
    file_id = running.upload(animals())
    job_id = create_classification(running, file_id, file_id, settings)
    job = running.wait_for_end(job_id)
    assert job.error is not None
    assert job.error.code == "invalid_training_file"
    assert word in job.error.message


def test_a_positive_class_that_no_row_has_fails_the_job(running: Running) -> None:
    file_id = running.upload(animals(2))
    settings: dict[str, object] = {"classification_positive_class": "x"}
    job = running.wait_for_end(create_classification(running, file_id, file_id, settings))
    assert job.error is not None
    assert "classification_positive_class" in job.error.message


def create_classification(
    running: Running, training: str, validation: str, settings: dict[str, object]
) -> str:
    body = {
        "model": "ada",
        "training_file": training,
        "validation_file": validation,
        "hyperparameters": {"compute_classification_metrics": True, **settings},
    }
    answer = running.http.post("/v1/fine_tuning/jobs", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def test_classification_metrics_stand_in_the_last_row_of_the_results(running: Running) -> None:
    training = running.upload(animals(3))
    unknown: dict[str, object] = {"prompt": "hippopotamus ->", "completion": " c"}
    too_long: dict[str, object] = {"prompt": "x" * 59, "completion": " c"}
    validation = running.upload([*animals(2), unknown, too_long])
    job_id = create_classification(running, training, validation, {"classification_n_classes": 3})
    job = running.wait_for_end(job_id)
    assert job.status == "succeeded", job.error
    rows = list(csv.DictReader(running.sdk.files.content(job.result_files[0]).text.splitlines()))
    assert rows[-1]["classification/accuracy"] == "0.5"
    assert float(rows[-1]["classification/weighted_f1_score"]) == pytest.approx(0.625)
    assert {row["classification/accuracy"] for row in rows[:-1]} == {""}


def test_a_job_that_waits_can_be_cancelled_and_only_once(idle: Running) -> None:
    job = idle.sdk.fine_tuning.jobs.create(model="ada", training_file=idle.upload(animals()))
    cancelled = idle.sdk.fine_tuning.jobs.cancel(job.id)
    assert cancelled.status == "cancelled"
    assert cancelled.finished_at is not None
    assert idle.messages(job.id)[-1] == "The job was cancelled."
    assert list(idle.engine.paths.jobs.iterdir()) == []
    with pytest.raises(openai.BadRequestError) as caught:
        idle.sdk.fine_tuning.jobs.cancel(job.id)
    assert caught.value.code == "job_ended"
    with pytest.raises(openai.NotFoundError):
        idle.sdk.fine_tuning.jobs.cancel("ftjob-none")


def test_a_deleted_upload_does_not_stop_a_job_that_has_it(running: Running) -> None:
    file_id = running.upload(animals())
    job = running.sdk.fine_tuning.jobs.create(model="ada", training_file=file_id)
    running.sdk.files.delete(file_id)
    assert running.wait_for_end(job.id).status == "succeeded"


def test_a_fine_tuned_model_can_be_tuned_further(running: Running) -> None:
    create = running.sdk.fine_tuning.jobs.create
    first = create(model="ada", training_file=running.upload(animals(2)))
    parent = running.wait_for_end(first.id).fine_tuned_model
    assert parent is not None
    second = create(model=parent, training_file=running.upload(animals(3)[2:]))
    child = running.wait_for_end(second.id).fine_tuned_model
    assert child is not None
    assert child.startswith("ft:ada:local::")
    known = running.sdk.completions.create(model=child, prompt=["cat ->", "owl ->"])
    assert [choice.text for choice in known.choices] == [" c", " o"]
    model = running.http.get(f"/v1/models/{child}").json()
    assert (model["root"], model["parent"], model["job_id"]) == ("ada", parent, second.id)
