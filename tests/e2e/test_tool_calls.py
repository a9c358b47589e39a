"""Training rows with tool calls: checked before anything starts, and sent unchanged."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ftops.records import Json
from tests.data.data_files import call, chat_with_calls, tool
from tests.e2e.sandbox import Sandbox
from tests.loopback import serve_loopback

PLACES = ("kitchen", "hall", "attic", "cellar", "porch")
LIGHT = tool("light", room={"type": "string"})
JOB: dict[str, Json] = {
    "id": "ftjob-1",
    "object": "fine_tuning.job",
    "created_at": 1790000000,
    "finished_at": 1790000600,
    "model": "gpt-4.1-mini-2025-04-14",
    "fine_tuned_model": "ft:gpt-4.1-mini-2025-04-14:acme::Abc1",
    "status": "succeeded",
    "result_files": ["file-r"],
    "hyperparameters": {"n_epochs": 3},
    "trained_tokens": 900,
}
RESULTS = b"step,train_loss\n1,0.9\n2,0.1\n"


@dataclass
class HostedServer:
    """A server that stores uploads and completes jobs at once."""

    base_url: str = ""
    uploads: list[bytes] = field(default_factory=list)
    jobs: list[Json] = field(default_factory=list)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        csv = request.path.endswith("/files/file-r/content")
        content = RESULTS if csv else json.dumps(self._respond(request, body)).encode()
        request.send_response(200)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _respond(self, request: BaseHTTPRequestHandler, body: bytes) -> dict[str, Json]:
        path = urlsplit(request.path).path.removeprefix("/v1")
        if request.command == "POST" and path == "/files":
            self.uploads.append(read_upload(request.headers, body))
            return self._file()
        if request.command == "POST" and path == "/fine_tuning/jobs":
            job = json.loads(body)
            self.jobs.append(job)
            return {**JOB, "training_file": job["training_file"]}
        if path == "/fine_tuning/jobs/ftjob-1":
            return {**JOB, "training_file": "file-1"}
        if path.startswith("/files/"):
            return self._file()
        return {"object": "list", "data": [], "has_more": False}

    def _file(self) -> dict[str, Json]:
        return {
            "id": "file-1",
            "object": "file",
            "bytes": len(self.uploads[-1]),
            "created_at": 1790000000,
            "filename": "train.jsonl",
            "purpose": "fine-tune",
            "status": "processed",
        }


def read_upload(headers: Message, body: bytes) -> bytes:
    """The uploaded file of a form."""
    head = f"content-type: {headers['content-type']}\r\n\r\n".encode()
    form = BytesParser(policy=HTTP).parsebytes(head + body)
    (file,) = [part for part in form.iter_parts() if part.get_filename()]
    content = file.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


@contextmanager
def serve_hosted() -> Iterator[HostedServer]:
    hosted = HostedServer()
    with serve_loopback(hosted.handle) as port:
        hosted.base_url = f"http://127.0.0.1:{port}/v1"
        yield hosted


@pytest.fixture(scope="module")
def lights(sandbox: Sandbox) -> list[dict[str, object]]:
    """Rows with calls of the tool `light`, written to lights.jsonl."""
    rows = [
        chat_with_calls(
            call(f'{{"room":  "{place}"}}', "light", f"call_{number}"),
            question=f"It is dark in the {place}, said {number}.",
            tools=[LIGHT],
            parallel_tool_calls=False,
        )
        for number, place in enumerate(PLACES * 4)
    ]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (sandbox.folder / "lights.jsonl").write_text(text, encoding="utf-8")
    return rows


def write_job(sandbox: Sandbox, provider: str, model: str) -> Path:
    path = sandbox.folder / f"lights-{model}.yaml"
    path.write_text(
        f"name: lights\nprovider: {provider}\nmodel: {model}\ntraining_file: lights.jsonl\n",
        encoding="utf-8",
    )
    return path


def test_rows_with_tool_calls_are_checked_and_sent_unchanged(
    sandbox: Sandbox, lights: list[dict[str, object]]
) -> None:
    with serve_hosted() as hosted:
        settings = f"{{type: openai, base_url: '{hosted.base_url}', api_key_env: MY_KEY}}"
        job = write_job(sandbox, settings, "gpt-4.1-mini-2025-04-14")
        checked = sandbox.invoke("check", job)
        assert (checked.code, checked.err) == (0, "")
        assert '[{"name":"light","arguments":{"room":"attic"}}]' in " ".join(checked.out.split())
        result = sandbox.ftops("run", job, "--json", MY_KEY="sk-test")
    assert result.code == 0, result.err
    (upload,) = hosted.uploads
    assert [json.loads(line) for line in upload.splitlines()] == lights
    assert len(hosted.jobs) == 1


def test_tool_calls_are_refused_for_the_local_engine_before_anything_starts(
    sandbox: Sandbox, lights: list[dict[str, object]]
) -> None:
    job = write_job(sandbox, "local", "ada")
    for command in (("check", job), ("run", job)):
        refused = sandbox.invoke(*command)
        assert refused.code == 1
        message = " ".join(refused.err.split())
        refusal = "tools: ada at the provider local does not train the use of tools"
        assert f"lights.jsonl:1: {refusal}" in message
        assert "Name a provider that does, such as openai" in message
    assert not (sandbox.home / "engine").exists()
