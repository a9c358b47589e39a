"""What the stand-ins for servers with OpenAI's fine-tuning API have in common, with faults to play.

A stand-in refuses what its server would refuse: unknown fields, wrong types, values out of bounds,
unknown routes and wrong keys.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from typing import Any, ClassVar

import httpx2

from ftops.clock import Clock, SystemClock

Fields = dict[str, Any]
Check = Callable[[Any], bool]
Route = tuple[str, Callable[..., httpx2.Response]]


def is_int(low: int, high: int) -> Check:
    return lambda value: type(value) is int and low <= value <= high


def is_number(low: float, high: float) -> Check:
    return lambda value: type(value) in (int, float) and low <= value <= high


def is_text(most: int) -> Check:
    return lambda value: type(value) is str and 0 < len(value) <= most


def is_in(*values: object) -> Check:
    return lambda value: any(value is item or value == item for item in values)


def is_auto_or(check: Check) -> Check:
    return lambda value: value == "auto" or check(value)


@dataclass
class Faults:
    """What goes wrong; a route such as `POST /fine_tuning/jobs` is a regular expression."""

    lost: list[str] = field(default_factory=list)  # carried out, but the answer is lost; once each
    unavailable: list[str] = field(default_factory=list)  # 503, without effect; once each
    unavailable_after: list[str] = field(default_factory=list)  # 503, carried out; once each
    missing: tuple[str, ...] = ()  # routes that the server does not have
    hidden_lists: int = 0  # lists of jobs in which the newest is not yet
    late_name: int = 0  # looks at a succeeded job whose model has no name yet
    gone: bool = False  # jobs are not found
    deployment_error: str = ""  # of every deployment, after it was accepted


@dataclass
class OpenAILikeServer:
    """A server whose jobs move on by one status with each look at them."""

    KEY: ClassVar[str]
    BASE_PATH: ClassVar[str] = "/v1"
    MODELS: ClassVar[tuple[str, ...]] = ()
    HYPERPARAMETERS: ClassVar[Mapping[str, Check]] = {}
    FIELDS: ClassVar[Mapping[str, Check]] = {}  # of a job, beside the files, model and method
    METHODS: ClassVar[tuple[str, ...]] = ("supervised",)

    statuses: tuple[str, ...] = ("running", "succeeded")
    clock: Clock = field(default_factory=SystemClock)
    faults: Faults = field(default_factory=Faults)
    requests: list[str] = field(default_factory=list)
    bodies: list[Fields] = field(default_factory=list)  # of the created jobs
    files: dict[str, Fields] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, Fields] = field(default_factory=dict)
    tuned: dict[str, Fields] = field(default_factory=dict)  # fine-tuned models
    ids: int = 0

    def connect(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self.handle))

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        call = f"{request.method} {request.url.path.removeprefix(self.BASE_PATH)}"
        self.requests.append(call)
        if not self.is_authorized(request):
            return self.refuse(401, "Incorrect API key provided", code="invalid_api_key")
        if self._takes(self.faults.unavailable, call):
            return self.refuse(503, "try again later")
        response = self._answer(request, call)
        if self._takes(self.faults.lost, call):
            raise httpx2.ReadTimeout("the answer is lost", request=request)
        if self._takes(self.faults.unavailable_after, call):
            return self.refuse(503, "try again later")
        return response

    def _answer(self, request: httpx2.Request, call: str) -> httpx2.Response:
        if any(re.fullmatch(route, call) for route in self.faults.missing):
            return self.refuse(404, f"Not Found: {call}")
        for pattern, answer in self.routes():
            if match := re.fullmatch(pattern, call):
                return answer(request, *match.groups())
        return self.refuse(404, f"Not Found: {call}")

    def _takes(self, faults: list[str], call: str) -> bool:
        fault = next((fault for fault in faults if re.fullmatch(fault, call)), None)
        if fault is not None:
            faults.remove(fault)
        return fault is not None

    def is_authorized(self, request: httpx2.Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.KEY}"

    def routes(self) -> list[Route]:
        return [
            (r"POST /files", self._store_file),
            (r"GET /files", self._list_files),
            (r"(GET|DELETE) /files/([^/]+)(/content)?", self._use_file),
            (r"POST /fine_tuning/jobs", self._create_job),
            (r"GET /fine_tuning/jobs", self._list_jobs),
            (r"GET /fine_tuning/jobs/([^/]+)", self._get_job),
            (r"POST /fine_tuning/jobs/([^/]+)/cancel", self._cancel_job),
            (r"GET /fine_tuning/jobs/([^/]+)/events", self._list_events),
            (r"GET /fine_tuning/jobs/([^/]+)/checkpoints", self._list_checkpoints),
            (r"GET /models", self._list_models),
            (r"(GET|DELETE) /models/(.+)", self._use_model),
            (r"POST /chat/completions", self._complete),
        ]

    # What servers do differently

    def make_job(self, body: Fields) -> Fields:
        """The fields of a new job that only this server has."""
        return {}

    def name_model(self, job: Fields) -> str | None:
        """The fine-tuned model of a succeeded job, which is registered by this."""
        name = f"ft:{job['model']}:{job['id']}"
        self.tuned[name] = {"id": name, "object": "model", "created": self.now(), "owned_by": "me"}
        return name

    def describe_base(self, name: str) -> Fields:
        return {"id": name, "object": "model", "created": 1, "owned_by": "system"}

    def make_events(self, job: Fields) -> list[Fields]:
        """The events of a job, in the order of its server."""
        return []

    def make_checkpoints(self, job: Fields) -> list[Fields]:
        return []

    def answers(self, model: str) -> bool:
        """Whether the model answers requests now."""
        return model in self.MODELS

    def refuse(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> httpx2.Response:
        kind = "invalid_request_error"
        error = {"message": message, "type": kind, "param": param, "code": code}
        return httpx2.Response(status, json={"error": error})

    # Files

    def _store_file(self, request: httpx2.Request) -> httpx2.Response:
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        form = BytesParser().parsebytes(head + request.read())
        payload = form.get_payload()
        assert isinstance(payload, list)
        parts = {
            part.get_param("name", header="content-disposition"): part
            for part in payload
            if isinstance(part, Message)
        }
        if parts["purpose"].get_payload() != "fine-tune":
            return self.refuse(400, "purpose must be fine-tune", param="purpose")
        content = parts["file"].get_payload(decode=True)
        assert isinstance(content, bytes)
        return self.ok(self.add_file(str(parts["file"].get_filename()), content))

    def add_file(self, name: str, content: bytes, purpose: str = "fine-tune") -> Fields:
        file_id = self.make_id("file-")
        self.contents[file_id] = content
        self.files[file_id] = {
            "id": file_id,
            "object": "file",
            "bytes": len(content),
            "created_at": self.now(),
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }
        return self.files[file_id]

    def _list_files(self, _request: httpx2.Request) -> httpx2.Response:
        return self.show_list(list(self.files.values())[::-1])

    def _use_file(
        self, _request: httpx2.Request, verb: str, file_id: str, content: str | None
    ) -> httpx2.Response:
        if file_id not in self.files:
            return self.refuse(404, f"No such File object: {file_id}", param="id")
        if verb == "DELETE":
            del self.files[file_id]
            return self.ok({"id": file_id, "object": "file", "deleted": True})
        if content:
            return httpx2.Response(200, content=self.contents[file_id])
        return self.ok(self.files[file_id])

    # Jobs

    def _create_job(self, request: httpx2.Request) -> httpx2.Response:
        body: Fields = json.loads(request.read())
        if refusal := self.check_job(body):
            return refusal
        self.bodies.append(body)
        job_id = self.make_id("ftjob-")
        self.jobs[job_id] = {
            **body,
            "id": job_id,
            "object": "fine_tuning.job",
            "created_at": self.now(),
            "status": self.statuses[0],
            "fine_tuned_model": None,
            "finished_at": None,
            "trained_tokens": None,
            "error": None,
            "hyperparameters": {},
            "organization_id": "org-1",
            "result_files": [],
            "seed": body.get("seed", 0),
            "validation_file": body.get("validation_file"),
            "looks": 0,
            **self.make_job(body),
        }
        return self.ok(self.show_job(self.jobs[job_id]))

    def check_job(self, body: Fields) -> httpx2.Response | None:
        """The refusal of a request that creates a job."""
        known = {"model", "training_file", "validation_file", "method", *self.FIELDS}
        for name in body.keys() - known:
            return self.refuse_field(name, "Extra inputs are not permitted")
        for name in body.keys() & self.FIELDS.keys():
            if not self.FIELDS[name](body[name]):
                return self.refuse_field(name, "Input is not valid")
        for name in ("training_file", "validation_file"):
            if (name == "training_file" or name in body) and body.get(name) not in self.files:
                return self.refuse(400, f"invalid {name}: {body.get(name)}", param=name)
        if body.get("model") not in self.MODELS:
            return self.refuse(
                404, f"The model {body.get('model')!r} does not exist", param="model"
            )
        return self._check_method(body.get("method", {"type": "supervised"}))

    def _check_method(self, method: Fields) -> httpx2.Response | None:
        kind = method.get("type")
        if kind not in self.METHODS or method.keys() - {"type", kind}:
            return self.refuse_field("method", f"Unknown method {kind!r}")
        for name, value in method.get(kind, {}).get("hyperparameters", {}).items():
            if name not in self.HYPERPARAMETERS:
                return self.refuse_field(name, "Extra inputs are not permitted")
            if not self.HYPERPARAMETERS[name](value):
                return self.refuse_field(name, f"Input is not valid: {value!r}")
        return None

    def refuse_field(self, name: str, reason: str) -> httpx2.Response:
        return self.refuse(400, f"{name}: {reason}", param=name)

    def show_job(self, job: Fields) -> Fields:
        return {name: value for name, value in job.items() if name != "looks"}

    def _list_jobs(self, request: httpx2.Request) -> httpx2.Response:
        jobs = [self.show_job(job) for job in self.jobs.values()][::-1]
        if self.faults.hidden_lists:
            self.faults.hidden_lists -= 1
            jobs = jobs[1:]
        return self.page(request, jobs)

    def _get_job(self, _request: httpx2.Request, job_id: str) -> httpx2.Response:
        job = self.jobs.get(job_id)
        if job is None or self.faults.gone:
            return self._refuse_job(job_id)
        if job["status"] in self.statuses[:-1]:
            job["status"] = self.statuses[self.statuses.index(job["status"]) + 1]
        if job["status"] == "succeeded":
            job["looks"] += 1
            job["finished_at"] = job["finished_at"] or self.now()
            job["trained_tokens"] = 1234
            if job["fine_tuned_model"] is None and job["looks"] > self.faults.late_name:
                job["fine_tuned_model"] = self.name_model(job)
        return self.ok(self.show_job(job))

    def _cancel_job(self, _request: httpx2.Request, job_id: str) -> httpx2.Response:
        job = self.jobs.get(job_id)
        if job is None:
            return self._refuse_job(job_id)
        if job["status"] not in (*self.statuses[:-1], "cancelled"):
            return self.refuse(400, f"Job has already completed: {job_id}")
        job["status"] = "cancelled"
        return self.ok(self.show_job(job))

    def _list_events(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
        job = self.jobs.get(job_id)
        return self.page(request, self.make_events(job)) if job else self._refuse_job(job_id)

    def _list_checkpoints(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
        job = self.jobs.get(job_id)
        if job is None:
            return self._refuse_job(job_id)
        is_trained = job["status"] == "succeeded"
        return self.page(request, self.make_checkpoints(job) if is_trained else [])

    def _refuse_job(self, job_id: str) -> httpx2.Response:
        return self.refuse(404, f"Could not find fine tune: {job_id}", param="fine_tune_id")

    # Models

    def _list_models(self, _request: httpx2.Request) -> httpx2.Response:
        return self.show_list([*map(self.describe_base, self.MODELS), *self.tuned.values()])

    def _use_model(self, _request: httpx2.Request, verb: str, model: str) -> httpx2.Response:
        if verb == "GET" and model in self.MODELS:
            return self.ok(self.describe_base(model))
        if model not in self.tuned:
            return self.refuse(404, f"The model {model!r} does not exist", param="model")
        if verb == "GET":
            return self.ok(self.tuned[model])
        del self.tuned[model]
        return self.ok({"id": model, "object": "model", "deleted": True})

    def _complete(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.read())
        if not self.answers(body["model"]):
            return self.refuse(404, f"The model {body['model']!r} does not exist", param="model")
        message = {"role": "assistant", "content": " 2"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
        answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": self.now()}
        return self.ok({**answer, "model": body["model"], "choices": [choice], "usage": usage})

    # Answers

    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def make_id(self, kind: str) -> str:
        self.ids += 1
        return f"{kind}{self.ids:08d}"

    def ok(self, fields: Fields) -> httpx2.Response:
        return httpx2.Response(200, json=fields)

    def show_list(self, items: list[Fields]) -> httpx2.Response:
        return self.ok({"object": "list", "data": items, "has_more": False})

    def page(self, request: httpx2.Request, items: list[Fields]) -> httpx2.Response:
        """A page of at most `limit` items, after the item `after`."""
        ids = [item["id"] for item in items]
        after, limit = request.url.params.get("after"), int(request.url.params.get("limit", 20))
        start = ids.index(after) + 1 if after in ids else 0
        has_more = len(items) > start + limit
        return self.ok(
            {"object": "list", "data": items[start : start + limit], "has_more": has_more}
        )
