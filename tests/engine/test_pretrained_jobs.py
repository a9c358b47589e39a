"""Jobs on registered base models through the API, with the table trainer."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from ftops.engine.base_models import BaseModelStore
from ftops.engine.trainer_registry import BaseInfo
from tests.engine import table_worker
from tests.engine.running import Running, animals, greetings, run_engine, table_settings
from tests.engine.test_base_models import write_model

SMALL = "small"
OPTIONS = {
    "n_epochs": 4,
    "learning_rate": 2e-4,
    "eval_every": 5,
    "early_stopping": {"patience": 2},
    "lora": {"rank": 8, "targets": ["q_proj"]},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """An engine with the base models `small`, which has tools, and `absent`."""
    settings = table_settings(tmp_path)
    BaseModelStore(settings.paths.base_models).add(
        SMALL, lambda folder: write_model(folder, template="{{ tools }}")
    )
    bases = {
        **table_worker.list_bases(),
        SMALL: BaseInfo(36, is_pretrained=True, tools=True),
        "absent": BaseInfo(36, is_pretrained=True, install="pip install 'ftops[lora]'"),
    }
    with run_engine(settings) as running:
        object.__setattr__(running.engine, "list_bases", lambda: bases)
        yield running


def create(running: Running, **fields: Any) -> Any:
    request = {
        "model": SMALL,
        "training_file": running.upload(animals()),
        "validation_file": running.upload(animals(2)),
        **fields,
    }
    return running.sdk.fine_tuning.jobs.create(**request)


def test_a_job_returns_its_options_and_reports_what_they_changed(running: Running) -> None:
    job = running.wait_for_end(create(running, hyperparameters=OPTIONS).id)
    assert job.status == "succeeded", job.error
    shown = running.http.get(f"/v1/fine_tuning/jobs/{job.id}").json()["hyperparameters"]
    assert {name: shown[name] for name in OPTIONS} == OPTIONS
    text = running.sdk.files.content(job.result_files[0]).text
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 6  # of twelve
    assert rows[0]["learning_rate"] == "0.0002"
    events = list(running.sdk.fine_tuning.jobs.list_events(job.id, limit=100))
    data: list[Any] = [event.data for event in events if event.data]
    samples = [item["samples"] for item in data if "samples" in item]
    assert samples[-1] == [{"prompt": "cat ->", "expected": " c", "answer": " c"}]
    assert any("stopped early, after step 6 of 12" in event.message for event in events)


def test_classification_metrics_are_columns_of_the_results(running: Running) -> None:
    hyperparameters: Any = {
        "compute_classification_metrics": True,
        "classification_n_classes": len(animals()),
    }
    job = running.wait_for_end(create(running, hyperparameters=hyperparameters).id)
    assert job.status == "succeeded", job.error
    text = running.sdk.files.content(job.result_files[0]).text
    last = list(csv.DictReader(text.splitlines()))[-1]
    assert last["classification/accuracy"] == last["classification/weighted_f1_score"] == "1"


def test_options_of_pre_trained_models_are_refused_for_others(running: Running) -> None:
    for name in ("learning_rate", "eval_every", "early_stopping", "lora"):
        with pytest.raises(openai.BadRequestError, match="not a pre-trained model") as caught:
            create(running, model="ada", hyperparameters={name: OPTIONS[name]})
        assert caught.value.param == f"hyperparameters.{name}"


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"hyperparameters": {"lora": {"r": 8}}}, "hyperparameters.lora.r", "Unknown parameter"),
        ({"hyperparameters": {"lora": {"rank": 0}}}, "hyperparameters.lora.rank", "greater than"),
        (
            {"hyperparameters": {"learning_rate": 1e-4, "learning_rate_multiplier": 2.0}},
            "hyperparameters.learning_rate",
            "use one of them",
        ),
        (
            {"hyperparameters": {"eval_every": 2}, "validation_file": None},
            "hyperparameters.eval_every",
            "needs a validation file",
        ),
        ({"model": "absent"}, "model", "pip install 'ftops\\[lora\\]'"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_its_field(
    running: Running, fields: dict[str, Any], param: str, reason: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=reason) as caught:
        create(running, **fields)
    assert caught.value.param == param


@pytest.mark.parametrize("name", ["../jobs", "/etc/passwd", "C:\\models", "base_models/small"])
def test_a_path_is_no_model_and_is_not_repeated(running: Running, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        create(running, model=name)
    assert name not in caught.value.message
    asked = {"model": name, "prompt": "cat ->"}
    response = running.http.post("/v1/completions", json=asked)
    assert (response.status_code, name in response.text) == (404, False)


def test_rows_with_tools_need_a_base_whose_template_has_tools(running: Running) -> None:
    user = {"role": "user", "content": "Where is the key?"}
    call = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    file_id = running.upload([*greetings(), {"messages": [user, call]}])
    assert running.sdk.files.retrieve(file_id).status == "processed"
    fields = {"training_file": file_id, "validation_file": None}
    assert running.wait_for_end(create(running, **fields).id).status == "succeeded"
    failed = running.wait_for_end(create(running, **fields, model="ada").id)
    assert failed.error is not None
    assert f"line {len(greetings()) + 1}: the row has tools" in failed.error.message


def test_options_are_accepted_for_preferences(running: Running) -> None:
    hyperparameters: Any = {"lora": {"rank": 4}, "beta": 0.2}
    method: Any = {"type": "dpo", "dpo": {"hyperparameters": hyperparameters}}
    job = create(running, method=method)
    shown = running.http.get(f"/v1/fine_tuning/jobs/{job.id}").json()["method"]["dpo"]
    assert shown["hyperparameters"]["lora"] == {"rank": 4}


def test_a_tuned_model_whose_base_is_gone_is_refused(running: Running) -> None:
    job = running.wait_for_end(create(running).id)
    bases = {name: info for name, info in running.engine.list_bases().items() if name != SMALL}
    object.__setattr__(running.engine, "list_bases", lambda: bases)
    with pytest.raises(openai.BadRequestError, match="is not registered any more"):
        create(running, model=job.fine_tuned_model)
