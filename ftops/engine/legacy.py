"""The differences of jobs of the legacy protocol (`/v1/fine-tunes`).

They wait in the same queue and are trained by the same workers. Only ids, defaults, model names,
event messages and result columns are those that the service had until 2024. Events are stored once,
and rendered for the protocol of the request.

The legacy learning rate multiplier was relative to the rate of the base model's pretraining; that
of `tiny` is relative to a rate for random weights. LEGACY_RATE converts: the legacy 0.1 is tiny's
0.5. The defaults are those of the service, four epochs included: a small file has batches of one
row, and so enough steps. Measured with the defaults on short sentences of three topics, accuracy on
180 others: 0.93 with 720 rows (`ada` and `curie`), 0.90 with 300 (`ada`), 0.72 with 150: use more
epochs for so few rows.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from ftops.engine.hyperparameters import JobHyperparameters
from ftops.engine.ids import result_file_id
from ftops.engine.store import EventRow, JobRow, JobStatus
from ftops.records import Json

ID_PREFIX = "ft"
MAX_SUFFIX = 40
DEFAULT_MODEL = "curie"
RESULTS_NAME = "compiled_results.csv"
DEFAULTS: Mapping[str, Json] = MappingProxyType({"n_epochs": 4, "prompt_loss_weight": 0.01})
LEGACY_RATE = 5.0  # tiny's multiplier for a legacy one of 1

_BATCH_SHARE = 0.002  # of the rows
_LARGEST_BATCH = 256
_MULTIPLIERS = ((64, 0.2), (4, 0.1), (1, 0.05))  # from these batch sizes on
_ORGANIZATION = "organization"  # a key of the metadata, which legacy requests do not have
_STATUSES = MappingProxyType(
    {JobStatus.VALIDATING_FILES: "pending", JobStatus.QUEUED: "pending"}
)  # the others have the same names
_COLUMNS = MappingProxyType(
    {
        "step": "step",
        "elapsed_tokens": "elapsed_tokens",
        "elapsed_examples": "elapsed_examples",
        "training_loss": "train_loss",
        "training_sequence_accuracy": "train_sequence_accuracy",
        "training_token_accuracy": "train_accuracy",
        "validation_loss": "valid_loss",
        "validation_sequence_accuracy": "valid_sequence_accuracy",
        "validation_token_accuracy": "valid_mean_token_accuracy",
    }
)


def is_legacy(job_id: str) -> bool:
    """Whether the legacy protocol created the job."""
    return job_id.startswith(f"{ID_PREFIX}-")


def get_status(job: JobRow) -> str:
    """pending, running, succeeded, failed or cancelled."""
    return _STATUSES.get(job.status, job.status.value)


def with_defaults(settings: JobHyperparameters, n_rows: int) -> JobHyperparameters:
    """The hyperparameters with the service's rules for "auto".

    Batches are 0.2 % of the rows (1 to 256); the multiplier is 0.05, 0.1 or 0.2 by batch size.
    """
    batch_size = settings.batch_size
    if isinstance(batch_size, str):
        batch_size = max(1, min(_LARGEST_BATCH, round(_BATCH_SHARE * n_rows)))
    multiplier = settings.learning_rate_multiplier
    if isinstance(multiplier, str):
        multiplier = next(rate for least, rate in _MULTIPLIERS if batch_size >= least)
    return replace(settings, batch_size=batch_size, learning_rate_multiplier=multiplier)


def parse_organization(header: str | None, owner: str) -> str:
    """The organization in a header, as a part of model names; without one, the owner.

    It has no effect on access, which depends only on the key.
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "-", header or "").strip("-")[:64] or owner


def make_metadata(organization: str) -> dict[str, str]:
    """The metadata of a legacy job."""
    return {_ORGANIZATION: organization}


def get_organization(job: JobRow) -> str:
    return job.metadata.get(_ORGANIZATION, job.owner)


def free_model_name(job: JobRow, now: int, is_taken: Callable[[str], bool]) -> str:
    """`BASE:ft-ORGANIZATION[:SUFFIX]-YYYY-MM-DD-HH-MM-SS` in UTC, with the first free second."""
    suffix = re.sub(r"[^a-z0-9.]+", "-", (job.suffix or "").lower()).strip("-")
    front = f"{job.base}:ft-{get_organization(job)}{f':{suffix}' if suffix else ''}"
    while is_taken(name := f"{front}-{datetime.fromtimestamp(now, UTC):%Y-%m-%d-%H-%M-%S}"):
        now += 1
    return name


def result_columns(*, validated: bool) -> Mapping[str, str]:
    """Legacy column titles, and the engine's name of each column."""
    return {
        title: source
        for title, source in _COLUMNS.items()
        if validated or not title.startswith("validation_")
    }


def result_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Classification metrics by their legacy titles: F-scores have a decimal (`f1.0`)."""
    return {
        re.sub(r"(?<=/f)[\d.]+$", lambda beta: str(float(beta[0])), title): value
        for title, value in metrics.items()
    }


def list_messages(job_id: str, event: EventRow) -> tuple[str, ...]:
    """The legacy messages for the event: none, one or two."""
    data = event.data
    match event.key.partition(":")[0]:
        case "created":
            return (f"Created fine-tune: {job_id}",)
        case "queued":
            position = data.get("queue_position", 0)
            return ("Fine-tune costs $0.00", f"Fine-tune enqueued. Queue number: {position}")
        case "queue":
            return (f"Fine-tune is in the queue. Queue number: {data['queue_position']}",)
        case "started":
            return ("Fine-tune started",)
        case "epoch":
            return (f"Completed epoch {data['epoch']}/{data['n_epochs']}",)
        case "model":
            return (f"Uploaded model: {data['fine_tuned_model']}",)
        case "succeeded":
            return (f"Uploaded result file: {result_file_id(job_id)}", "Fine-tune succeeded")
        case "failed":
            return (f"Fine-tune failed. {data['reason']}",)
        case "cancelled":
            return ("Fine-tune cancelled",)
        case _:
            return ()  # that service had no events for checks and single steps
