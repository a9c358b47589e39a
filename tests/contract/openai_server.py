"""A stand-in for OpenAI's server, behind a mock transport: files, jobs, models, completions."""

import json
import re
import time
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from typing import Any

import httpx2

KEY = "sk-stand-in-0123456789"
BASE_MODEL = "gpt-4o-mini-2024-07-18"


@dataclass
class OpenAIServer:
    """Responds like api.openai.com; each poll moves a job to its next status."""

    statuses: tuple[str, ...] = ("validating_files", "queued", "running", "succeeded")
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    ids: int = 0

    def __post_init__(self) -> None:
        self._add_model(BASE_MODEL, "system")

    def connect(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self.handle))

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        call = f"{request.method} {request.url.path.removeprefix('/v1')}"
        for pattern, method in (
            (r"(GET|POST) /files", self._use_files),
            (r"(GET|DELETE) /files/([^/]+)(/content)?", self._use_file),
            (r"(GET|POST) /fine_tuning/jobs", self._use_jobs),
            (r"(GET|POST) /fine_tuning/jobs/([^/]+)(?:/cancel)?", self._use_job),
            (r"GET /fine_tuning/jobs/([^/]+)/events", self._list_events),
            (r"GET /models", self._list_models),
            (r"(GET|DELETE) /models/([^/]+)", self._use_model),
            (r"POST /chat/completions", self._complete),
        ):
            if match := re.fullmatch(pattern, call):
                return method(request, *match.groups())
        return _refuse(404, f"Invalid URL ({call})")

    def _use_files(self, request: httpx2.Request, verb: str) -> httpx2.Response:
        if verb == "GET":
            return _list(list(self.files.values())[::-1])
        content_type = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        form = BytesParser().parsebytes(content_type + request.read())
        parts = {
            part.get_param("name", header="content-disposition"): part for part in _parts(form)
        }
        content = parts["file"].get_payload(decode=True)
        assert isinstance(content, bytes)
        file_id = self._make_id("file-")
        self.contents[file_id] = content
        self.files[file_id] = {
            "id": file_id,
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": parts["file"].get_filename(),
            "purpose": "fine-tune",
            "status": "processed",
        }
        return httpx2.Response(200, json=self.files[file_id])

    def _use_file(
        self, _request: httpx2.Request, verb: str, file_id: str, content: str | None
    ) -> httpx2.Response:
        if file_id not in self.files:
            return _refuse(404, f"No such File object: {file_id}", "id")
        if verb == "DELETE":
            del self.files[file_id]
            return httpx2.Response(200, json={"id": file_id, "object": "file", "deleted": True})
        if content:
            return httpx2.Response(200, content=self.contents[file_id])
        return httpx2.Response(200, json=self.files[file_id])

    def _use_jobs(self, request: httpx2.Request, verb: str) -> httpx2.Response:
        if verb == "GET":
            return _list(list(self.jobs.values())[::-1])
        body = json.loads(request.read())
        if body["training_file"] not in self.files:
            return _refuse(400, f"invalid training_file: {body['training_file']}", "training_file")
        if body["model"] not in self.models:
            return _refuse(404, f"The model `{body['model']}` does not exist", "model")
        job_id = self._make_id("ftjob-")
        self.jobs[job_id] = {
            **body,
            "id": job_id,
            "object": "fine_tuning.job",
            "created_at": int(time.time()),
            "status": self.statuses[0],
            "fine_tuned_model": None,
            "user_provided_suffix": body.get("suffix"),
        }
        return httpx2.Response(200, json=self.jobs[job_id])

    def _use_job(self, _request: httpx2.Request, verb: str, job_id: str) -> httpx2.Response:
        job = self.jobs.get(job_id)
        if job is None:
            return _refuse(404, f"Could not find fine tune: {job_id}", "fine_tune_id")
        is_active = job["status"] in self.statuses[:-1]
        if verb == "POST" and not is_active and job["status"] != "cancelled":
            return _refuse(400, f"Job has already completed: {job_id}")
        if is_active:
            following = self.statuses[self.statuses.index(job["status"]) + 1]
            job["status"] = "cancelled" if verb == "POST" else following
        if job["status"] == "succeeded" and job["fine_tuned_model"] is None:
            suffix = job["user_provided_suffix"] or ""
            name = f"ft:{job['model']}:acme:{suffix}:{self._make_id('')}"
            job["fine_tuned_model"] = name
            self._add_model(name, "acme")
        return httpx2.Response(200, json=job)

    def _list_events(self, _request: httpx2.Request, job_id: str) -> httpx2.Response:
        event = {"id": f"ftevent-{job_id}", "object": "fine_tuning.job.event", "level": "info"}
        return _list([event | {"message": "created", "created_at": int(time.time())}])

    def _list_models(self, _request: httpx2.Request) -> httpx2.Response:
        return _list(list(self.models.values()))

    def _use_model(self, _request: httpx2.Request, verb: str, model: str) -> httpx2.Response:
        if model not in self.models:
            return _refuse(404, f"The model `{model}` does not exist", "model")
        if verb == "GET":
            return httpx2.Response(200, json=self.models[model])
        del self.models[model]
        return httpx2.Response(200, json={"id": model, "object": "model", "deleted": True})

    def _complete(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.read())
        if body["model"] not in self.models:
            return _refuse(404, f"The model `{body['model']}` does not exist", "model")
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": " 2"},
            "finish_reason": "stop",
        }
        usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
        return httpx2.Response(200, json={"id": "1", "choices": [choice], "usage": usage})

    def _add_model(self, name: str, owner: str) -> None:
        created = int(time.time())
        self.models[name] = {"id": name, "object": "model", "created": created, "owned_by": owner}

    def _make_id(self, kind: str) -> str:
        self.ids += 1
        return f"{kind}{self.ids:08d}"


def _parts(form: Message) -> list[Message]:
    payload = form.get_payload()
    assert isinstance(payload, list)
    return [part for part in payload if isinstance(part, Message)]


def _list(items: list[dict[str, Any]]) -> httpx2.Response:
    return httpx2.Response(200, json={"object": "list", "data": items, "has_more": False})


def _refuse(status: int, message: str, param: str | None = None) -> httpx2.Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return httpx2.Response(status, json={"error": error})
