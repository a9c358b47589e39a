"""Together's own SDK; it validates each answer strictly against its types."""

from pathlib import Path
from typing import Any

import together

from conformance.scripts.outcomes import KEPT, attempt, refusal, wait_until, write_chats

CLIENT: Any = together.Together(max_retries=0, _strict_response_validation=True)
BASE = "Qwen/Qwen3-8B"
PROJECT = "proj_1"
ENDED = ("completed", "error", "user_error", "cancelled")


def upload(name: str) -> Any:
    return CLIENT.files.upload(write_chats(name, len(name)))


def wait_for_checks(file_id: str) -> Any:
    states = ("COMPLETED", "FAILED", "INVALID_FORMAT")
    return wait_until(
        lambda: CLIENT.files.retrieve(file_id), lambda file: file.processing_status in states
    )


@attempt("files.upload: redirect, storage, preprocess")
def _() -> None:
    KEPT["file"], KEPT["validation"] = (upload(name).id for name in ("train.jsonl", "test.jsonl"))
    for file_id in (KEPT["file"], KEPT["validation"]):
        assert wait_for_checks(file_id).processing_status == "COMPLETED"


@attempt("files.upload of the same content: the same file")
def _() -> None:
    assert upload("train.jsonl").id == KEPT["file"]


@attempt("files.list, retrieve, content")
def _() -> None:
    assert {KEPT["file"], KEPT["validation"]} <= {file.id for file in CLIENT.files.list().data}
    assert CLIENT.files.content(KEPT["file"]).read() == Path("train.jsonl").read_bytes()


@attempt("fine_tuning.model_limits, estimate_price")
def _() -> None:
    assert CLIENT.fine_tuning.model_limits(model_name=BASE).max_num_epochs == 20
    refusal(together.NotFoundError, lambda: CLIENT.fine_tuning.model_limits(model_name="none"))
    method = {"method": "sft", "train_on_inputs": "auto"}
    price = CLIENT.fine_tuning.estimate_price(
        training_file=KEPT["file"], model=BASE, n_epochs=2, training_method=method
    )
    assert price.estimation_available is True
    assert price.allowed_to_proceed
    assert price.estimated_total_price > 0


@attempt("fine_tuning.create with LoRA, a suffix, a seed and a validation file")
def _() -> None:
    job = CLIENT.fine_tuning.create(
        training_file=KEPT["file"],
        validation_file=KEPT["validation"],
        model=BASE,
        n_epochs=2,
        n_evals=2,
        lora=True,
        suffix="colours",
        random_seed=7,
    )
    assert job.id.startswith("ft-")
    KEPT["job"] = job.id


@attempt("fine_tuning.retrieve until completed")
def _() -> None:
    job = wait_until(
        lambda: CLIENT.fine_tuning.retrieve(KEPT["job"]), lambda job: job.status in ENDED
    )
    assert job.status == "completed", job.status
    assert "colours" in job.x_model_output_name
    assert (job.n_epochs, job.training_type.lora_r, job.training_type.lora_alpha) == (2, 8, 16)


@attempt("fine_tuning.list")
def _() -> None:
    (listed,) = (job for job in CLIENT.fine_tuning.list().data if job.id == KEPT["job"])
    assert (listed.suffix, listed.random_seed, listed.status) == ("colours", 7, "completed")


@attempt("fine_tuning.list_events")
def _() -> None:
    events = CLIENT.fine_tuning.list_events(KEPT["job"]).data
    assert {"job_pending", "training_start", "epoch_complete"} <= {event.type for event in events}


@attempt("fine_tuning.list_metrics")
def _() -> None:
    metrics = CLIENT.fine_tuning.list_metrics(KEPT["job"]).metrics
    assert [row["train/loss"] for row in metrics if "train/loss" in row] == [2.5, 2.0]


@attempt("fine_tuning.list_checkpoints, content")
def _() -> None:
    checkpoints = CLIENT.fine_tuning.list_checkpoints(KEPT["job"]).data
    assert {3, 6} <= {checkpoint.step for checkpoint in checkpoints}
    for kind in ("merged", "adapter"):
        content = CLIENT.fine_tuning.content(ft_id=KEPT["job"], checkpoint=kind).read()
        assert len(content) == 16384


@attempt("fine_tuning.create on preferences (dpo), from a fine-tuned model")
def _() -> None:
    CLIENT.fine_tuning.create(
        training_file=KEPT["file"], model=BASE, training_method="dpo", dpo_beta=0.2
    )
    CLIENT.fine_tuning.create(training_file=KEPT["file"], from_checkpoint=KEPT["job"])


@attempt("fine_tuning.cancel")
def _() -> None:
    job = CLIENT.fine_tuning.create(training_file=KEPT["file"], model=BASE)
    CLIENT.fine_tuning.cancel(job.id)
    look = wait_until(lambda: CLIENT.fine_tuning.retrieve(job.id), lambda job: job.status in ENDED)
    assert look.status == "cancelled"


@attempt("refused: values out of bounds, unknown files, a wrong key")
def _() -> None:
    for fields in ({"n_epochs": 99}, {"suffix": "s" * 41}, {"training_file": "file-none"}):
        refusal(
            together.APIStatusError,
            lambda fields=fields: CLIENT.fine_tuning.create(  # type: ignore[misc]
                **{"training_file": KEPT["file"], "model": BASE, **fields}
            ),
        )
    refusal(
        together.AuthenticationError,
        lambda: CLIENT.with_options(api_key="none").fine_tuning.list(),
    )


@attempt("endpoints: hardware and prices, create, deployments, delete")
def _() -> None:
    hardware = CLIENT.endpoints.hardware.list().data
    assert all(kind.price_cents_per_hour > 0 for kind in hardware)
    (model,) = (
        model for model in CLIENT.models.list(project_id=PROJECT) if "colours" in (model.name or "")
    )
    configs = list(CLIENT.models.configs.list(project_id=PROJECT, reference_model=model.base_model))
    endpoint = CLIENT.endpoints.create(project_id=PROJECT, name="colours")
    deployments = CLIENT.endpoints.deployments
    made = deployments.create(
        endpoint.id,
        project_id=PROJECT,
        name="colours",
        model=f"projects/{PROJECT}/models/{model.id}",
        config=f"projects/proj_public/configs/{configs[0].id}",
        autoscaling={"min_replicas": 1, "max_replicas": 1},
        inactive_timeout=30,
    )
    ready = wait_until(
        lambda: deployments.retrieve(made.id, project_id=PROJECT, endpoint_id=endpoint.id),
        lambda deployment: deployment.status.state.endswith("_READY"),
    )
    answer = CLIENT.chat.completions.create(
        model=ready.name, messages=[{"role": "user", "content": "thing 1 is green"}]
    )
    assert answer.choices[0].message.content == " 2"
    deployments.delete(made.id, project_id=PROJECT, endpoint_id=endpoint.id)
    CLIENT.endpoints.delete(endpoint.id, project_id=PROJECT)
    assert endpoint.id not in [item.id for item in CLIENT.endpoints.list(project_id=PROJECT)]


@attempt("models.delete, fine_tuning.delete, files.delete")
def _() -> None:
    for model in list(CLIENT.models.list(project_id=PROJECT)):
        CLIENT.models.delete(model.id, project_id=PROJECT)
    CLIENT.fine_tuning.delete(KEPT["job"])
    CLIENT.files.delete(KEPT["file"])
    refusal(together.NotFoundError, lambda: CLIENT.files.retrieve(KEPT["file"]))
