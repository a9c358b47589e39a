"""curl: the protocol with nothing in between."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.operation import Client, NotHere, Operation, Scene, ensure
from conformance.rows import as_lines, sentences
from ftops.records import EngineAddress


def _install(cache: Path) -> Path:
    found = shutil.which("curl")
    if found is None:
        raise NotHere("there is no curl")
    return Path(found)


def _environment(engine: EngineAddress) -> Mapping[str, str]:
    return {}


def _ask(scene: Scene, path: str, *options: str) -> Any:
    """What the engine answers to curl, as JSON."""
    key = f"Authorization: Bearer {scene.engine.token}"
    url = f"{scene.engine.base_url}{path}"
    return json.loads(scene.run(scene.tool, "-sS", "-H", key, *options, url).expect().out)


def _stream(scene: Scene, path: str, *options: str) -> list[str]:
    """The data of each event that the engine sends to curl, until it ends the body."""
    key = f"Authorization: Bearer {scene.engine.token}"
    url = f"{scene.engine.base_url}{path}"
    done = scene.run(scene.tool, "-sS", "-N", "-i", "-H", key, *options, url).expect()
    head, _, body = done.out.partition("\n\n")
    ensure("transfer-encoding: chunked" in head.lower(), f"not chunked: {head}")
    return [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]


def _send(scene: Scene, path: str, body: Mapping[str, object]) -> Any:
    json_type = ("-H", "Content-Type: application/json")
    return _ask(scene, path, *json_type, "-d", json.dumps(body))


def _list_models(scene: Scene) -> None:
    names = [model["id"] for model in _ask(scene, "/models")["data"]]
    ensure("ada" in names, f"no ada among {names}")


def _upload(scene: Scene) -> None:
    scene.write("train.jsonl", as_lines(sentences(240)))
    made = _ask(scene, "/files", "-F", "purpose=fine-tune", "-F", "file=@train.jsonl")
    ensure(made["filename"] == "train.jsonl", f"the answer is {made}")
    scene.kept["file"] = made["id"]


def _create_fine_tune(scene: Scene) -> None:
    job = _send(scene, "/fine-tunes", {"training_file": scene.get("file"), "model": "ada"})
    ensure(job.get("status") == "pending", f"the answer is {job}")
    scene.kept["job"] = job["id"]


def _follow(scene: Scene) -> None:
    events = _stream(scene, f"/fine-tunes/{scene.get('job')}/events?stream=true")
    ensure(events[-1] == "[DONE]", f"the last event is {events[-1]}")
    last = json.loads(events[-2])["message"]
    ensure(last == "Fine-tune succeeded", f"the last message is {last}")
    model = _ask(scene, f"/fine-tunes/{scene.get('job')}")["fine_tuned_model"]
    scene.kept["model"] = model


# What a model of this size answers depends on rounding, so on the processor; its form does not.
def _complete(scene: Scene) -> None:
    asked = {"model": scene.get("model"), "prompt": "The hat is red ->", "temperature": 0}
    answer = _send(scene, "/completions", {**asked, "max_tokens": 8})
    choice, usage = answer["choices"][0], answer["usage"]
    ensure(isinstance(choice["text"], str), f"the answer is {answer}")
    ensure(choice["finish_reason"] in ("stop", "length"), f"the answer is {answer}")
    ensure(usage["prompt_tokens"] > 0, f"the usage is {usage}")
    ensure(usage["completion_tokens"] <= 8, f"the usage is {usage}")


def _complete_streamed(scene: Scene) -> None:
    asked = {"model": scene.get("model"), "prompt": "The cup is blue ->", "temperature": 0}
    asked["max_tokens"] = 8
    whole = _send(scene, "/completions", asked)["choices"][0]["text"]
    body = json.dumps({**asked, "stream": True})
    json_type = ("-H", "Content-Type: application/json")
    events = _stream(scene, "/completions", *json_type, "-d", body)
    ensure(events.pop() == "[DONE]", "the stream does not end with [DONE]")
    text = "".join(json.loads(event)["choices"][0]["text"] for event in events)
    ensure(text == whole, f"the stream is {text!r}, the whole answer {whole!r}")


def _delete_model(scene: Scene) -> None:
    answer = _ask(scene, f"/models/{scene.get('model')}", "-X", "DELETE")
    ensure(answer.get("deleted") is True, f"the answer is {answer}")
    again = _ask(scene, f"/models/{scene.get('model')}", "-X", "DELETE")
    ensure(again["error"]["code"] == "model_not_found", f"the second answer is {again}")


def _delete_file(scene: Scene) -> None:
    answer = _ask(scene, f"/files/{scene.get('file')}", "-X", "DELETE")
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
