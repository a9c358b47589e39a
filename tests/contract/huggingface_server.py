"""A stand-in for the Hugging Face Hub, behind a mock transport: repositories and jobs.

It is strict: unknown fields, wrong types, unknown arguments of `trl` and rows in another format are
refused, or end the job, as the Hub and TRL do.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

HUB_KEY = "hf_stand-in-0123456789"
NAMESPACE = "acme"
HUB_BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
_STORAGE = "https://storage.example"
_START = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
_JOB_KEYS = {
    "command", "arguments", "environment", "secrets", "flavor", "timeoutSeconds", "attempts",
    "labels", "volumes", "dockerImage", "spaceId",
}  # fmt: skip
_ENDED = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
_BOOLEANS = {
    "push_to_hub", "hub_private_repo", "disable_tqdm", "use_peft", "assistant_only_loss",
}  # fmt: skip
_NUMBERS = {
    "logging_steps", "seed", "num_train_epochs", "per_device_train_batch_size", "learning_rate",
    "beta", "lora_r", "lora_alpha", "lora_dropout", "max_length", "gradient_accumulation_steps",
    "weight_decay",
}  # fmt: skip
_TEXTS = {
    "model_name_or_path", "dataset_name", "output_dir", "hub_model_id", "hub_strategy",
    "save_strategy", "report_to", "eval_strategy", "dataset_test_split",
}  # fmt: skip
_COLUMNS = {
    "sft": ({"messages"}, {"prompt", "completion"}),
    "dpo": ({"prompt", "chosen", "rejected"},),
}
HARDWARE = [
    {"name": "cpu-basic", "prettyName": "CPU Basic", "cpu": "2 vCPU", "ram": "16 GB",
     "unitCostMicroUSD": 167, "unitCostUSD": 0.000167, "unitLabel": "minute"},
    {"name": "t4-small", "prettyName": "Nvidia T4 - small", "cpu": "4 vCPU", "ram": "15 GB",
     "unitCostMicroUSD": 6667, "unitCostUSD": 0.006667, "unitLabel": "minute"},
    {"name": "a100-large", "prettyName": "Nvidia A100 - large", "cpu": "12 vCPU", "ram": "142 GB",
     "unitCostMicroUSD": 41667, "unitCostUSD": 0.041667, "unitLabel": "minute"},
]  # fmt: skip

Answer = httpx2.Response


class Refused(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass
class Repository:
    """A repository with its files; `base` is the base model in its card."""

    is_private: bool
    created: datetime
    files: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    base: str | None = None


@dataclass
class Fault:
    """What goes wrong once, for a request like `POST /api/jobs/acme`."""

    pattern: str
    answer: Answer | None  # None: the connection is lost
    has_effect: bool


@dataclass
class HubServer:
    """Answers as the Hub does; each look at a job moves it to its next stage."""

    stages: tuple[str, ...] = ("SCHEDULING", "RUNNING", "COMPLETED")
    message: str | None = None  # of a job that ends otherwise
    log: tuple[str, ...] = (
        "===== Job started at 2026-11-30 12:00:00 =====",
        "Loading weights",
        "{'loss': '2.5', 'grad_norm': '1.2', 'learning_rate': '2e-05', 'epoch': '0.5'}",
        "{'loss': '1.5', 'grad_norm': '0.9', 'learning_rate': '1e-05', 'epoch': '1.0'}",
        '{"eval_loss": 1.75, "eval_runtime": 0.5, "epoch": 1.0}',
        "{'train_runtime': '9.1', 'train_loss': '2.0', 'epoch': '1.0'}",
    )
    keys: set[str] = field(default_factory=lambda: {HUB_KEY})
    listing_lag: int = 0  # lists in which a new job is missing
    pushes: bool = True  # whether a completed job has stored its model
    late: int = 0  # looks at a new model that has no files yet
    has_credit: bool = True
    has_storage: bool = True
    large_from: int = 10_000_000  # bytes from which a file is stored apart from the repository
    page: int = 2
    requests: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)  # of new jobs
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)  # large files, by their digest
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    odd_jobs: list[dict[str, Any]] = field(default_factory=list)  # listed, too
    _faults: list[Fault] = field(default_factory=list)
    _lags: dict[str, int] = field(default_factory=dict)

    def connect(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self.handle))

    def fail(self, pattern: str, status: int | None = None, *, has_effect: bool = False) -> None:
        """Answer the next such request with the status, or lose its connection."""
        answer = None if status is None else _refuse(Refused(status, "try again"))
        self._faults.append(Fault(pattern, answer, has_effect))

    def recover(self) -> None:
        """Forget what was to go wrong."""
        self._faults.clear()

    def count(self, pattern: str) -> int:
        """The number of requests like the pattern."""
        return sum(re.search(pattern, request) is not None for request in self.requests)

    def handle(self, request: httpx2.Request) -> Answer:
        path = request.url.path
        call = f"{request.method} {path}"
        self.requests.append(call)
        if request.url.host == httpx2.URL(_STORAGE).host:
            return self._use_storage(request)
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key not in self.keys:
            return _refuse(Refused(401, "Invalid username or password."))
        fault = next((item for item in self._faults if re.search(item.pattern, call)), None)
        if fault:
            self._faults.remove(fault)
        answer = self._answer(request, call) if fault is None or fault.has_effect else None
        if fault and fault.answer is None:
            raise httpx2.ReadError("the connection was lost", request=request)
        return fault.answer if fault and fault.answer else answer or _refuse(Refused(500, ""))

    def _answer(self, request: httpx2.Request, call: str) -> Answer:
        repository = r"([\w.-]+/[\w.-]+)"
        data = rf"/api/datasets/{repository}"
        routes: list[tuple[str, Callable[..., Any]]] = [
            (r"GET /api/whoami-v2", lambda _: {"name": NAMESPACE, "type": "user", "orgs": []}),
            (r"POST /api/repos/create", self._create_repository),
            (r"DELETE /api/repos/delete", self._delete_repository),
            (rf"POST {data}/preupload/main", self._preupload),
            (rf"POST {data}/commit/main", self._commit),
            (rf"POST {data}/paths-info/main", self._show_paths),
            (rf"GET {data}/tree/main", self._show_tree),
            (rf"GET /api/(dataset|model)s/{repository}(?:/revision/main)?", self._show_repository),
            (r"GET /api/models", self._list_models),
            (rf"POST /datasets/{repository}\.git/info/lfs/objects/batch", self._offer_storage),
            (rf"(GET|HEAD) /(datasets/)?{repository}/resolve/main/(.+)", self._resolve),
            (r"GET /api/jobs/hardware", lambda _: HARDWARE),
            (rf"POST /api/jobs/{NAMESPACE}", self._create_job),
            (rf"GET /api/jobs/{NAMESPACE}", self._list_jobs),
            (rf"GET /api/jobs/{NAMESPACE}/([\w-]+)", self._get_job),
            (rf"POST /api/jobs/{NAMESPACE}/([\w-]+)/cancel", self._cancel_job),
            (rf"GET /api/jobs/{NAMESPACE}/([\w-]+)/logs", self._show_log),
        ]
        try:
            for pattern, answer in routes:
                if match := re.fullmatch(pattern, call):
                    made = answer(request, *match.groups())
                    return made if isinstance(made, Answer) else Answer(200, json=made)
        except Refused as refused:
            return _refuse(refused)
        return _refuse(Refused(404, f"no route {call}"))

    # Repositories

    def _create_repository(self, request: httpx2.Request) -> Any:
        body = json.loads(request.read())
        _check_keys(body, {"name", "organization", "type", "visibility"})
        _check(body.get("organization", NAMESPACE) == NAMESPACE, "not your organization")
        key = body.get("type", "model"), f"{NAMESPACE}/{body['name']}"
        if key in self.repositories:
            raise Refused(409, "You already created this repo")
        self.repositories[key] = Repository(body.get("visibility") == "private", self._now())
        return {"url": f"https://huggingface.co/{key[1]}", "name": key[1]}

    def _delete_repository(self, request: httpx2.Request) -> Any:
        body = json.loads(request.read())
        _check_keys(body, {"name", "organization", "type"})
        name = f"{body.get('organization') or NAMESPACE}/{body['name']}"
        if not name.startswith(f"{NAMESPACE}/"):
            raise Refused(403, "You don't have the required permissions to delete this repo")
        kind = body.get("type", "model")
        self._find_repository(kind, name)
        del self.repositories[kind, name]
        return Answer(200, content=b"OK")

    def _show_repository(self, _request: httpx2.Request, kind: str, name: str) -> Any:
        found = self._find_repository(kind, name)
        files = found.files
        if kind == "model" and files and self.late > 0:
            self.late -= 1
            files = {}
        return {
            **_show_model(name, found),
            "sha": "0" * 40,
            "siblings": [{"rfilename": path} for path in files],
        }

    def _list_models(self, request: httpx2.Request) -> Any:
        author = request.url.params["author"]
        return [
            _show_model(name, found)
            for (kind, name), found in self.repositories.items()
            if kind == "model" and name.startswith(f"{author}/")
        ]

    def _preupload(self, request: httpx2.Request, name: str) -> Any:
        found = self._find_repository("dataset", name)
        answers = []
        for item in json.loads(request.read())["files"]:
            shown = {
                "path": item["path"],
                "uploadMode": "lfs" if item["size"] >= self.large_from else "regular",
                "shouldIgnore": False,
            }
            if item["path"] in found.files:
                shown["oid"] = _hash_blob(found.files[item["path"]][0])
            answers.append(shown)
        return {"files": answers}

    def _commit(self, request: httpx2.Request, name: str) -> Any:
        found = self._find_repository("dataset", name)
        for line in request.read().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                _check(value["encoding"] == "base64", "encoding must be base64")
                content = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                _check(value["oid"] in self.stored, "the object was not uploaded")
                content = self.stored[value["oid"]]
            elif entry["key"] == "deletedFile":
                del found.files[value["path"]]
                continue
            else:
                _check(entry["key"] == "header" and "summary" in value, "unknown operation")
                continue
            found.files[value["path"]] = content, self._now()
        return {"success": True, "commitOid": "1" * 40, "commitUrl": f"/{name}/commit/1"}

    def _show_paths(self, request: httpx2.Request, name: str) -> Any:
        body = json.loads(request.read())
        _check_keys(body, {"paths", "expand"})
        files = self._find_repository("dataset", name).files
        return [_show_file(path, *files[path]) for path in body["paths"] if path in files]

    def _show_tree(self, request: httpx2.Request, name: str) -> Any:
        files = self._find_repository("dataset", name).files
        return self._paginate(request, [_show_file(path, *files[path]) for path in files])

    def _offer_storage(self, request: httpx2.Request, _name: str) -> Any:
        objects = [
            {**item, "actions": {"upload": {"href": f"{_STORAGE}/{item['oid']}"}}}
            for item in json.loads(request.read())["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def _use_storage(self, request: httpx2.Request) -> Answer:
        if "authorization" in request.headers:
            return Answer(400, json={"error": "only one authentication is allowed"})
        if not self.has_storage:
            return Answer(400, json={"error": "full"})
        oid = request.url.path.removeprefix("/")
        if request.method == "PUT":
            self.stored[oid] = request.read()
            return Answer(200)
        return Answer(200, content=self.stored[oid])

    def _resolve(
        self, _request: httpx2.Request, method: str, data: str | None, name: str, path: str
    ) -> Any:
        files = self._find_repository("dataset" if data else "model", name).files
        if path not in files:
            raise Refused(404, "Entry not found", "EntryNotFound")
        content = files[path][0]
        headers = {"X-Repo-Commit": "1" * 40, "ETag": f'"{_hash_blob(content)}"'}
        oid = hashlib.sha256(content).hexdigest()
        if oid in self.stored:
            size = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{oid}"'}
            return Answer(302, headers={**headers, **size, "Location": f"{_STORAGE}/{oid}"})
        headers["Content-Length"] = str(len(content))
        return Answer(200, headers=headers, content=b"" if method == "HEAD" else content)

    def _find_repository(self, kind: str, name: str) -> Repository:
        found = self.repositories.get((kind, name))
        if found is None:
            raise Refused(404, "Repository not found", "RepoNotFound")
        return found

    # Jobs

    def _create_job(self, request: httpx2.Request) -> Any:
        body = json.loads(request.read())
        self.bodies.append(body)
        if not self.has_credit:
            raise Refused(402, "Pre-paid credit balance is insufficient")
        _check_keys(body, _JOB_KEYS)
        _check("timeoutSeconds" in body, "this stand-in wants a timeout")
        _check(isinstance(body["timeoutSeconds"], int), "timeoutSeconds must be a number")
        _check(body["flavor"] in {item["name"] for item in HARDWARE}, "Invalid flavor")
        _check(("dockerImage" in body) != ("spaceId" in body), "one of dockerImage and spaceId")
        for name, value in body.get("labels", {}).items():
            is_label = re.fullmatch(r"[A-Za-z0-9._-]*", value) and len(value) <= 100
            _check(bool(is_label), f"invalid label {name}")
        for volume in body.get("volumes", []):
            _check_keys(volume, {"type", "source", "mountPath", "readOnly", "revision", "path"})
            self._find_repository(volume["type"], volume["source"])
        job_id = f"{len(self.jobs) + 0x687FB701:024x}"
        self.jobs[job_id] = {
            **body,
            "id": job_id,
            "createdAt": _show_time(self._now()),
            "secrets": dict.fromkeys(body.get("secrets", {})),
            "status": {"stage": self.stages[0], "message": None},
            "owner": {"id": "5e9ecfc04957053f60648a3e", "name": NAMESPACE, "type": "user"},
        }
        self._lags[job_id] = self.listing_lag
        return self.jobs[job_id]

    def _list_jobs(self, request: httpx2.Request) -> Any:
        wanted = [label.partition("=")[::2] for label in request.url.params.get_list("label")]
        jobs = []
        for job_id, job in self.jobs.items():
            if self._lags[job_id] > 0:
                self._lags[job_id] -= 1
            elif all(job.get("labels", {}).get(name) == value for name, value in wanted):
                jobs.append(job)
        return self._paginate(request, [*self.odd_jobs, *jobs])

    def _get_job(self, _request: httpx2.Request, job_id: str) -> Any:
        job = self._find_job(job_id)
        stage = job["status"]["stage"]
        place = job.get("_place", 0) + 1
        if stage not in _ENDED and place < len(self.stages):
            job["_place"] = place
            self._move(job, self.stages[place])
        return {name: value for name, value in job.items() if not name.startswith("_")}

    def _move(self, job: dict[str, Any], stage: str) -> None:
        message = None
        if stage == "RUNNING" and (message := self._find_fault(job)):
            stage = "ERROR"
        if stage == "COMPLETED":
            self._push(job)
        if stage in ("ERROR", "DELETED"):
            message = message or self.message
        if stage in _ENDED:
            job["finishedAt"] = _show_time(self._now())
        job["status"] = {"stage": stage, "message": message}

    def _find_fault(self, job: dict[str, Any]) -> str | None:
        """What TRL would not accept in the job; None if it trains."""
        shell, _, command, *pairs = job["command"][2:]
        arguments = dict(zip(pairs[::2], pairs[1::2], strict=True))
        for flag, value in arguments.items():
            name = flag.removeprefix("--")
            is_boolean = name in _BOOLEANS and value in ("true", "false")
            is_number = name in _NUMBERS and re.fullmatch(r"-?[0-9.e-]+", value)
            if not (is_boolean or is_number or (name in _TEXTS and value)):
                return f"trl: error: argument {flag}: {value}"
        if "HF_TOKEN" not in job["secrets"] or "exec trl" not in shell:
            return "401 Client Error: the model cannot be pushed"
        mounts = {volume["mountPath"]: volume["source"] for volume in job["volumes"]}
        for file_id in job["environment"].values():
            name, _, path = file_id.removeprefix("hf://datasets/").rpartition("/")
            files = self._find_repository("dataset", mounts[f"/data/{name}"]).files
            for line in files[path][0].splitlines():
                if not any(columns <= json.loads(line).keys() for columns in _COLUMNS[command]):
                    return f"KeyError: the rows are not in the format of trl {command}"
        return None

    def _push(self, job: dict[str, Any]) -> None:
        """Store the model in its repository, which the trainer creates when it starts."""
        arguments = job["command"]
        name = arguments[arguments.index("--hub_model_id") + 1]
        made = self.repositories.setdefault(("model", name), Repository(True, self._now()))
        made.base = arguments[arguments.index("--model_name_or_path") + 1]
        made.files[".gitattributes"] = b"*.safetensors filter=lfs", self._now()
        if not self.pushes:
            return
        weights = f"weights of {name}".encode()
        self.stored[hashlib.sha256(weights).hexdigest()] = weights
        for path, content in {
            "README.md": b"# Model",
            "adapter_config.json": b'{"peft_type": "LORA"}',
            "adapter_model.safetensors": weights,
            "tokenizer.json": b"{}",
            "last-checkpoint/optimizer.pt": b"state",
        }.items():
            made.files[path] = content, self._now()

    def _cancel_job(self, _request: httpx2.Request, job_id: str) -> Any:
        job = self._find_job(job_id)
        _check(job["status"]["stage"] not in _ENDED, "The job is already finished")
        self._move(job, "CANCELED")
        return job

    def _show_log(self, _request: httpx2.Request, job_id: str) -> Any:
        job = self._find_job(job_id)
        created = datetime.fromisoformat(job["createdAt"])
        lines = []
        for number, text in enumerate(self.log):
            at = _show_time(created + timedelta(seconds=number))
            lines.append(f"data: {json.dumps({'data': text, 'timestamp': at})}\n\n: keep-alive\n\n")
        stream = "".join(lines).encode()
        return Answer(200, headers={"content-type": "text/event-stream"}, content=stream)

    def _find_job(self, job_id: str) -> dict[str, Any]:
        if job_id not in self.jobs:
            raise Refused(404, "Job not found")
        return self.jobs[job_id]

    # All of them

    def _paginate(self, request: httpx2.Request, items: list[Any]) -> Answer:
        start = int(request.url.params.get("cursor", "0"))
        end = start + self.page
        next_url = request.url.copy_set_param("cursor", str(end))
        headers = {"Link": f'<{next_url}>; rel="next"'} if end < len(items) else {}
        return Answer(200, json=items[start:end], headers=headers)

    def _now(self) -> datetime:
        return _START + timedelta(seconds=len(self.requests))


def _show_model(name: str, found: Repository) -> dict[str, Any]:
    tags = ["peft", "trl"]
    if found.base:
        tags += [f"base_model:{found.base}", f"base_model:adapter:{found.base}"]
    return {
        "id": name,
        "author": name.partition("/")[0],
        "private": found.is_private,
        "createdAt": _show_time(found.created),
        "tags": tags,
    }


def _show_file(path: str, content: bytes, created: datetime) -> dict[str, Any]:
    commit = {"id": "1" * 40, "title": "Add", "date": _show_time(created)}
    oid = _hash_blob(content)
    return {"type": "file", "oid": oid, "size": len(content), "path": path, "lastCommit": commit}


def _hash_blob(content: bytes) -> str:
    header = f"blob {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _check_keys(value: dict[str, Any], known: set[str]) -> None:
    for name in value:
        _check(name in known, f'Unrecognized key: "{name}"')


def _check(is_valid: bool, message: str) -> None:
    if not is_valid:
        raise Refused(400, message)


def _refuse(refused: Refused) -> Answer:
    headers = {"X-Error-Message": str(refused)}
    if refused.code:
        headers["X-Error-Code"] = refused.code
    return Answer(refused.status, json={"error": str(refused)}, headers=headers)


def _show_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.123Z")
