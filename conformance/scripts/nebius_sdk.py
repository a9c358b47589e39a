"""OpenAI's SDK with requests as in the notebook that Nebius publishes for fine-tuning.

https://github.com/nebius/token-factory-cookbook, post-training/fine-tuning-1
"""

import os
from pathlib import Path
from typing import Any

import httpx2
import openai

from conformance.scripts.outcomes import KEPT, attempt, refusal, wait_until, write_chats

CLIENT: Any = openai.OpenAI(
    base_url=os.environ["NEBIUS_BASE_URL"],
    api_key=os.environ["NEBIUS_API_KEY"],
    max_retries=0,
    _strict_response_validation=True,
)
LENIENT: Any = openai.OpenAI(  # files have no status at Nebius, although the SDK requires one
    base_url=CLIENT.base_url, api_key=CLIENT.api_key, max_retries=0
)
JOBS = CLIENT.fine_tuning.jobs
BASE, SERVED_BASE = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B-Instruct"
ACTIVE = ("validating_files", "queued", "running")


def create(**fields: Any) -> Any:
    return JOBS.create(**{"model": BASE, "training_file": KEPT["file"], **fields})


def call_models(method: str, path: str, body: dict[str, str] | None = None) -> Any:
    """A request to the API of deployed adapters, which is not OpenAI's."""
    url = os.environ["NEBIUS_BASE_URL"].removesuffix("/v1") + f"/v0/models{path}"
    headers = {"Authorization": f"Bearer {os.environ['NEBIUS_API_KEY']}"}
    return httpx2.request(method, url, headers=headers, json=body).json()


@attempt("files.create, retrieve, list")
def _() -> None:
    for name in ("train.jsonl", "test.jsonl"):
        with write_chats(name).open("rb") as file:
            KEPT[name] = LENIENT.files.create(file=file, purpose="fine-tune").id
    KEPT["file"] = KEPT["train.jsonl"]
    assert LENIENT.files.retrieve(KEPT["file"]).filename == "train.jsonl"
    assert KEPT["file"] in [file.id for file in LENIENT.files.list()]


@attempt("jobs.create with top-level hyperparameters, LoRA and a validation file")
def _() -> None:
    job = create(
        validation_file=KEPT["test.jsonl"],
        suffix="demo-run",
        hyperparameters={
            "batch_size": 32,
            "learning_rate_multiplier": 2e-5,
            "n_epochs": 2,
            "warmup_ratio": 0.03,
            "weight_decay": 0,
            "lora": True,
            "packing": True,
        },
    )
    assert job.status == "running"
    assert job.hyperparameters.learning_rate == 2e-5  # the multiplier is the rate itself
    KEPT["job"] = job.id


@attempt("jobs.create with a method and a seed; cancel")
def _() -> None:
    hyperparameters = {"n_epochs": 1, "learning_rate": 1e-4, "lora": True, "lora_r": 16}
    method = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
    job = create(method=method, seed=7)
    assert (job.seed, job.hyperparameters.lora_r) == (7, 16)
    assert JOBS.cancel(job.id).status == "cancelled"


@attempt("jobs.retrieve until succeeded, jobs.list")
def _() -> None:
    job = wait_until(lambda: JOBS.retrieve(KEPT["job"]), lambda job: job.status not in ACTIVE)
    assert job.status == "succeeded"
    assert job.trained_tokens > 0
    assert KEPT["job"] in [listed.id for listed in JOBS.list(limit=1)]


@attempt("jobs.list_events: oldest first")
def _() -> None:
    events = JOBS.list_events(KEPT["job"]).data
    assert [event.created_at for event in events] == sorted(event.created_at for event in events)
    assert events[-1].message == "Training completed successfully"


@attempt("jobs.checkpoints.list, files.content of its files")
def _() -> None:
    checkpoints = JOBS.checkpoints.list(KEPT["job"]).data
    assert len(checkpoints) == 2
    assert checkpoints[0].metrics.train_loss > checkpoints[-1].metrics.train_loss
    KEPT["checkpoint"] = checkpoints[-1].id
    names = set()
    for file_id in checkpoints[-1].result_files:
        name = LENIENT.files.retrieve(file_id).filename.split("/")[1]
        LENIENT.files.content(file_id).write_to_file(name)
        assert Path(name).stat().st_size > 0
        names.add(name)
    assert names == {"adapter_config.json", "adapter_model.safetensors"}


@attempt("POST /v0/models, GET until active, chat.completions.create")
def _() -> None:
    source = f"{KEPT['job']}:{KEPT['checkpoint']}"
    body = {"name": "demo", "base_model": SERVED_BASE, "source": source}
    name = call_models("POST", "", body)["name"]
    seen = wait_until(
        lambda: call_models("GET", f"/{name}"),
        lambda answer: answer.get("status") in ("active", "error"),
    )
    assert (seen["status"], seen["job_id"]) == ("active", KEPT["job"])
    content = [{"type": "text", "text": "thing 1 is green"}]
    answer = CLIENT.chat.completions.create(
        model=name, messages=[{"role": "user", "content": content}]
    )
    assert answer.choices[0].message.content == " 2"
    KEPT["model"] = name


@attempt("models.delete: the adapter answers no more")
def _() -> None:
    assert CLIENT.models.delete(KEPT["model"]).deleted
    messages = [{"role": "user", "content": "thing 1 is green"}]
    refusal(
        openai.NotFoundError,
        lambda: CLIENT.chat.completions.create(model=KEPT["model"], messages=messages),
    )


@attempt("refused: both places of hyperparameters, values out of bounds, a wrong key")
def _() -> None:
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}
    for fields in (
        {"method": method, "hyperparameters": {"n_epochs": 1}},
        {"hyperparameters": {"n_epochs": "auto"}},
        {"hyperparameters": {"lora_r": 1}},
        {"metadata": {"team": "search"}},
    ):
        refusal(
            openai.UnprocessableEntityError,
            lambda fields=fields: create(**fields),  # type: ignore[misc]
        )
    refusal(openai.AuthenticationError, lambda: CLIENT.with_options(api_key="no").models.list())


@attempt("files.delete")
def _() -> None:
    assert CLIENT.files.delete(KEPT["file"]).deleted
    refusal(openai.NotFoundError, lambda: CLIENT.files.retrieve(KEPT["file"]))
