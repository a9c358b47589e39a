"""Preference jobs (DPO) through the engine, from the file to the model."""

import csv
import io
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from ftops.engine.settings import EngineSettings
from tests.engine.running import Running, animals, greetings, run_engine
from tests.engine.test_scheduler import wait_for_step, worker_pid

THINGS = ("ladder", "kettle", "broom", "torch", "hammer", "teapot", "blanket", "umbrella")
HELD_OUT = ("compass", "scissors", "bucket", "lantern")


def question(thing: str) -> dict[str, object]:
    return {"role": "user", "content": f"Where is the {thing}?"}


def kindly(thing: str) -> str:
    return f"In the {thing} box. Can I help you further?"


def gruffly(thing: str) -> str:
    return f"The {thing} box, as always. Do not ask again."


def said(text: str) -> dict[str, object]:
    return {"role": "assistant", "content": text}


def chat(thing: str, answer: str) -> dict[str, object]:
    return {"messages": [question(thing), said(answer)]}


def preference(thing: str) -> dict[str, object]:
    return {
        "input": {"messages": [question(thing)]},
        "preferred_output": [said(kindly(thing))],
        "non_preferred_output": [said(gruffly(thing))],
    }


def prefer(running: Running, model: str, **figures: Any) -> str:
    """Start a preference job; its id."""
    method: Any = {"type": "dpo", "dpo": {"hyperparameters": figures}}
    job = running.sdk.fine_tuning.jobs.create(
        model=model,
        training_file=running.upload([preference(thing) for thing in THINGS]),
        validation_file=running.upload([preference(thing) for thing in HELD_OUT]),
        method=method,
        seed=4,
    )
    return job.id


def answer(running: Running, model: str, thing: str) -> str | None:
    asked: Any = [question(thing)]
    said = running.sdk.chat.completions.create(model=model, messages=asked, temperature=0)
    return said.choices[0].message.content


@dataclass(frozen=True)
class Taught:
    """An engine with a model that knows both ways to answer, and mostly takes the gruff one."""

    running: Running
    model: str


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taught]:
    with run_engine(EngineSettings(tmp_path_factory.mktemp("taught"))) as running:
        rows = []
        for thing in (*THINGS, *HELD_OUT):
            rows += [chat(thing, kindly(thing)), *[chat(thing, gruffly(thing))] * 2]
        job = running.sdk.fine_tuning.jobs.create(
            model="ada",
            training_file=running.upload(rows),
            method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 40}}},
            seed=1,
        )
        model = running.wait_for_end(job.id).fine_tuned_model
        assert model is not None
        yield Taught(running, model)


def test_a_preference_job_changes_how_held_out_questions_are_answered(taught: Taught) -> None:
    running = taught.running
    job_id = prefer(running, taught.model, beta=0.2, n_epochs=20)
    job = running.wait_for_end(job_id)
    assert job.status == "succeeded", job.error
    assert job.fine_tuned_model is not None
    kind_before, kind_after = (
        sum(answer(running, model, thing) == kindly(thing) for thing in HELD_OUT)
        for model in (taught.model, job.fine_tuned_model)
    )
    assert kind_before <= 1 < 3 <= kind_after  # of four

    assert job.method is not None
    assert job.method.type == "dpo"
    assert job.method.dpo is not None
    assert job.method.dpo.hyperparameters is not None
    figures = job.method.dpo.hyperparameters
    assert (figures.beta, figures.n_epochs, figures.batch_size) == (0.2, 20, 4)
    messages = running.messages(job_id)
    assert any("beta 0.2" in message for message in messages)
    assert not any("never" in message for message in messages)
    metrics = [
        event.data
        for event in running.sdk.fine_tuning.jobs.list_events(job_id, limit=100)
        if event.type == "metrics"
    ]
    assert isinstance(metrics[0], dict)
    assert metrics[0]["valid_reward_accuracy"] >= 0.75
    assert metrics[0]["train_reward_margin"] > 1

    rows = list(csv.DictReader(io.StringIO(running.sdk.files.content(job.result_files[0]).text)))
    assert len(rows) == 40
    assert float(rows[0]["train_loss"]) == pytest.approx(0.693147, abs=1e-6)
    assert float(rows[-1]["valid_loss"]) < 0.5
    assert float(rows[-1]["train_reward_accuracy"]) >= 0.75
    assert float(rows[-1]["valid_reward_margin"]) > 0
    checkpoints = list(running.sdk.fine_tuning.jobs.checkpoints.list(job_id))
    assert [one.step_number for one in checkpoints] == [40, 38, 36]
    assert answer(running, checkpoints[1].fine_tuned_model_checkpoint, HELD_OUT[0])


def test_a_preference_job_whose_worker_is_killed_ends_with_the_same_weights(
    taught: Taught,
) -> None:
    running, weights, results = taught.running, [], []
    for kills in (False, True):
        job_id = prefer(running, taught.model, n_epochs=30)
        if kills:
            wait_for_step(running, job_id, 20)
            os.kill(worker_pid(running, job_id), signal.SIGKILL)
        job = running.wait_for_end(job_id)
        assert job.status == "succeeded"
        folder = running.engine.paths.model(job_id)
        weights.append((folder / "weights.safetensors").read_bytes())
        results.append(running.sdk.files.content(job.result_files[0]).text)
    assert weights[0] == weights[1]
    assert results[0] == results[1]


def test_supervised_results_have_no_rewards_in_them(taught: Taught) -> None:
    (job,) = [one for one in taught.running.sdk.fine_tuning.jobs.list() if one.model == "ada"]
    text = taught.running.sdk.files.content(job.result_files[0]).text
    assert "reward" not in text
    assert job.method is not None
    assert job.method.dpo is None


def test_a_base_that_was_never_taught_is_trained_with_a_warning(running: Running) -> None:
    job_id = prefer(running, "ada")
    assert running.wait_for_end(job_id).status == "succeeded"
    events = running.sdk.fine_tuning.jobs.list_events(job_id)
    (warning,) = [event for event in events if event.level == "warn"]
    assert "train it on the preferred answers first" in warning.message


@pytest.mark.parametrize(
    ("method", "rows", "reason"),
    [
        ("dpo", animals(), "line 1: a completion row; the method dpo needs rows with input"),
        ("dpo", greetings(), "line 1: a chat row; the method dpo"),
        ("supervised", [preference("axe")], "line 1: a preference row; the method supervised"),
        ("dpo", [preference("axe"), {"input": {}}], "line 2: preferred_output is missing"),
    ],
)
def test_rows_of_another_method_fail_the_job_with_the_line(
    running: Running, method: Any, rows: list[dict[str, object]], reason: str
) -> None:
    created = running.sdk.fine_tuning.jobs.create(
        model="ada", training_file=running.upload(rows), method={"type": method}
    )
    job = running.wait_for_end(created.id)
    assert job.error is not None
    assert (job.error.code, job.error.param) == ("invalid_training_file", "training_file")
    assert reason in job.error.message


def test_bad_preference_rows_are_reported_at_the_upload(idle: Running) -> None:
    file_id = idle.upload([preference("axe"), {**preference("saw"), "preferred_output": []}])
    file = idle.sdk.files.retrieve(file_id)
    assert file.status == "error"
    assert file.status_details is not None
    assert file.status_details.startswith("line 2: preferred_output is not a list")


def test_before_it_runs_a_preference_job_says_auto(idle: Running) -> None:
    job = idle.sdk.fine_tuning.jobs.retrieve(prefer(idle, "ada", n_epochs=2))
    assert job.method is not None
    assert job.method.dpo is not None
    assert job.method.dpo.hyperparameters is not None
    assert job.method.dpo.hyperparameters.beta == "auto"
    assert job.method.dpo.hyperparameters.n_epochs == 2


def test_a_beta_of_nothing_is_refused(idle: Running) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        prefer(idle, "ada", beta=0)
    assert caught.value.param == "method.dpo.hyperparameters.beta"
