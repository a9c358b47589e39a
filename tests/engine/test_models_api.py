"""`/v1/models` through the real SDK."""

import openai
import pytest

from tests.engine.conftest import Trained
from tests.engine.running import Running, animals


def test_base_models_come_first_then_fine_tuned_ones(trained: Trained) -> None:
    models = list(trained.running.sdk.models.list())
    assert [(model.id, model.owned_by) for model in models] == [
        ("ada", "ftops"),
        ("babbage", "ftops"),
        (trained.completion_model, "local"),
        (trained.chat_model, "local"),
    ]
    assert {model.shutdown_date for model in models} == {None}
    assert "has_more" not in trained.running.http.get("/v1/models").json()


def test_one_model_can_be_looked_at(trained: Trained) -> None:
    model = trained.running.sdk.models.retrieve(trained.chat_model)
    assert (model.id, model.owned_by) == (trained.chat_model, "local")
    assert trained.running.sdk.models.retrieve("ada").owned_by == "ftops"
    with pytest.raises(openai.NotFoundError) as caught:
        trained.running.sdk.models.retrieve("ft:ada:local::none")
    assert caught.value.code == "model_not_found"


def test_a_deleted_model_answers_no_more_and_its_folder_is_gone(running: Running) -> None:
    job = running.sdk.fine_tuning.jobs.create(model="ada", training_file=running.upload(animals()))
    model = running.wait_for_end(job.id).fine_tuned_model
    assert model is not None
    running.sdk.completions.create(model=model, prompt="cat ->")  # it is in memory now
    deleted = running.sdk.models.delete(model)
    assert (deleted.id, deleted.deleted) == (model, True)
    assert list(running.engine.paths.models.iterdir()) == []
    with pytest.raises(openai.NotFoundError) as caught:
        running.sdk.completions.create(model=model, prompt="cat ->")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        running.sdk.models.delete(model)
    assert running.sdk.fine_tuning.jobs.retrieve(job.id).fine_tuned_model == model


def test_a_base_model_cannot_be_deleted(idle: Running) -> None:
    with pytest.raises(openai.PermissionDeniedError):
        idle.sdk.models.delete("ada")


def test_a_model_whose_files_are_gone_is_a_clear_error(running: Running) -> None:
    job = running.sdk.fine_tuning.jobs.create(model="ada", training_file=running.upload(animals()))
    model = running.wait_for_end(job.id).fine_tuned_model
    assert model is not None
    (running.engine.paths.model(job.id) / "table.json").unlink()
    with pytest.raises(openai.InternalServerError, match="cannot be read"):
        running.sdk.completions.create(model=model, prompt="cat ->")
