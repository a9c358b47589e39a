"""A stand-in for Google's servers, behind a mock transport: Vertex tuning and Cloud Storage.

It is strict: unknown fields, wrong types and rows in another format are refused as the services do.
Resource names have the number of the project, whole numbers of 64 bits are texts.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import httpx2

TOKEN = "ya29.stand-in-0123456789"
PROJECT, LOCATION, BUCKET = "acme", "us-central1", "acme-tuning"
VERTEX_BASE = "gemini-3.5-flash"
_NUMBER = "123456789012"
_PARENT = f"projects/{_NUMBER}/locations/{LOCATION}"
_BASES = frozenset({VERTEX_BASE, "gemini-3.5-flash-lite", "gemini-3.1-flash-lite"})
_START = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
_SPECS = {
    "supervisedTuningSpec": {"epochCount", "learningRateMultiplier", "adapterSize"},
    "preferenceOptimizationSpec": {"epochCount", "learningRateMultiplier", "adapterSize", "beta"},
}
_SPEC_KEYS = {
    "trainingDatasetUri", "validationDatasetUri", "exportLastCheckpointOnly", "hyperParameters",
}  # fmt: skip
_JOB_KEYS = {
    "baseModel", "preTunedModel", "tunedModelDisplayName", "description", "labels", *_SPECS,
}  # fmt: skip
_ADAPTER_SIZES = {
    f"ADAPTER_SIZE_{size}" for size in ("ONE", "TWO", "FOUR", "EIGHT", "SIXTEEN", "THIRTY_TWO")
}
_CONFIG_KEYS = {
    "maxOutputTokens", "temperature", "topP", "stopSequences", "seed", "responseLogprobs",
    "logprobs", "thinkingConfig",
}  # fmt: skip
_RUNNING = ("JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_CANCELLING")

Answer = httpx2.Response


class Refused(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Fault:
    """What goes wrong once, for a request like `POST …/tuningJobs`: see `VertexServer.fail`."""

    pattern: str
    answer: Answer | None  # None: the connection is lost
    has_effect: bool


@dataclass
class VertexServer:
    """Answers as Google does; each look at a job moves it to its next state."""

    states: tuple[str, ...] = ("JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED")
    error: dict[str, Any] | None = None  # of a job that ends otherwise
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    listing_lag: int = 0  # lists in which a new job is missing
    nameless: int = 0  # looks at a succeeded job that has no model yet
    knows_filter: bool = True
    always_thinks: bool = False
    page: int = 2
    parts: list[dict[str, Any]] = field(default_factory=lambda: [{"text": " 2"}])
    finish_reason: str = "STOP"
    block_reason: str | None = None
    requests: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)  # of new jobs and completions
    objects: dict[tuple[str, str], tuple[bytes, datetime]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    models: dict[str, list[str]] = field(default_factory=dict)  # their versions
    operations: set[str] = field(default_factory=set)  # that are done
    odd_jobs: list[dict[str, Any]] = field(default_factory=list)  # listed, too
    _faults: list[Fault] = field(default_factory=list)
    _lags: dict[str, int] = field(default_factory=dict)
    _ids: int = 4_000_000_000

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
        path = request.url.raw_path.decode().partition("?")[0]
        call = f"{request.method} {path}"
        self.requests.append(call)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            return _refuse(Refused(401, "Request had invalid authentication credentials."))
        fault = next((item for item in self._faults if re.search(item.pattern, call)), None)
        if fault:
            self._faults.remove(fault)
        answer = self._answer(request, call) if fault is None or fault.has_effect else None
        if fault and fault.answer is None:
            raise httpx2.ReadError("the connection was lost", request=request)
        return fault.answer if fault and fault.answer else answer or _refuse(Refused(500, ""))

    def _answer(self, request: httpx2.Request, call: str) -> Answer:
        method, _, path = call.partition(" ")
        parent = rf"/v1beta1/projects/(?:{PROJECT}|{_NUMBER})/locations/{LOCATION}"
        routes: list[tuple[str, Callable[..., Any]]] = [
            (rf"POST /upload/storage/v1/b/{BUCKET}/o", self._store),
            (rf"GET /storage/v1/b/{BUCKET}/o", self._list_objects),
            (r"(GET|DELETE) /storage/v1/b/([^/]+)/o/([^/]+)", self._use_object),
            (rf"POST {parent}/tuningJobs", self._create_job),
            (rf"GET {parent}/tuningJobs", self._list_jobs),
            (rf"GET {parent}/tuningJobs/(\d+)", self._get_job),
            (rf"POST {parent}/tuningJobs/(\d+):cancel", self._cancel_job),
            (rf"GET {parent}/endpoints", self._list_endpoints),
            (rf"(GET|DELETE) {parent}/endpoints/(\d+)", self._use_endpoint),
            (rf"POST {parent}/endpoints/(\d+):undeployModel", self._undeploy),
            (rf"POST {parent}/(endpoints/\d+|publishers/.+):generateContent", self._generate),
            (rf"GET {parent}/models/(\d+):listVersions", self._list_versions),
            (rf"DELETE {parent}/models/(\d+)(?:@(\d+):deleteVersion)?", self._delete_model),
            (rf"GET {parent}/operations/(\d+)", self._get_operation),
        ]
        try:
            for pattern, answer in routes:
                if match := re.fullmatch(pattern, f"{method} {path}"):
                    made = answer(request, *match.groups())
                    return made if isinstance(made, Answer) else Answer(200, json=made)
        except Refused as refused:
            return _refuse(refused)
        return _refuse(Refused(404, f"no route {call}"))

    # Cloud Storage

    def _store(self, request: httpx2.Request) -> Any:
        params = dict(request.url.params)
        _check(params.pop("uploadType", None) == "media", "uploadType must be media here")
        name = params.pop("name", "")
        _check(bool(name) and not params, "an object has a name, and nothing else")
        self.objects[BUCKET, name] = (request.read(), self._now())
        return self._show_object(BUCKET, name)

    def _list_objects(self, request: httpx2.Request) -> Any:
        prefix = request.url.params.get("prefix", "")
        names = sorted(name for bucket, name in self.objects if name.startswith(prefix))
        return self._paginate(request, "items", [self._show_object(BUCKET, name) for name in names])

    def _use_object(self, request: httpx2.Request, method: str, bucket: str, name: str) -> Any:
        name = unquote(name)
        if (bucket, name) not in self.objects:
            message = f"No such object: {bucket}/{name}"
            error = {"code": 404, "message": message, "errors": [{"reason": "notFound"}]}
            return Answer(404, json={"error": error})
        if method == "DELETE":
            del self.objects[bucket, name]
            return Answer(204)
        if request.url.params.get("alt") == "media":
            return Answer(200, content=self.objects[bucket, name][0])
        return self._show_object(bucket, name)

    def _show_object(self, bucket: str, name: str) -> dict[str, Any]:
        content, created = self.objects[bucket, name]
        return {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/1",
            "bucket": bucket,
            "name": name,
            "size": str(len(content)),
            "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
            "timeCreated": _show_time(created),
        }

    # Tuning jobs

    def _create_job(self, request: httpx2.Request) -> Any:
        body = json.loads(request.read())
        self.bodies.append(body)
        _check_keys(body, _JOB_KEYS, "tuning_job")
        kind = _check_spec(body)
        for name, value in body.get("labels", {}).items():
            is_label = re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", name)
            _check(bool(is_label and re.fullmatch(r"[a-z0-9_-]{0,63}", value)), f"label {name}")
        _check(len(body.get("tunedModelDisplayName", "")) <= 128, "display name too long")
        source = body.get("baseModel")
        if "preTunedModel" in body:
            _check(source is None, "one of base_model and pre_tuned_model")
            source_model = body["preTunedModel"]
            if "tuned_model_name" in source_model:  # the service takes both spellings
                source_model["tunedModelName"] = source_model.pop("tuned_model_name")
            _check_keys(source_model, {"tunedModelName", "checkpointId"}, "pre_tuned_model")
            number, _, version = source_model["tunedModelName"].partition("@")
            versions = self.models.get(number.rpartition("/")[2], [])
            _check(version in versions, "no such tuned model")
        elif source not in _BASES:
            raise Refused(400, f"Base model {source} is not supported.")
        job_id = self._make_id()
        now = _show_time(self._now())
        spec = body[kind]
        hyper = {"epochCount": "3", **spec.get("hyperParameters", {})}
        hyper["epochCount"] = str(hyper["epochCount"])
        self.jobs[job_id] = {
            **body,
            kind: {**spec, "hyperParameters": hyper},
            "name": f"{_PARENT}/tuningJobs/{job_id}",
            "state": self.states[0],
            "createTime": now,
            "updateTime": now,
        }
        self._lags[job_id] = self.listing_lag
        return self.jobs[job_id]

    def _list_jobs(self, request: httpx2.Request) -> Any:
        jobs = []
        for job_id, job in reversed(self.jobs.items()):
            if self._lags[job_id] > 0:
                self._lags[job_id] -= "pageToken" not in request.url.params
            else:
                jobs.append(job)
        condition = request.url.params.get("filter")
        if condition is not None:
            _check(self.knows_filter, "Invalid filter")
            match = re.fullmatch(r'labels\.([a-z_]+)="([a-z0-9_-]+)"', condition)
            assert match is not None
            jobs = [job for job in jobs if job.get("labels", {}).get(match[1]) == match[2]]
        return self._paginate(request, "tuningJobs", [*self.odd_jobs, *jobs])

    def _get_job(self, _request: httpx2.Request, job_id: str) -> Any:
        job = self._find_job(job_id)
        state = job["state"]
        if state == "JOB_STATE_CANCELLING":
            self._move(job, "JOB_STATE_CANCELLED")
        elif state in self.states[:-1]:
            place = job.setdefault("_place", 0) + 1
            job["_place"] = place
            self._move(job, self.states[place])
        elif state in ("JOB_STATE_SUCCEEDED", "JOB_STATE_PARTIALLY_SUCCEEDED"):
            self._publish(job)
        return {name: value for name, value in job.items() if not name.startswith("_")}

    def _move(self, job: dict[str, Any], state: str) -> None:
        kind = next(name for name in _SPECS if name in job)
        now = _show_time(self._now())
        job |= {"state": state, "updateTime": now}
        if state == "JOB_STATE_RUNNING":
            job["startTime"] = now
            job["tuningJobState"] = "TUNING_JOB_STATE_TUNING"
            try:
                rows = self._read_rows(job[kind], kind)
            except Refused as refused:
                self.error = {"code": 3, "message": str(refused)}
                job |= {"state": "JOB_STATE_FAILED", "endTime": now, "error": self.error}
                return
            statistics = {
                "tuningDatasetExampleCount": str(rows),
                "totalBillableTokenCount": str(10 * rows),
            }
            job["tuningDataStats"] = {f"{kind.removesuffix('Spec')}DataStats": statistics}
        if state.endswith(("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")):
            job["endTime"] = now
            job.pop("tuningJobState", None)
            if self.error is not None and state != "JOB_STATE_SUCCEEDED":
                job["error"] = self.error
        if state in ("JOB_STATE_SUCCEEDED", "JOB_STATE_PARTIALLY_SUCCEEDED"):
            self._publish(job)

    def _publish(self, job: dict[str, Any]) -> None:
        """Give a succeeded job its model and its endpoints."""
        if "tunedModel" in job:
            return
        if self.nameless > 0:
            self.nameless -= 1
            return
        source = job.get("preTunedModel", {}).get("tunedModelName", "")
        number = source.rpartition("/")[2].partition("@")[0] or self._make_id()
        versions = self.models.setdefault(number, [])
        versions.append(str(len(versions) + 1))
        model = f"{_PARENT}/models/{number}@{versions[-1]}"
        kind = next(name for name in _SPECS if name in job)
        epochs = min(3, int(job[kind]["hyperParameters"]["epochCount"]))
        if job[kind].get("exportLastCheckpointOnly"):
            endpoints = [self._make_endpoint(model)]
        else:
            endpoints = [self._make_endpoint(model) for _ in range(epochs)]
        job["tunedModel"] = {"model": model, "endpoint": endpoints[-1]}
        if len(endpoints) > 1:
            job["tunedModel"]["checkpoints"] = [
                {
                    "checkpointId": str(epoch),
                    "epoch": str(epoch),
                    "step": str(6 * epoch),
                    "endpoint": endpoint,
                }
                for epoch, endpoint in enumerate(endpoints, 1)
            ]

    def _make_endpoint(self, model: str) -> str:
        endpoint = self._make_id()
        self.endpoints[endpoint] = [{"id": self._make_id(), "model": model}]
        return f"{_PARENT}/endpoints/{endpoint}"

    def _cancel_job(self, _request: httpx2.Request, job_id: str) -> Any:
        job = self._find_job(job_id)
        _check(job["state"] in _RUNNING, f"The job is in the state {job['state']}.")
        self._move(job, "JOB_STATE_CANCELLING")
        return {}

    def _find_job(self, job_id: str) -> dict[str, Any]:
        if job_id not in self.jobs:
            raise Refused(404, f"TuningJob {job_id} is not found.")
        return self.jobs[job_id]

    def _read_rows(self, spec: dict[str, Any], kind: str) -> int:
        """The number of training rows; Refused with the number of the first bad row."""
        counts = []
        for key in ("trainingDatasetUri", "validationDatasetUri"):
            if key not in spec:
                continue
            bucket, _, name = spec[key].removeprefix("gs://").partition("/")
            if (bucket, name) not in self.objects:
                raise Refused(404, f"{spec[key]} does not exist.")
            lines = self.objects[bucket, name][0].splitlines()
            for number, line in enumerate(lines, 1):
                try:
                    check_row(json.loads(line), is_preference=kind.startswith("preference"))
                except (Refused, ValueError, KeyError, TypeError) as error:
                    raise Refused(400, f"Row {number}: {error!r}") from error
            counts.append(len(lines))
        if counts[1:] and counts[1] > 5_000:
            raise Refused(400, "The validation dataset has more than 5000 rows.")
        return counts[0]

    # Models

    def _list_endpoints(self, request: httpx2.Request) -> Any:
        shown = [self._show_endpoint(endpoint) for endpoint in self.endpoints]
        return self._paginate(request, "endpoints", shown)

    def _use_endpoint(self, _request: httpx2.Request, method: str, endpoint: str) -> Any:
        shown = self._show_endpoint(endpoint)
        if method == "GET":
            return shown
        _check(not self.endpoints[endpoint], "The Endpoint has deployed models.")
        del self.endpoints[endpoint]
        return self._operate()

    def _show_endpoint(self, endpoint: str) -> dict[str, Any]:
        if endpoint not in self.endpoints:
            raise Refused(404, f"Endpoint {endpoint} is not found.")
        deployed = self.endpoints[endpoint]
        shown: dict[str, Any] = {"name": f"{_PARENT}/endpoints/{endpoint}"}
        return {**shown, "deployedModels": deployed} if deployed else shown

    def _undeploy(self, request: httpx2.Request, endpoint: str) -> Any:
        deployed = self._show_endpoint(endpoint).get("deployedModels", [])
        number = json.loads(request.read())["deployedModelId"]
        _check(number in [item["id"] for item in deployed], "no such deployed model")
        self.endpoints[endpoint] = [item for item in deployed if item["id"] != number]
        return self._operate()

    def _list_versions(self, request: httpx2.Request, model: str) -> Any:
        if model not in self.models:
            raise Refused(404, f"Model {model} is not found.")
        shown = [{"versionId": version} for version in self.models[model]]
        return self._paginate(request, "models", shown)

    def _delete_model(self, _request: httpx2.Request, model: str, version: str | None) -> Any:
        versions = self.models.get(model, [])
        if not versions or (version and version not in versions):
            raise Refused(404, f"Model {model} is not found.")
        _check(version is None or len(versions) > 1, "the only version cannot be deleted")
        deployed = {item["model"] for items in self.endpoints.values() for item in items}
        name = f"{_PARENT}/models/{model}@{version or ''}"
        _check(not any(item.startswith(name) for item in deployed), "The Model is deployed.")
        if version:
            versions.remove(version)
        else:
            del self.models[model]
        return self._operate()

    def _operate(self) -> Any:
        return {"name": f"{_PARENT}/operations/{self._make_id()}"}

    def _get_operation(self, request: httpx2.Request, number: str) -> Any:
        name = f"{_PARENT}/operations/{number}"
        if number not in self.operations:  # not done at the first look
            self.operations.add(number)
            return {"name": name, "done": False}
        return {"name": name, "done": True, "response": {}}

    def _generate(self, request: httpx2.Request, model: str) -> Any:
        body = json.loads(request.read())
        self.bodies.append(body)
        kind, _, name = model.rpartition("/")
        if kind == "endpoints":
            _check(bool(self._show_endpoint(name).get("deployedModels")), "nothing is deployed")
        elif name not in _BASES:
            raise Refused(404, f"Publisher Model {name} was not found.")
        _check_keys(body, {"contents", "systemInstruction", "tools", "generationConfig"}, "body")
        _check_contents(body["contents"])
        config = body.get("generationConfig", {})
        _check_keys(config, _CONFIG_KEYS, "generation_config")
        if self.always_thinks and config.get("thinkingConfig"):
            raise Refused(400, "Budget 0 is invalid. This model only works in thinking mode.")
        usage = {"promptTokenCount": 9, "candidatesTokenCount": 1, "totalTokenCount": 10}
        if self.block_reason:
            return {"promptFeedback": {"blockReason": self.block_reason}, "usageMetadata": usage}
        content = {"role": "model", "parts": self.parts}
        candidate: dict[str, Any] = {"content": content, "finishReason": self.finish_reason}
        if config.get("responseLogprobs"):
            tops = [{"token": " 2", "logProbability": -0.1}]
            candidate["logprobsResult"] = {"topCandidates": [{"candidates": tops}]}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": VERTEX_BASE}

    # All of them

    def _paginate(self, request: httpx2.Request, key: str, items: list[Any]) -> Any:
        start = int(request.url.params.get("pageToken", "0"))
        page = items[start : start + self.page]
        shown: dict[str, Any] = {key: page} if page else {}
        if start + self.page < len(items):
            shown["nextPageToken"] = str(start + self.page)
        return shown

    def _make_id(self) -> str:
        self._ids += 1
        return str(self._ids)

    def _now(self) -> datetime:
        return _START + timedelta(seconds=len(self.requests))


def check_row(row: dict[str, Any], *, is_preference: bool) -> None:
    """Refused for a row that is not in Gemini's format."""
    completions = {"completions"} if is_preference else {"tools"}
    _check_keys(row, {"systemInstruction", "contents", *completions}, "row")
    _check_contents(row["contents"])
    last = row["contents"][-1]["role"]
    if not is_preference:
        _check(last == "model", "the last content is not the model's")
        return
    _check(last == "user", "the last content is not the user's")
    scores = [item["score"] for item in row["completions"]]
    _check(sorted(scores) == [0, 1], "completions have the scores 0 and 1")
    for item in row["completions"]:
        _check_contents([item["completion"]])


def _check_contents(contents: list[dict[str, Any]]) -> None:
    _check(isinstance(contents, list) and bool(contents), "contents are missing")
    for content in contents:
        _check_keys(content, {"role", "parts"}, "content")
        _check(content["role"] in ("user", "model"), f"role {content['role']}")
        _check(bool(content["parts"]), "parts are missing")
        for part in content["parts"]:
            _check(len(part) == 1, "a part has one kind of data")
            _check_keys(part, {"text", "functionCall", "functionResponse"}, "part")


def _check_spec(body: dict[str, Any]) -> str:
    """The name of the only spec."""
    kinds = [name for name in _SPECS if name in body]
    _check(len(kinds) == 1, "one tuning spec")
    spec = body[kinds[0]]
    _check_keys(spec, _SPEC_KEYS, kinds[0])
    for name in ("trainingDatasetUri", "validationDatasetUri"):
        value = spec.get(name, "gs://b/o")
        _check(isinstance(value, str) and value.startswith("gs://"), f"{name} is no gs:// address")
    _check("trainingDatasetUri" in spec, "training_dataset_uri is required")
    hyper = spec.get("hyperParameters", {})
    _check_keys(hyper, _SPECS[kinds[0]], "hyper_parameters")
    _check(isinstance(hyper.get("epochCount", 1), int), "epoch_count")
    _check(isinstance(hyper.get("learningRateMultiplier", 1), int | float), "multiplier")
    _check(hyper.get("adapterSize", "ADAPTER_SIZE_ONE") in _ADAPTER_SIZES, "adapter_size")
    return kinds[0]


def _check_keys(value: dict[str, Any], known: set[str], where: str) -> None:
    for name in value:
        _check(
            name in known, f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}'"
        )


def _check(is_valid: bool, message: str) -> None:
    if not is_valid:
        raise Refused(400, message)


def _refuse(refused: Refused) -> Answer:
    word = _WORDS.get(refused.status, "INTERNAL")
    error = {"code": refused.status, "message": str(refused), "status": word, "details": []}
    return Answer(refused.status, json={"error": error})


def _show_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
