"""Jobs of the Hugging Face Hub: their requests, and records from their JSON and their logs.

A job is a container in which TRL trains. The values of a request are arguments of its command, and
never part of the shell script that copies the rows to where TRL expects them.
https://huggingface.co/docs/huggingface_hub/guides/jobs
"""

import ast
import csv
import hashlib
import io
import json
import math
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from ftops.capabilities import Capabilities
from ftops.errors import Rejected
from ftops.http.response import JsonObject
from ftops.providers.openai_response import UNKNOWN_TIME
from ftops.providers.provider import RUN_ID_METADATA, RUN_KEY_METADATA
from ftops.records import Job, JobError, JobEvent, JobRequest, Json, Method

SECTION = "huggingface"
DEFAULT_FLAVOR = "t4-small"
_DEFAULT_IMAGE = "huggingface/trl"
_SCHEME = "hf://datasets/"
COMPLETED = "COMPLETED"
_STATUSES = {
    "SCHEDULING": "queued",
    "RUNNING": "running",
    COMPLETED: "succeeded",
    "CANCELED": "cancelled",
    "ERROR": "failed",
    "DELETED": "failed",
}
_COMMANDS = {Method.SUPERVISED: "sft", Method.DPO: "dpo"}
_HYPERPARAMETERS = {
    "n_epochs": "num_train_epochs",
    "batch_size": "per_device_train_batch_size",
    "learning_rate": "learning_rate",
    "beta": "beta",
}
_OPTIONS = (
    "lora_r", "lora_alpha", "lora_dropout", "max_length", "gradient_accumulation_steps",
    "weight_decay", "assistant_only_loss",
)  # fmt: skip
_SFT_ONLY = frozenset({"assistant_only_loss"})
# The card of a model names the folder of the rows, and only a plain name is valid there.
_SCRIPT = """\
set -eu
cd /tmp
mkdir -p training-rows
cp "/data/${TRAINING_FILE#hf://datasets/}" training-rows/train.jsonl
if [ -n "${VALIDATION_FILE:-}" ]; then
  cp "/data/${VALIDATION_FILE#hf://datasets/}" training-rows/validation.jsonl
fi
exec trl "$@"
"""
_SHELL = ("sh", "-c", _SCRIPT, "trl")
_START_S = 1800.0  # to pull the image and to load the model
_BYTES_PER_S = 400.0  # of rows: about 100 tokens, as a large model trains on a small GPU
_LONGEST_S = 7 * 86_400
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DEFAULT_EPOCHS = 3
_NAME_MAX = 96  # characters of a repository's name
_COLUMNS = {"loss": "train_loss", "mean_token_accuracy": "train_mean_token_accuracy"}
_FIRST_COLUMNS = ("train_loss", "valid_loss")
_NO_METRIC = re.compile(r"epoch|.*(runtime|per_second)")


def to_labels(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata that identifies a job as labels."""
    return {
        name: metadata[name] for name in (RUN_ID_METADATA, RUN_KEY_METADATA) if name in metadata
    }


def make_file_id(repository: str, filename: str) -> str:
    """The id of a file in a dataset repository."""
    return f"{_SCHEME}{repository}/{filename}"


def split_file_id(file_id: str) -> tuple[str, str] | None:
    """The dataset repository and the path in it; None if the id has another form."""
    match = re.fullmatch(rf"{_SCHEME}([\w.-]+/[\w.-]+)/([^?#]+)", file_id)
    return (match[1], match[2]) if match else None


def make_repository_name(request: JobRequest) -> str:
    """The name of the repository that gets the model; no other job has it."""
    unique = request.metadata.get(RUN_ID_METADATA) or secrets.token_hex(6)
    name = request.suffix or request.model.rpartition("/")[2]
    longest = _NAME_MAX - len(unique) - 1
    return re.sub(r"[^A-Za-z0-9_]+", "-", f"{name[:longest]}-{unique}").strip("-")


def get_flavor(request: JobRequest) -> str:
    """The machine that the request names."""
    return str(request.sections.get(SECTION, {}).get("flavor") or DEFAULT_FLAVOR)


def estimate_timeout_s(request: JobRequest, training_bytes: int) -> int:
    """The time after which the job is stopped: that of the job file, else a generous estimate."""
    named = request.sections.get(SECTION, {}).get("timeout")
    if isinstance(named, str):
        parts = re.findall(r"([0-9]+)([smhd])", named)
        return min(_LONGEST_S, sum(int(number) * _UNITS_S[unit] for number, unit in parts))
    epochs = request.hyperparameters.n_epochs
    passes = _DEFAULT_EPOCHS if epochs == "auto" else epochs
    seconds = _START_S + passes * training_bytes / _BYTES_PER_S
    return min(_LONGEST_S, 60 * math.ceil(seconds / 60))


def render_job(
    request: JobRequest,
    capabilities: Capabilities,
    *,
    repository: str,
    timeout_s: int,
    token: str,
) -> dict[str, Json]:
    """The body of the request that creates a job; "auto" and unset fields are left out.

    Raises Rejected for a method, a hyperparameter or a file that the provider would ignore.
    """
    if request.method not in capabilities.methods:
        raise Rejected(f"this provider has no method {request.method}; nothing was sent")
    options = request.sections.get(SECTION, {})
    environment: dict[str, Json] = {"TRAINING_FILE": request.training_file}
    if request.validation_file:
        environment["VALIDATION_FILE"] = request.validation_file
    arguments = _render_arguments(request, capabilities, repository)
    command: list[Json] = [*_SHELL, _COMMANDS[request.method]]
    for name, value in arguments.items():
        command += [f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)]
    body: dict[str, Json] = {
        "command": command,
        "arguments": [],
        "environment": environment,
        "flavor": get_flavor(request),
        "timeoutSeconds": timeout_s,
        "dockerImage": options.get("image") or _DEFAULT_IMAGE,
        "labels": {**to_labels(request.metadata), "name": repository.rpartition("/")[2]},
        "volumes": _render_volumes(request),
    }
    if token:
        body["secrets"] = {"HF_TOKEN": token}
    return body


def _render_arguments(
    request: JobRequest, capabilities: Capabilities, repository: str
) -> dict[str, Json]:
    options = request.sections.get(SECTION, {})
    arguments: dict[str, Json] = {
        "model_name_or_path": request.model,
        "dataset_name": "training-rows",
        "output_dir": "model",
        "push_to_hub": True,
        "hub_model_id": repository,
        "hub_private_repo": True,
        "hub_strategy": "checkpoint",
        "save_strategy": "epoch",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
    }
    if request.seed is not None:
        arguments["seed"] = request.seed
    if request.validation_file:
        arguments |= {"eval_strategy": "epoch", "dataset_test_split": "validation"}
    for name, value in asdict(request.hyperparameters).items():
        if value in (None, "auto"):
            continue
        if name not in capabilities.hyperparameters:
            raise Rejected(f"this provider takes no hyperparameter {name!r}; nothing was sent")
        arguments[_HYPERPARAMETERS[name]] = value
    if options.get("lora", True):
        arguments["use_peft"] = True
    for name in _OPTIONS:
        if (option := options.get(name)) is None:
            continue
        if name in _SFT_ONLY and request.method is not Method.SUPERVISED:
            raise Rejected(f"{name} is for the method supervised; nothing was sent")
        arguments[name] = option
    return arguments


def _render_volumes(request: JobRequest) -> list[Json]:
    """Each repository of a file as a folder of the container, read-only."""
    repositories = []
    for file_id in filter(None, (request.training_file, request.validation_file)):
        parts = split_file_id(file_id)
        if parts is None:
            raise Rejected(
                f"{file_id!r} is not the id of a file at the Hub; nothing was sent",
                hint=f"An id is like {make_file_id('acme/data', 'train.jsonl')}.",
            )
        repositories.append(parts[0])
    return [
        {
            "type": "dataset",
            "source": repository,
            "mountPath": f"/data/{repository}",
            "readOnly": True,
        }
        for repository in dict.fromkeys(repositories)
    ]


def read_arguments(fields: JsonObject) -> Mapping[str, str]:
    """The arguments of `trl` in the command of a job; empty for a job of another program."""
    command = fields.values.get("command")
    start = len(_SHELL) + 1
    if not isinstance(command, list) or command[: len(_SHELL)] != list(_SHELL):
        return {}
    texts = [str(item) for item in command[start:]]
    return {
        name.removeprefix("--"): value for name, value in zip(texts[::2], texts[1::2], strict=False)
    }


def read_job(fields: JsonObject, *, has_model: bool | None = None) -> Job:
    """The record of a job; its id and stage are required.

    `has_model` says whether the repository of a completed job has a model; None if unknown.
    """
    status = fields.get_object("status")
    stage = status.get_text("stage")
    arguments, environment = read_arguments(fields), fields.get_texts("environment")
    repository = arguments.get("hub_model_id")
    labels = fields.get_texts("labels")
    seed = arguments.get("seed", "")
    message = status.find_text("message")
    ended = _STATUSES.get(stage, stage.lower())
    return Job(
        id=fields.get_text("id"),
        status=ended,
        model=arguments.get("model_name_or_path", ""),
        created_at=fields.find_time("createdAt") or UNKNOWN_TIME,
        fine_tuned_model=repository if has_model else None,
        finished_at=fields.find_time("finishedAt"),
        training_file=environment.get("TRAINING_FILE"),
        validation_file=environment.get("VALIDATION_FILE"),
        hyperparameters=_read_hyperparameters(arguments),
        seed=int(seed) if seed.isdecimal() else None,
        metadata=to_labels(labels),
        error=JobError(stage, message or "") if ended == "failed" else None,
    )


def _read_hyperparameters(arguments: Mapping[str, str]) -> dict[str, int | float | str]:
    found: dict[str, int | float | str] = {}
    for name, argument in _HYPERPARAMETERS.items():
        text = arguments.get(argument)
        if text is not None:
            found[name] = int(text) if text.isdecimal() else _find_number(text) or text
    return found


@dataclass
class JobLog:
    """The lines of a job's log: what it prints, and the metrics of its steps.

    TRL prints one line for each step (`logging_steps` is 1), without the number of the step.
    """

    events: list[JobEvent] = field(default_factory=list)
    steps: dict[int, dict[str, float]] = field(default_factory=dict)
    last_text: str = ""  # the last line that has no metrics

    @classmethod
    def read(cls, lines: Iterable[str]) -> "JobLog":
        """The log in the lines of its event stream."""
        log = cls()
        counts: dict[str, int] = {}
        for at, text in _read_stream(lines):
            said = f"{at.isoformat()} {text}"
            counts[said] = counts.get(said, 0) + 1
            digest = hashlib.sha256(f"{said} {counts[said]}".encode()).hexdigest()
            log._add(f"line-{digest[:24]}", at, text)
        return log

    def render_table(self) -> bytes | None:
        """The metrics by step as a CSV table with OpenAI's names of columns; None without any."""
        names = {name for values in self.steps.values() for name in values}
        first = [name for name in _FIRST_COLUMNS if name in names]
        if not names:
            return None
        table = io.StringIO()
        columns = ["step", *first, *sorted(names.difference(first))]
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({"step": step, **values} for step, values in self.steps.items())
        return table.getvalue().encode()

    def _add(self, event_id: str, at: datetime, text: str) -> None:
        printed = _read_metrics(text)
        is_training, is_evaluation = "loss" in printed, "eval_loss" in printed
        if not (is_training or is_evaluation):
            self.last_text = text
            self.events.append(JobEvent(event_id, at, "info", text))
            return
        step = len(self.steps) + 1 if is_training else max(1, len(self.steps))
        values = {_get_column(name): value for name, value in printed.items()}
        values = {name: value for name, value in values.items() if not _NO_METRIC.fullmatch(name)}
        self.steps.setdefault(step, {}).update(values)
        message = f"Step {step}: " + ", ".join(
            f"{name} {values[name]:.4g}" for name in _FIRST_COLUMNS if name in values
        )
        data: dict[str, Json] = {"step": step, **values}
        self.events.append(JobEvent(event_id, at, "info", message, "metrics", data))


def _read_stream(lines: Iterable[str]) -> Iterator[tuple[datetime, str]]:
    """The times and texts of the log in an event stream; a truncated event is dropped."""
    for line in lines:
        if not line.startswith("data:"):
            continue
        try:
            event = json.loads(line.removeprefix("data:"))
        except (ValueError, RecursionError):
            continue
        if not isinstance(event, dict):
            continue
        fields = JsonObject(event, "read the log")
        text = (fields.find_text("data") or "").rstrip()
        if text and not text.startswith("===== Job started"):
            yield fields.find_time("timestamp") or UNKNOWN_TIME, text


def _read_metrics(text: str) -> dict[str, float]:
    """The numbers of a line that is a JSON object or a Python dict; empty for other lines."""
    if not (text.startswith("{") and text.endswith("}")):
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return {}
    if not isinstance(value, dict):
        return {}
    numbers = {str(name): _find_number(item) for name, item in value.items()}
    return {name: number for name, number in numbers.items() if number is not None}


def _find_number(value: object) -> float | None:
    """A finite number, also as text: Transformers 5 prints the numbers of a step as texts."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _get_column(name: str) -> str:
    if name.startswith("eval_"):
        return f"valid_{name.removeprefix('eval_')}"
    return _COLUMNS.get(name, name)
