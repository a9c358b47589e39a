"""curl: the HTTP protocol without an SDK."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.operation import CannotInstall, Client, Operation, OperationContext, Server, ensure
from conformance.rows import as_lines, sentences


def _install(cache: Path) -> Path:
    path = shutil.which("curl")
    if path is None:
        raise CannotInstall("curl is not installed")
    return Path(path)


def _environment(_server: Server) -> Mapping[str, str]:
    return {}


def _request(context: OperationContext, path: str, *options: str) -> Any:
    """The JSON response of the engine to curl."""
    key = f"Authorization: Bearer {context.server.token}"
    url = f"{context.server.base_url}{path}"
    return json.loads(context.run(context.tool, "-sS", "-H", key, *options, url).expect().out)


def _stream(context: OperationContext, path: str, *options: str) -> list[str]:
    """The data of all events that the engine sends to curl."""
    key = f"Authorization: Bearer {context.server.token}"
    url = f"{context.server.base_url}{path}"
    done = context.run(context.tool, "-sS", "-N", "-i", "-H", key, *options, url).expect()
    head, _, body = done.out.partition("\n\n")
    ensure("transfer-encoding: chunked" in head.lower(), f"not chunked: {head}")
    return [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]


def _send(context: OperationContext, path: str, body: Mapping[str, object]) -> Any:
    json_type = ("-H", "Content-Type: application/json")
    return _request(context, path, *json_type, "-d", json.dumps(body))


def _list_models(context: OperationContext) -> None:
    names = [model["id"] for model in _request(context, "/models")["data"]]
    ensure("ada" in names, f"no ada among {names}")


def _upload(context: OperationContext) -> None:
    context.write("train.jsonl", as_lines(sentences(240)))
    made = _request(context, "/files", "-F", "purpose=fine-tune", "-F", "file=@train.jsonl")
    ensure(made["filename"] == "train.jsonl", f"the answer is {made}")
    context.kept["file"] = made["id"]


def _create_fine_tune(context: OperationContext) -> None:
    job = _send(context, "/fine-tunes", {"training_file": context.get("file"), "model": "ada"})
    ensure(job.get("status") == "pending", f"the answer is {job}")
    context.kept["job"] = job["id"]


def _follow(context: OperationContext) -> None:
    events = _stream(context, f"/fine-tunes/{context.get('job')}/events?stream=true")
    ensure(events[-1] == "[DONE]", f"the last event is {events[-1]}")
    last = json.loads(events[-2])["message"]
    ensure(last == "Fine-tune succeeded", f"the last message is {last}")
    model = _request(context, f"/fine-tunes/{context.get('job')}")["fine_tuned_model"]
    context.kept["model"] = model


# What a model of this size answers depends on rounding, so on the processor; its form does not.
def _complete(context: OperationContext) -> None:
    asked = {"model": context.get("model"), "prompt": "The hat is red ->", "temperature": 0}
    answer = _send(context, "/completions", {**asked, "max_tokens": 8})
    choice, usage = answer["choices"][0], answer["usage"]
    ensure(isinstance(choice["text"], str), f"the answer is {answer}")
    ensure(choice["finish_reason"] in ("stop", "length"), f"the answer is {answer}")
    ensure(usage["prompt_tokens"] > 0, f"the usage is {usage}")
    ensure(usage["completion_tokens"] <= 8, f"the usage is {usage}")


def _complete_streamed(context: OperationContext) -> None:
    asked = {"model": context.get("model"), "prompt": "The cup is blue ->", "temperature": 0}
    asked["max_tokens"] = 8
    whole = _send(context, "/completions", asked)["choices"][0]["text"]
    body = json.dumps({**asked, "stream": True})
    json_type = ("-H", "Content-Type: application/json")
    events = _stream(context, "/completions", *json_type, "-d", body)
    ensure(events.pop() == "[DONE]", "the stream does not end with [DONE]")
    text = "".join(json.loads(event)["choices"][0]["text"] for event in events)
    ensure(text == whole, f"the stream is {text!r}, the whole answer {whole!r}")


def _delete_model(context: OperationContext) -> None:
    answer = _request(context, f"/models/{context.get('model')}", "-X", "DELETE")
    ensure(answer.get("deleted") is True, f"the answer is {answer}")
    again = _request(context, f"/models/{context.get('model')}", "-X", "DELETE")
    ensure(again["error"]["code"] == "model_not_found", f"the second answer is {again}")


def _delete_file(context: OperationContext) -> None:
    answer = _request(context, f"/files/{context.get('file')}", "-X", "DELETE")
    ensure(answer.get("deleted") is True, f"the answer is {answer}")


CLIENT = Client(
    name="curl",
    title="curl",
    install=_install,
    environment=_environment,
    operations=(
        Operation("GET /v1/models", _list_models),
        Operation("POST /v1/files", _upload),
        Operation("POST /v1/fine-tunes", _create_fine_tune),
        Operation("GET /v1/fine-tunes/ID/events?stream=true", _follow),
        Operation("POST /v1/completions", _complete),
        Operation("POST /v1/completions, streamed", _complete_streamed),
        Operation("-X DELETE /v1/models/NAME", _delete_model),
        Operation("-X DELETE /v1/files/ID", _delete_file),
    ),
)
