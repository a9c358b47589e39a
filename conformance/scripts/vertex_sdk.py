"""Google's SDK google-genai, with made-up credentials."""

import json
import os
from collections.abc import Sequence
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types
from google.oauth2 import credentials

from conformance.scripts.outcomes import COLOURS, KEPT, attempt, refusal, wait_until

ADDRESS, TOKEN = os.environ["VERTEX_BASE_URL"], os.environ["VERTEX_API_KEY"]
BASE, BUCKET = "gemini-3.5-flash", "acme-tuning"
make_credentials: Any = credentials.Credentials
CLIENT: Any = genai.Client(
    enterprise=True,
    project="acme",
    location="us-central1",
    credentials=make_credentials(TOKEN),
    http_options=types.HttpOptions(base_url=ADDRESS),
)
ENDED = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")


def render_content(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text}]}


def store(name: str, rows: Sequence[object]) -> str:
    """Write rows to the bucket, and return their address; the SDK has no upload."""
    content = "".join(json.dumps(row) + "\n" for row in rows)
    answer = httpx2.post(
        f"{ADDRESS}/upload/storage/v1/b/{BUCKET}/o",
        params={"uploadType": "media", "name": name},
        headers={"Authorization": f"Bearer {TOKEN}"},
        content=content.encode(),
    )
    assert answer.json()["size"] == str(len(content)), answer.text
    return f"gs://{BUCKET}/{name}"


def look(name: str) -> Any:
    return CLIENT.tunings.get(name=name)


def wait_for(name: str) -> Any:
    return wait_until(lambda: look(name), lambda job: job.state.value in ENDED)


@attempt("storage: rows of contents in a bucket")
def _() -> None:
    contents = [
        [
            render_content("user", f"thing {number} is {COLOURS[number % 3]}"),
            render_content("model", COLOURS[number % 3]),
        ]
        for number in range(20)
    ]
    KEPT["rows"] = store("train.jsonl", [{"contents": row} for row in contents])
    KEPT["validation"] = store("test.jsonl", [{"contents": row} for row in contents[:4]])
    preferences = [
        {
            "contents": row[:1],
            "completions": [
                {"completion": row[1], "score": 1},
                {"completion": render_content("model", "grey"), "score": 0},
            ],
        }
        for row in contents
    ]
    KEPT["preferences"] = store("preferences.jsonl", preferences)


@attempt("tunings.tune with epochs, a multiplier, an adapter size, labels and validation rows")
def _() -> None:
    job = CLIENT.tunings.tune(
        base_model=BASE,
        training_dataset=types.TuningDataset(gcs_uri=KEPT["rows"]),
        config=types.CreateTuningJobConfig(
            tuned_model_display_name="colours",
            epoch_count=2,
            learning_rate_multiplier=0.5,
            adapter_size="ADAPTER_SIZE_FOUR",
            labels={"ftops_run": "run-1"},
            validation_dataset=types.TuningValidationDataset(gcs_uri=KEPT["validation"]),
        ),
    )
    assert job.base_model == BASE
    assert job.state.value not in ENDED
    KEPT["job"] = job.name


@attempt("tunings.get until succeeded: model, endpoint, checkpoints, statistics")
def _() -> None:
    job = wait_for(KEPT["job"])
    assert job.state.value == "JOB_STATE_SUCCEEDED", job.error
    assert job.labels == {"ftops_run": "run-1"}
    assert job.supervised_tuning_spec.hyper_parameters.epoch_count == 2
    assert job.tuning_data_stats.supervised_tuning_data_stats.tuning_dataset_example_count == 20
    assert [checkpoint.epoch for checkpoint in job.tuned_model.checkpoints] == [1, 2]
    KEPT["endpoint"], KEPT["model"] = job.tuned_model.endpoint, job.tuned_model.model
    assert "/endpoints/" in KEPT["endpoint"]


@attempt("models.generate_content by the endpoint; by the model it is not found")
def _() -> None:
    answer = CLIENT.models.generate_content(
        model=KEPT["endpoint"],
        contents="thing 1 is green",
        config=types.GenerateContentConfig(
            system_instruction="Name the colour.", max_output_tokens=4, temperature=0.0, seed=1
        ),
    )
    assert answer.text == " 2"
    assert answer.candidates[0].finish_reason.value == "STOP"
    assert answer.usage_metadata.total_token_count == 10
    refusal(
        errors.ClientError,
        lambda: CLIENT.models.generate_content(model="colours", contents="thing 1 is green"),
    )


@attempt("tunings.tune on preferences (dpo) with beta")
def _() -> None:
    job = CLIENT.tunings.tune(
        base_model=BASE,
        training_dataset=types.TuningDataset(gcs_uri=KEPT["preferences"]),
        config=types.CreateTuningJobConfig(method="PREFERENCE_TUNING", beta=0.2, epoch_count=1),
    )
    done = wait_for(job.name)
    assert done.state.value == "JOB_STATE_SUCCEEDED", done.error
    assert done.preference_optimization_spec.hyper_parameters.beta == 0.2


@attempt("tunings.tune from a tuned model")
def _() -> None:
    job = CLIENT.tunings.tune(
        base_model=KEPT["model"],
        training_dataset=types.TuningDataset(gcs_uri=KEPT["rows"]),
        config=types.CreateTuningJobConfig(epoch_count=1, export_last_checkpoint_only=True),
    )
    done = wait_for(job.name)
    assert done.state.value == "JOB_STATE_SUCCEEDED", done.error
    assert done.tuned_model.model.endswith("@2")


@attempt("tunings.list, page by page, and by a label")
def _() -> None:
    names = [job.name for job in CLIENT.tunings.list(config={"page_size": 2})]
    assert len(names) == len(set(names)) == 3
    found = CLIENT.tunings.list(config={"filter": 'labels.ftops_run="run-1"'})
    assert [job.name for job in found] == [KEPT["job"]]


@attempt("tunings.cancel")
def _() -> None:
    job = CLIENT.tunings.tune(
        base_model=BASE, training_dataset=types.TuningDataset(gcs_uri=KEPT["rows"])
    )
    CLIENT.tunings.cancel(name=job.name)
    assert wait_for(job.name).state.value == "JOB_STATE_CANCELLED"


@attempt("a row in another format: the job fails and names the row")
def _() -> None:
    bad = store("bad.jsonl", [{"messages": []}])
    job = CLIENT.tunings.tune(base_model=BASE, training_dataset=types.TuningDataset(gcs_uri=bad))
    done = wait_for(job.name)
    assert done.state.value == "JOB_STATE_FAILED"
    assert "Row 1" in done.error.message


@attempt("refused: an unknown base model, an unknown job, a wrong token")
def _() -> None:
    dataset = types.TuningDataset(gcs_uri=KEPT["rows"])
    error = refusal(
        errors.ClientError,
        lambda: CLIENT.tunings.tune(base_model="gemini-2.5-flash", training_dataset=dataset),
    )
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT")
    missing = KEPT["job"].rpartition("/")[0] + "/1"
    assert refusal(errors.ClientError, lambda: look(missing)).code == 404
    other: Any = genai.Client(
        enterprise=True,
        project="acme",
        location="us-central1",
        credentials=make_credentials("none"),
        http_options=types.HttpOptions(base_url=ADDRESS),
    )
    assert refusal(errors.ClientError, lambda: other.tunings.get(name=KEPT["job"])).code == 401
