"""OpenAI's SDK with requests as in the example that Crusoe publishes for fine-tuning.

https://github.com/crusoecloud/solutions-library, crusoe-managed-finetuning-example
"""

import os
from typing import Any

import httpx2
import openai

from conformance.scripts.outcomes import KEPT, attempt, refusal, wait_until, write_chats

CLIENT: Any = openai.OpenAI(
    base_url=os.environ["CRUSOE_BASE_URL"],
    api_key=os.environ["CRUSOE_API_KEY"],
    max_retries=0,
    _strict_response_validation=True,
)
JOBS = CLIENT.fine_tuning.jobs
BASE = "meta-llama/Llama-3.1-8B-Instruct"
ENDED = ("succeeded", "failed", "cancelled")


def render_job(**hyperparameters: Any) -> dict[str, Any]:
    method = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
    job = {"model": KEPT["base"], "training_file": KEPT["file"], "suffix": "colours"}
    return {**job, "method": method}


@attempt("models.list: the opaque ids of models that can be trained")
def _() -> None:
    (KEPT["base"],) = (
        model.id
        for model in CLIENT.models.list()
        if model.model_name == BASE and model.fine_tuning_available
    )
    assert KEPT["base"].startswith("model-")


@attempt("files.create, list by purpose, retrieve")
def _() -> None:
    for name in ("train.jsonl", "test.jsonl"):
        with write_chats(name).open("rb") as file:
            KEPT[name] = CLIENT.files.create(file=file, purpose="fine-tune").id
    KEPT["file"] = KEPT["train.jsonl"]
    assert KEPT["file"] in [file.id for file in CLIENT.files.list(purpose="fine-tune")]
    assert CLIENT.files.retrieve(KEPT["file"]).filename == "train.jsonl"


@attempt("POST /fine_tuning/jobs/estimate_price")
def _() -> None:
    body = render_job(n_epochs=2)
    price = CLIENT.post("/fine_tuning/jobs/estimate_price", cast_to=object, body=body)
    assert float(price["estimated_price"]) > 0


@attempt("jobs.create with a method, a suffix and a validation file")
def _() -> None:
    hyperparameters = {
        "n_epochs": 2,
        "batch_size": 16,
        "learning_rate": "auto",
        "lr_scheduler": "cosine",
        "lora_rank": 16,
        "overlong_row_behavior": "drop",
    }
    job = JOBS.create(**render_job(**hyperparameters), validation_file=KEPT["test.jsonl"])
    assert job.status not in ENDED
    KEPT["job"] = job.id


@attempt("jobs.retrieve until succeeded, then until the model has its name")
def _() -> None:
    job = wait_until(lambda: JOBS.retrieve(KEPT["job"]), lambda job: job.status in ENDED)
    assert (job.status, job.fine_tuned_model) == ("succeeded", None)
    named = wait_until(lambda: JOBS.retrieve(KEPT["job"]), lambda job: bool(job.fine_tuned_model))
    KEPT["model"] = named.fine_tuned_model
    assert KEPT["job"] in [listed.id for listed in JOBS.list()]


@attempt("jobs.checkpoints.list: a name to show and a name to deploy")
def _() -> None:
    checkpoints = JOBS.checkpoints.list(KEPT["job"]).data
    assert all(item.fine_tuned_model_id.startswith("ftmodel-") for item in checkpoints)
    assert all(item.fine_tuned_model_checkpoint for item in checkpoints)
    assert {item.step_number for item in checkpoints} == {20, 40}


@attempt("jobs.list_events, GET /fine_tuning/jobs/ID/metrics")
def _() -> None:
    assert len(JOBS.list_events(KEPT["job"]).data) > 0
    answer = CLIENT.get(f"/fine_tuning/jobs/{KEPT['job']}/metrics", cast_to=object)
    assert "ev_loss" in [series["metric_name"] for series in answer["metrics"]]


@attempt("GET /models/ID/download: the adapter as a ZIP archive")
def _() -> None:
    url = f"{os.environ['CRUSOE_BASE_URL']}/models/{KEPT['model']}/download"
    headers = {"Authorization": f"Bearer {os.environ['CRUSOE_API_KEY']}"}
    with httpx2.stream("GET", url, headers=headers) as answer:
        assert b"".join(answer.iter_bytes(8192)).startswith(b"PK")


@attempt("jobs.cancel")
def _() -> None:
    assert JOBS.cancel(JOBS.create(**render_job(n_epochs="auto")).id).status == "cancelled"


@attempt("refused: models by name, values out of bounds, a wrong key")
def _() -> None:
    refusal(openai.APIStatusError, lambda: JOBS.create(**{**render_job(), "model": BASE}))
    refusal(openai.BadRequestError, lambda: JOBS.create(**render_job(batch_size=17)))
    refusal(openai.AuthenticationError, lambda: CLIENT.with_options(api_key="no").models.list())


@attempt("files.delete")
def _() -> None:
    assert CLIENT.files.delete(KEPT["file"]).deleted
    refusal(openai.NotFoundError, lambda: CLIENT.files.retrieve(KEPT["file"]))
