"""A stand-in for a vLLM server: its routes for LoRA adapters, and completions that echo.

An answer is the name of the model and the number of tokens in the prompt; each character is a
token. The prompt of one token 0 gets an answer without an end.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.loopback import serve_loopback


@dataclass
class VllmServer:
    """A server with the base model `base`, whose weights are in the folder `root`."""

    root: Path
    url: str = ""
    adapters: dict[str, str] = field(default_factory=dict)  # the folder of each
    completions: list[dict[str, Any]] = field(default_factory=list)  # requests

    def respond(self, request: BaseHTTPRequestHandler) -> None:
        content = request.rfile.read(int(request.headers.get("content-length") or 0))
        body = json.loads(content) if content else {}
        match request.path:
            case "/v1/models":
                base: dict[str, Any] = {"id": "base", "root": str(self.root), "parent": None}
                tuned = [
                    {"id": name, "root": path, "parent": "base"}
                    for name, path in self.adapters.items()
                ]
                self._send(request, 200, json.dumps({"data": [base, *tuned]}))
            case "/v1/load_lora_adapter":
                if body["lora_name"] in self.adapters:
                    self._send(request, 400, "it has already been loaded")
                elif not (Path(body["lora_path"]) / "adapter_config.json").exists():
                    self._send(request, 404, "no adapter found")
                else:
                    self.adapters[body["lora_name"]] = body["lora_path"]
                    self._send(request, 200, "Success")
            case "/v1/unload_lora_adapter":
                del self.adapters[body["lora_name"]]
                self._send(request, 200, "Success")
            case "/v1/completions" if body["model"] in ("base", *self.adapters):
                self.completions.append(body)
                self._send(request, 200, self._render_stream(body))
            case _:
                self._send(request, 404, '{"error": {"message": "not found"}}')

    def _render_stream(self, body: dict[str, Any]) -> str:
        text = f"{body['model']} {len(body['prompt'])}"[: body["max_tokens"]]
        lines = []
        for n, token in enumerate(text, start=1):
            logprobs = {
                "tokens": [token],
                "token_logprobs": [-0.5],
                "top_logprobs": [{token: -0.5}],
            }
            choice = {
                "index": 0,
                "text": token,
                "logprobs": logprobs if body.get("logprobs") else None,
                "finish_reason": "stop" if n == len(text) and body["prompt"] != [0] else None,
            }
            usage = {"completion_tokens": n}
            lines.append(f"data: {json.dumps({'choices': [choice], 'usage': usage})}\n\n")
        return "".join([*lines, "data: [DONE]\n\n"])

    def _send(self, request: BaseHTTPRequestHandler, status: int, text: str) -> None:
        content = text.encode()
        request.send_response(status)
        request.send_header("content-length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


@contextmanager
def run_vllm(root: Path) -> Iterator[VllmServer]:
    server = VllmServer(root)
    with serve_loopback(server.respond) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server
