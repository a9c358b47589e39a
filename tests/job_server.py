"""A small fine-tuning server over HTTP, in either protocol, that can refuse any of its routes."""

import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from ftops.records import JobProtocol, Json

JOBS = {"current": "/v1/fine_tuning/jobs", "legacy": "/v1/fine-tunes"}
PAGE = "<html><body>The connection was blocked by your administrator.</body></html>"


@dataclass
class Server:
    """Creates jobs that end with the third request for them; `refuse` adds error responses."""

    protocol: JobProtocol
    final_status: str = "succeeded"
    refusals: list[tuple[str, int, int]] = field(default_factory=list)  # pattern, status, count
    jobs: list[dict[str, Json]] = field(default_factory=list)
    retrieve_count: int = 0

    def refuse(self, pattern: str, status: int, times: int = 10_000) -> None:
        self.refusals.append((pattern, status, times))

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        path = request.path.partition("?")[0]
        for index, (pattern, status, times) in enumerate(self.refusals):
            if times and re.fullmatch(pattern, f"{request.command} {path}"):
                self.refusals[index] = (pattern, status, times - 1)
                _send(request, status, PAGE, "text/html")
                return
        _send(request, 200, json.dumps(self._do(request.command, path, body)))

    def _do(self, method: str, path: str, body: bytes) -> Json:
        jobs_path = JOBS[self.protocol]
        if (method, path) == ("POST", jobs_path):
            params = json.loads(body)
            files: dict[str, Json] = {
                "training_files": [{"id": params["training_file"]}],
                "validation_files": [],
            }
            self.jobs.append(
                {
                    "id": f"ftjob-{len(self.jobs) + 1}",
                    "created_at": 1790000000,
                    "status": "running",
                    **(files if self.protocol == "legacy" else {}),
                    **params,
                }
            )
            return dict(self.jobs[-1])
        if method == "GET" and re.fullmatch(rf"{jobs_path}/ftjob-\d+", path):
            self.retrieve_count += 1
            job = self.jobs[int(path.rpartition("-")[2]) - 1]
            if self.retrieve_count >= 3 and job["status"] == "running":
                job["status"] = self.final_status
                job["fine_tuned_model"] = f"ft:{job['id']}"
                job["result_files"] = (
                    ["file-9"] if self.protocol == "current" else [{"id": "file-9"}]
                )
            return dict(job)
        if method == "POST" and path.endswith("/cancel"):
            job = self.jobs[int(path.split("/")[-2].rpartition("-")[2]) - 1]
            job["status"] = "cancelled"
            return dict(job)
        if method == "POST" or re.fullmatch(r"/v1/files/[^/]+", path):
            file = {"filename": "train.jsonl", "purpose": "fine-tune", "status": "processed"}
            return {"id": "file-1", "created_at": 1790000000, "bytes": 0, **file}
        return {
            "object": "list",
            "data": list(self.jobs) if path == jobs_path else [],
            "has_more": False,
        }


def _send(request: BaseHTTPRequestHandler, status: int, text: str, kind: str = "") -> None:
    content = text.encode()
    request.send_response(status)
    request.send_header("content-type", kind or "application/json")
    request.send_header("content-length", str(len(content)))
    if 300 <= status < 400:
        request.send_header("location", request.path)
    request.end_headers()
    request.wfile.write(content)
