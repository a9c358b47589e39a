"""A stand-in for the servers of Together and of its storage, behind a mock transport.

It refuses unknown fields, wrong types and wrong routes, as api.together.ai does. Each look at a job
or a deployment moves it to its next status. Files, jobs and weights are in version 1 of the API;
models, endpoints and deployments in version 2 (`together_endpoints.py`).
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.parser import BytesParser
from typing import Any

import httpx2

from tests.contract.together_endpoints import TogetherEndpoints, refuse

KEY = "together-key-0123456789"
BASE = "Qwen/Qwen3-8B"
OTHER_BASE = "Qwen/Qwen3-14B"
STORAGE = "https://storage.example"
WEIGHTS = bytes(range(256)) * 64
LIMITS = {
    "default_gradient_accumulation_steps": 1,
    "supports_reasoning": False,
    "supports_tools": True,
    "supports_vision": False,
    "max_num_epochs": 20,
    "max_num_evals": 100,
    "max_num_checkpoints": 10,
    "min_learning_rate": 1e-8,
    "max_learning_rate": 0.01,
    "min_max_seq_length": 256,
    "max_seq_length_sft": 32768,
    "max_seq_length_dpo": 16384,
    "supports_full_training": True,
    "merge_output_lora": True,
    "full_training": {"max_batch_size": 16, "max_batch_size_dpo": 8, "min_batch_size": 8},
    "lora_training": {
        "default_rank": 8,
        "max_rank": 64,
        "max_batch_size": 96,
        "max_batch_size_dpo": 48,
        "min_batch_size": 1,
        "target_modules": ["k_proj", "q_proj", "v_proj", "o_proj"],
    },
}


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_int(value) or isinstance(value, float)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


Check = Callable[[Any], bool]
CREATE: Mapping[str, Check] = {
    "training_file": _is_text,
    "validation_file": _is_text,
    "model": _is_text,
    "from_checkpoint": _is_text,
    "n_epochs": lambda value: _is_int(value) and 1 <= value <= LIMITS["max_num_epochs"],
    "n_evals": lambda value: _is_int(value) and 0 <= value <= LIMITS["max_num_evals"],
    "n_checkpoints": lambda value: _is_int(value) and value >= 1,
    "batch_size": lambda value: value == "max" or (_is_int(value) and 1 <= value <= 96),
    "learning_rate": lambda value: _is_number(value) and 1e-8 <= value <= 0.01,
    "lr_scheduler": lambda value: (
        isinstance(value, dict)
        and value.keys() <= {"lr_scheduler_type", "lr_scheduler_args"}
        and value["lr_scheduler_type"] in ("linear", "cosine")
    ),
    "warmup_ratio": _is_number,
    "weight_decay": _is_number,
    "max_grad_norm": _is_number,
    "gradient_accumulation_steps": _is_int,
    "packing": _is_flag,
    "max_seq_length": lambda value: _is_int(value) and 256 <= value <= 32768,
    "training_type": lambda value: (
        value == {"type": "Full"}
        or (
            {"type", "lora_r", "lora_alpha"}
            <= value.keys()
            <= {"type", "lora_r", "lora_alpha", "lora_dropout", "lora_trainable_modules"}
            and value["type"] == "Lora"
            and _is_int(value["lora_r"])
            and _is_int(value["lora_alpha"])
        )
    ),
    "training_method": lambda value: (
        (value.keys() == {"method", "train_on_inputs"} and value["method"] == "sft")
        or (
            value["method"] == "dpo"
            and value.keys()
            <= {
                *("method", "dpo_beta", "dpo_normalize_logratios_by_length"),
                *("dpo_reference_free", "rpo_alpha", "simpo_gamma"),
            }
        )
    ),
    "suffix": lambda value: _is_text(value) and len(value) <= 40,
    "random_seed": _is_int,
    "early_stopping_enabled": _is_flag,
    "early_stopping_patience": _is_int,
    "early_stopping_min_delta": _is_number,
    "early_stopping_warmup_evals": _is_int,
}
PRICED = frozenset(
    {
        *("training_file", "validation_file", "model", "from_checkpoint", "n_epochs", "n_evals"),
        *("training_method", "training_type"),
    }
)
_LISTED_ONLY = ("suffix", "random_seed", "packing", "max_seq_length")  # not in a single job


@dataclass
class TogetherServer:
    """Responds like Together.

    `faults` holds what goes wrong, by "METHOD path", in the order of the requests: `503` answers
    so and does nothing, `503 done` and `lost` do what is asked and answer with an error or not at
    all, `404` has no such route, `empty` is an error without a body.
    """

    statuses: tuple[str, ...] = (
        *("pending", "queued", "running", "compressing", "uploading", "completed"),
    )
    checks: tuple[str, ...] = ("QUEUED", "RUNNING", "COMPLETED")  # of the rows of a file
    list_lag: int = 0  # lists in which a new job is missing
    unnamed_looks: int = 0  # looks at a completed job before it has the name of its model
    credit_usd: float = 100.0
    limits: Mapping[str, object] = field(default_factory=lambda: LIMITS)
    storage: str = STORAGE  # its address; below that of the stand-in itself if it is served
    faults: dict[str, list[str]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    odd_jobs: list[dict[str, Any]] = field(default_factory=list)  # listed beside the jobs
    odd_checkpoints: list[dict[str, Any]] = field(default_factory=list)  # listed beside the others
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    endpoints: TogetherEndpoints = field(default_factory=TogetherEndpoints)
    broken_after: int | None = None  # bytes of weights, after which one connection breaks
    ids: int = 0

    def connect(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self.handle))

    @property
    def created_jobs(self) -> int:
        """How many jobs were really created, whatever was answered."""
        return len(self.jobs)

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        call = f"{request.method} {request.url.path}"
        self.requests.append(call)
        if str(request.url).startswith(f"{self.storage}/"):
            return self._store(request)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return refuse(401, "Invalid API key provided", code="invalid_api_key")
        fault = self.faults.get(call, [])
        fault_word = fault.pop(0) if fault else ""
        if fault_word in ("503", "404"):
            return refuse(int(fault_word), "Service unavailable" if fault_word == "503" else call)
        if fault_word == "empty":
            return httpx2.Response(500)
        response = self._answer(request, call)
        if fault_word == "lost":
            raise httpx2.ReadTimeout("timed out", request=request)
        return refuse(503, "Service unavailable") if fault_word == "503 done" else response

    def _answer(self, request: httpx2.Request, call: str) -> httpx2.Response:
        routes: tuple[tuple[str, Callable[..., httpx2.Response]], ...] = (
            (r"(GET|POST) /v1/files", self._use_files),
            (r"(GET|DELETE) /v1/files/([^/]+)", self._use_file),
            (r"GET /v1/files/([^/]+)/content", self._read_content),
            (r"POST /v1/files/([^/]+)/preprocess", self._preprocess),
            (r"GET /v1/fine-tunes/models/limits", self._show_limits),
            (r"GET /v1/fine-tunes/models/supported", self._list_supported),
            (r"POST /v1/fine-tunes/estimate-price", self._estimate),
            (r"(GET|POST) /v1/fine-tunes", self._use_jobs),
            (r"GET /v1/fine-tunes/([^/]+)", self._show_job),
            (r"DELETE /v1/fine-tunes/([^/]+)", self._delete_job),
            (r"POST /v1/fine-tunes/([^/]+)/cancel", self._cancel),
            (r"GET /v1/fine-tunes/([^/]+)/(events|checkpoints|metrics)", self._show_part),
            (r"GET /v1/finetune/download", self._download),
            (r"GET /v1/models", self._list_models),
            (r"POST /v1/chat/completions", self._complete),
        )
        for pattern, method in routes:
            if match := re.fullmatch(pattern, call):
                return method(request, *match.groups())
        return self.endpoints.answer(request, call)

    def _store(self, request: httpx2.Request) -> httpx2.Response:
        """The storage: an address that is a secret, and no key."""
        file_id = request.url.path.rpartition("/")[2]
        if "authorization" in request.headers or "x-amz-signature" not in str(request.url).lower():
            return httpx2.Response(400, content=b"<Error><Code>InvalidArgument</Code></Error>")
        content = request.read()
        if request.headers.get("content-length") != str(len(content)):
            return httpx2.Response(411, content=b"<Error><Code>MissingContentLength</Code></Error>")
        if hashlib.sha256(content).hexdigest() != self.files[file_id]["checksum"]:
            return httpx2.Response(400, content=b"<Error><Code>BadDigest</Code></Error>")
        self.contents[file_id] = content
        self.files[file_id]["bytes"] = len(content)
        return httpx2.Response(200)

    def _use_files(self, request: httpx2.Request, verb: str) -> httpx2.Response:
        if verb == "GET":
            return httpx2.Response(200, json={"data": list(map(_show_file, self.files.values()))})
        form = _read_form(request)
        if form.keys() != {"purpose", "file_name", "file_type", "checksum"}:
            return refuse(400, f"unexpected fields: {sorted(form)}")
        for known in self.files.values():
            if known["checksum"] == form["checksum"] and known["id"] in self.contents:
                body = {"error": {"message": "file exists", "type": "conflict", "code": None}}
                return httpx2.Response(409, json=body | {"file_id": known["id"]})
        file_id = self._make_id("file")
        self.files[file_id] = {
            "id": file_id,
            "object": "file",
            "bytes": 0,
            "created_at": 1_795_000_000 + self.ids,
            "filename": form["file_name"],
            "FileType": form["file_type"],
            "purpose": form["purpose"],
            "LineCount": 0,
            "Processed": False,
            "processing_status": "PENDING",
            "checksum": form["checksum"],
        }
        headers = {
            "Location": f"{self.storage}/bucket/{file_id}?X-Amz-Signature=0123",
            "X-Together-File-Id": file_id,
        }
        return httpx2.Response(302, headers=headers)

    def _use_file(self, _request: httpx2.Request, verb: str, file_id: str) -> httpx2.Response:
        file = self.files.get(file_id)
        if file is None:
            return refuse(404, f"file {file_id} not found")
        if verb == "DELETE":
            del self.files[file_id]
            self.contents.pop(file_id, None)
            return httpx2.Response(200, json={"id": file_id, "deleted": True})
        following = dict(zip(self.checks, self.checks[1:], strict=False))
        file["processing_status"] = following.get(
            file["processing_status"], file["processing_status"]
        )
        return httpx2.Response(200, json=_show_file(file))

    def _read_content(self, _request: httpx2.Request, file_id: str) -> httpx2.Response:
        if file_id not in self.contents:
            return refuse(404, f"file {file_id} not found")
        return httpx2.Response(200, content=self.contents[file_id])

    def _preprocess(self, _request: httpx2.Request, file_id: str) -> httpx2.Response:
        if file_id not in self.contents:
            return refuse(404, f"file {file_id} not found")
        if self.files[file_id]["processing_status"] != "PENDING":
            return refuse(409, "the file is being processed")
        self.files[file_id]["processing_status"] = self.checks[0]
        return httpx2.Response(200, json=_show_file(self.files[file_id]))

    def _show_limits(self, request: httpx2.Request) -> httpx2.Response:
        model = request.url.params.get("model_name")
        known = {BASE, OTHER_BASE, *self._get_outputs(), *self.jobs}
        if model not in known or set(request.url.params) != {"model_name"}:
            return refuse(404, f"model {model} is not available for fine-tuning")
        return httpx2.Response(200, json={"model_name": model, **self.limits})

    def _list_supported(self, _request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"models": [BASE, OTHER_BASE]})

    def _estimate(self, request: httpx2.Request) -> httpx2.Response:
        body = _read_body(request)
        if problem := self._find_problem(body, PRICED):
            return problem
        if self.files[body["training_file"]]["processing_status"] != "COMPLETED":
            reason = {
                "estimation_available": False,
                "unavailable_reason": "train_file_not_validated",
            }
            return httpx2.Response(200, json=reason)
        tokens = len(self.contents[body["training_file"]]) * body.get("n_epochs", 1)
        price = tokens * 48e-8
        return httpx2.Response(
            200,
            json={
                "estimation_available": True,
                "allowed_to_proceed": price <= self.credit_usd,
                "estimated_total_price": price,
                "estimated_train_token_count": tokens,
                "estimated_eval_token_count": 0,
                "user_limit": self.credit_usd,
            },
        )

    def _find_problem(self, body: dict[str, Any], known: frozenset[str]) -> httpx2.Response | None:
        """The refusal of a body, if anything in it is wrong."""
        if unknown := body.keys() - known:
            return refuse(400, f"unknown fields {sorted(unknown)}", param=sorted(unknown)[0])
        for name, value in body.items():
            if not CREATE[name](value):
                return refuse(422, f"invalid value for {name}: {value!r}", param=name)
        if ("model" in body) == ("from_checkpoint" in body):
            return refuse(400, "exactly one of model and from_checkpoint", param="model")
        if body.get("model", BASE) not in (BASE, OTHER_BASE):
            return refuse(404, f"model {body['model']} is not available", param="model")
        sources = {*self._get_outputs(), *self.jobs}
        if "from_checkpoint" in body and body["from_checkpoint"].split(":")[0] not in sources:
            return refuse(404, "there is no such checkpoint", param="from_checkpoint")
        for name in ("training_file", "validation_file"):
            if name in body and body[name] not in self.files:
                return refuse(400, f"file {body[name]} not found", param=name)
        return None

    def _use_jobs(self, request: httpx2.Request, verb: str) -> httpx2.Response:
        if verb == "GET":
            listed = list(self.jobs.values())
            if self.list_lag > 0:
                self.list_lag, listed = self.list_lag - 1, listed[:-1]
            return httpx2.Response(200, json={"data": [*self.odd_jobs, *listed]})
        body = _read_body(request)
        if problem := self._find_problem(body, frozenset(CREATE)):
            return problem
        for name in ("training_file", "validation_file"):
            if name in body and self.files[body[name]]["processing_status"] != "COMPLETED":
                return refuse(400, f"file {body[name]} is not processed", param=name)
        if "validation_file" in body and not body.get("n_evals"):
            return refuse(400, "the validation file would be ignored", param="n_evals")
        needed = body.get("early_stopping_patience", 2)
        needed += body.get("early_stopping_warmup_evals", 1) + 1
        if body.get("early_stopping_enabled") and body.get("n_evals", 0) < needed:
            return refuse(400, "n_evals is too small for early stopping", param="n_evals")
        job_id = self._make_id("ft")
        self.jobs[job_id] = {
            "id": job_id,
            "status": self.statuses[0],
            "user_id": "user_1",
            "created_at": self._show_time(),
            "updated_at": self._show_time(),
            "n_epochs": 1,
            "n_evals": 0,
            "n_checkpoints": 1,
            "learning_rate": 1e-5,
            "random_seed": 42,
            "training_type": {"type": "Lora", "lora_r": 8, "lora_alpha": 16},
            "model_output_name": None,
            "adapter_output_name": None,
            "model_object_name": None,
            "token_count": None,
            "total_price": None,
            "looks": 0,
            **body,
            "batch_size": 8 if body.get("batch_size", "max") == "max" else body["batch_size"],
        }
        self._add_event(job_id, "job_pending", "Fine tune request created")
        return httpx2.Response(200, json=_show_job(self.jobs[job_id]))

    def _show_job(self, _request: httpx2.Request, job_id: str) -> httpx2.Response:
        job = self.jobs.get(job_id)
        if job is None:
            return refuse(404, f"job {job_id} not found")
        if job["status"] == "cancel_requested":
            self._move(job, "cancelled")
        elif job["status"] in self.statuses[:-1]:
            self._move(job, self.statuses[self.statuses.index(job["status"]) + 1])
        if job["status"] == "completed":
            job["looks"] += 1
            if job["looks"] > self.unnamed_looks and job["model_output_name"] is None:
                self._name_model(job)
        shown = {name: value for name, value in _show_job(job).items() if name not in _LISTED_ONLY}
        return httpx2.Response(200, json=shown)

    def _delete_job(self, _request: httpx2.Request, job_id: str) -> httpx2.Response:
        if job_id not in self.jobs:
            return refuse(404, f"job {job_id} not found")
        del self.jobs[job_id]
        return httpx2.Response(200, json={"message": f"{job_id} is deleted"})

    def _move(self, job: dict[str, Any], status: str) -> None:
        job["status"] = status
        job["updated_at"] = self._show_time()
        if status == "running":
            self._add_event(job["id"], "training_start", "Training started", step=0, total_steps=6)
            # Two events with one time and one message, which differ in their steps only.
            for step in (3, 6):
                self._add_event(
                    job["id"], "epoch_complete", "Epoch completed", step=step, total_steps=6
                )
        if status in ("error", "user_error"):
            self._add_event(job["id"], "JOB_ERROR", "The loss is NaN", level="legacy_ierror")

    def _name_model(self, job: dict[str, Any]) -> None:
        base = job.get("model", BASE)
        parts = (base.rpartition("/")[2], job.get("suffix"), job["id"][-8:])
        name = "-".join(filter(None, parts))
        job["model_output_name"] = f"acme/{name}"
        job["model_object_name"] = self.endpoints.register(name, base)
        job["token_count"] = 1234
        job["total_price"] = 592_000_000  # nanodollars

    def _cancel(self, _request: httpx2.Request, job_id: str) -> httpx2.Response:
        job = self.jobs.get(job_id)
        if job is None:
            return refuse(404, f"job {job_id} not found")
        if job["status"] not in (*self.statuses[:-1], "cancel_requested"):
            return refuse(400, f"job {job_id} is {job['status']}")
        job["status"] = "cancel_requested"
        self._add_event(job_id, "CANCEL_REQUESTED", "Cancellation requested")
        return httpx2.Response(200, json=_show_job(job))

    def _show_part(self, _request: httpx2.Request, job_id: str, part: str) -> httpx2.Response:
        if job_id not in self.jobs:
            return refuse(404, f"job {job_id} not found")
        if part == "events":
            return httpx2.Response(200, json={"data": self.events[job_id]})
        if part == "metrics":
            return httpx2.Response(200, json={"metrics": METRICS})
        name = f"acme-project/{job_id}"
        checkpoints = [
            {
                "step": step,
                "created_at": self._show_time(),
                "path": f"s3://bucket/{job_id}/{step}/{kind}",
                "checkpoint_type": f"Intermediate {kind}",
                "checkpoint": kind,
                "object_id": f"ml_{step}{kind}",
                "object_name": f"{name}-{step}-{kind}",
                "object_revision_id": "rv_1",
            }
            for step in (6, 3)
            for kind in ("adapter", "model")
        ]
        return httpx2.Response(200, json={"data": [*self.odd_checkpoints, *checkpoints]})

    def _download(self, request: httpx2.Request) -> httpx2.Response:
        params = request.url.params
        job = self.jobs.get(params.get("ft_id", ""))
        if job is None or job["status"] != "completed":
            return refuse(404, "there is no such checkpoint")
        if set(params) != {"ft_id", "checkpoint"}:
            return refuse(400, f"unexpected parameters {sorted(params)}")
        kinds = {"Full": ("model_output_path",), "Lora": ("merged", "adapter")}
        if params["checkpoint"] not in kinds[job["training_type"]["type"]]:
            return refuse(400, "the job has no such checkpoint", param="checkpoint")
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if match is None:
            return httpx2.Response(200, content=WEIGHTS)
        first, last = int(match[1]), int(match[2] or len(WEIGHTS) - 1)
        piece = WEIGHTS[first : last + 1]
        headers = {"Content-Range": f"bytes {first}-{last}/{len(WEIGHTS)}"}
        if self.broken_after is not None and len(piece) > self.broken_after:
            stream = _BrokenStream(piece[: self.broken_after])
            self.broken_after = None
            return httpx2.Response(206, headers=headers, stream=stream)
        return httpx2.Response(206, headers=headers, content=piece)

    def _list_models(self, _request: httpx2.Request) -> httpx2.Response:
        models = [
            {"id": name, "object": "model", "created": 0, "type": "chat", "organization": "Qwen"}
            for name in (BASE, OTHER_BASE)
        ]
        return httpx2.Response(200, json=models)  # an array, without an object around it

    def _complete(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.read())
        if not self.endpoints.is_ready(body["model"]):
            message = f"Unable to access model {body['model']}"
            return refuse(400, message, code="model_not_available", param="model")
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": " 2"},
            "finish_reason": "stop",
        }
        usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
        known = {"id": "1", "object": "chat.completion", "created": 1_795_000_000, "prompt": []}
        answer = {**known, "model": body["model"], "choices": [choice], "usage": usage}
        return httpx2.Response(200, json=answer)

    def _get_outputs(self) -> list[str]:
        names = (job["model_output_name"] for job in self.jobs.values())
        return [name for name in names if name is not None]

    def _add_event(self, job_id: str, kind: str, message: str, **fields: object) -> None:
        event = {"object": "fine-tune-event", "created_at": self._show_time(), "type": kind}
        self.events.setdefault(job_id, []).append({**event, "message": message, **fields})

    def _make_id(self, kind: str) -> str:
        self.ids += 1
        return f"{kind}-{self.ids:08x}"

    def _show_time(self) -> str:
        at = datetime(2026, 11, 22, 12, 0, tzinfo=UTC) + timedelta(seconds=self.ids)
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")


METRICS = [
    {"train/global_step": 1, "train/loss": 2.5, "train/learning_rate": 1e-5},
    {"train/global_step": 2, "train/loss": 2.0, "train/grad_norm": 0.5},
    {"train/global_step": 2, "eval/loss": 2.25},
]


class _BrokenStream(httpx2.SyncByteStream):
    """A body whose connection breaks after its bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Any:
        yield self._content
        raise httpx2.ReadError("connection reset")


def _show_file(file: dict[str, Any]) -> dict[str, Any]:
    is_invalid = file["processing_status"] == "INVALID_FORMAT"
    report = {"valid": not is_invalid, "error": "line 2: no messages" if is_invalid else None}
    shown = {name: value for name, value in file.items() if name != "checksum"}
    return shown | {"validation_report": report}


def _show_job(job: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name != "looks"}


def _read_body(request: httpx2.Request) -> dict[str, Any]:
    """The fields of a body; null and an empty text are as good as no field."""
    body = json.loads(request.read())
    return {name: value for name, value in body.items() if value not in (None, "")}


def _read_form(request: httpx2.Request) -> dict[str, str]:
    content_type = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    payload = BytesParser().parsebytes(content_type + request.read()).get_payload()
    assert isinstance(payload, list)
    return {
        str(part.get_param("name", header="content-disposition")): str(part.get_payload())
        for part in payload
        if isinstance(part, Message)
    }
