"""Several keys in one engine: what one owner has does not exist for another.

The walk below goes over every operation of `/openapi.json`, so a new one is held to it as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ftops.engine.keys import delete_key
from ftops.engine.settings import EngineSettings
from tests.engine.running import (
    TABLE_WORKER,
    Running,
    animals,
    run_engine,
    table_settings,
    wait_for,
    write_rows,
)

UPLOAD = {"bytes": 9, "filename": "a", "mime_type": "text/jsonl", "purpose": "fine-tune"}
PROMPT = {"prompt": "cat ->", "max_tokens": 1}
TURNS = {"messages": [{"role": "user", "content": "cat"}]}


@dataclass(frozen=True)
class Things:
    """What one owner has."""

    file_id: str
    upload_id: str
    part_id: str
    job_id: str
    result_file: str
    event_id: str
    model: str
    checkpoint: str
    legacy_id: str
    legacy_model: str

    def all(self) -> list[str]:
        return list(asdict(self).values())


@dataclass(frozen=True)
class House:
    """An engine with two owners; only the first has anything."""

    running: Running
    alice: TestClient
    bob: TestClient
    things: Things


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with run_engine(table_settings(tmp_path_factory.mktemp("owners"))) as running:
        alice, bob = running.http_of("alice"), running.http_of("bob")
        yield House(running, alice, bob, furnish(alice))


def upload_file(http: TestClient) -> str:
    form = {"file": ("rows.jsonl", write_rows(animals()))}
    answer = http.post("/v1/files", data={"purpose": "fine-tune"}, files=form)
    return str(answer.json()["id"])


def furnish(http: TestClient) -> Things:
    """Make one of everything."""
    file_id = upload_file(http)
    upload_id = http.post("/v1/uploads", json=UPLOAD).json()["id"]
    part = http.post(f"/v1/uploads/{upload_id}/parts", files={"data": ("p", b"x")}).json()
    job = {"model": "ada", "training_file": file_id}
    job_id = http.post("/v1/fine_tuning/jobs", json=job).json()["id"]
    legacy_id = http.post("/v1/fine-tunes", json=job).json()["id"]
    path, legacy_path = f"/v1/fine_tuning/jobs/{job_id}", f"/v1/fine-tunes/{legacy_id}"
    wait_for(lambda: http.get(path).json()["status"] == "succeeded")
    wait_for(lambda: http.get(legacy_path).json()["status"] == "succeeded")
    done = http.get(path).json()
    checkpoints = http.get(f"{path}/checkpoints").json()["data"]
    return Things(
        file_id=file_id,
        upload_id=upload_id,
        part_id=part["id"],
        job_id=job_id,
        result_file=done["result_files"][0],
        event_id=http.get(f"{path}/events").json()["data"][-1]["id"],
        model=done["fine_tuned_model"],
        checkpoint=checkpoints[0]["fine_tuned_model_checkpoint"],
        legacy_id=legacy_id,
        legacy_model=http.get(legacy_path).json()["fine_tuned_model"],
    )


def unknown(thing: str) -> str:
    """A name of the same shape that nothing has."""
    return thing[:-1] + ("x" if thing[-1] != "x" else "y")


@dataclass(frozen=True)
class Request:
    """A request that names `thing`, in its path or its body (there as the word THING)."""

    method: str
    path: str
    thing: str
    more: Mapping[str, Any]

    def ask(self, http: TestClient, thing: str) -> Any:
        more = _put(self.more, thing)
        answer = http.request(self.method, self.path.replace("THING", thing), **more)
        return answer.status_code, answer.text.replace(thing, "THING")


def _put(value: Any, thing: str) -> Any:
    if isinstance(value, dict):
        return {key: _put(one, thing) for key, one in value.items()}
    if isinstance(value, list):
        return [_put(one, thing) for one in value]
    return thing if value == "THING" else value


def list_operations(house: House) -> list[tuple[str, str, Mapping[str, Any]]]:
    document = house.alice.get("/openapi.json").json()
    return [
        (method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


def walk_paths(house: House) -> list[Request]:
    """Every operation with a name in its path, with each of the first owner's things that fit;
    what deletes comes last."""
    has = house.things
    bodies: dict[str, Mapping[str, Any]] = {
        "/v1/uploads/{upload_id}/parts": {"files": {"data": ("p", b"x")}},
        "/v1/uploads/{upload_id}/complete": {"json": {"part_ids": [has.part_id]}},
        "/v1/engines/{engine_id}/completions": {"json": PROMPT},
    }
    fitting = {
        "file_id": [has.file_id, has.result_file],
        "upload_id": [has.upload_id],
        "job_id": [has.job_id],
        "model": [has.checkpoint, has.model],
        "engine_id": [has.model, has.checkpoint],
    }
    requests = []
    for method, path, operation in list_operations(house):
        names = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"]
        if not names:
            continue
        assert len(names) == 1, "say here how its names belong together"
        things = fitting[names[0]]
        if path.startswith("/v1/fine-tunes/"):
            things = [has.legacy_id, *([has.legacy_model] if method == "DELETE" else [])]
        more = bodies[path] if "requestBody" in operation else {}
        path = path.replace(f"{{{names[0]}}}", "THING")
        requests += [Request(method, path, thing, more) for thing in things]
    return sorted(requests, key=lambda one: (one.method == "DELETE", one.path.endswith("cancel")))


def test_every_path_with_the_name_of_anothers_thing_is_404_as_for_a_name_nothing_has(
    house: House,
) -> None:
    requests = walk_paths(house)
    assert len(requests) > 20
    for request in requests:
        answer = request.ask(house.bob, request.thing)
        assert answer[0] == 404, (request, answer)
        assert answer == request.ask(house.bob, unknown(request.thing)), request
    for request in requests:  # and for their owner they are all there still
        # A fine-tune's id and its model's name delete the same model, which goes only once.
        if request.method != "DELETE" or request.thing != house.things.legacy_model:
            assert request.ask(house.alice, request.thing)[0] != 404, request


@pytest.fixture
def pair(running: Running) -> House:
    alice, bob = running.http_of("alice"), running.http_of("bob")
    return House(running, alice, bob, furnish(alice))


def test_every_body_with_the_name_of_anothers_thing_is_answered_as_for_a_name_nothing_has(
    pair: House,
) -> None:
    has, own_file = pair.things, upload_file(pair.bob)
    own_upload = pair.bob.post("/v1/uploads", json=UPLOAD).json()["id"]
    jobs = ("/v1/fine_tuning/jobs", "/v1/fine-tunes")
    job = {"model": "ada", "training_file": own_file}
    models = (has.model, has.checkpoint, has.legacy_model)
    cases = [
        *((path, has.file_id, {**job, "training_file": "THING"}) for path in jobs),
        *((path, has.file_id, {**job, "validation_file": "THING"}) for path in jobs),
        *((path, model, {**job, "model": "THING"}) for path in jobs for model in models),
        *(("/v1/completions", model, {**PROMPT, "model": "THING"}) for model in models),
        *(("/v1/chat/completions", model, {**TURNS, "model": "THING"}) for model in models),
        (f"/v1/uploads/{own_upload}/complete", has.part_id, {"part_ids": ["THING"]}),
    ]
    for path, thing, body in cases:
        request = Request("POST", path, thing, {"json": body})
        answer = request.ask(pair.bob, thing)
        assert answer[0] in (400, 404), (request, answer)
        assert answer == request.ask(pair.bob, unknown(thing)), request
    assert pair.bob.get("/v1/fine_tuning/jobs").json()["data"] == []


def test_no_list_shows_anothers_things_or_can_begin_at_one(pair: House) -> None:
    has = pair.things
    lists = [
        (path, operation)
        for method, path, operation in list_operations(pair)
        if method == "GET" and "{" not in path
    ]
    assert len(lists) > 5
    for path, operation in lists:
        text = pair.bob.get(path).text
        assert not [thing for thing in has.all() if thing in text], path
        if any(one["name"] == "after" for one in operation.get("parameters", ())):
            thing = {"/v1/files": has.file_id, "/v1/fine_tuning/jobs": has.job_id}[path]
            request = Request("GET", f"{path}?after=THING", thing, {})
            assert request.ask(pair.alice, thing)[0] == 200
            answer = request.ask(pair.bob, thing)
            assert answer == request.ask(pair.bob, unknown(thing))
            assert answer[0] == 400
    listed = pair.alice.get("/v1/models").text + pair.alice.get("/v1/files").text
    assert has.model in listed
    assert has.result_file in listed


def test_a_stream_of_anothers_events_is_404(house: House) -> None:
    path = f"/v1/fine-tunes/{house.things.legacy_id}/events?stream=true"
    assert house.bob.get(path).status_code == 404


def test_answers_name_the_owner(pair: House) -> None:
    has = pair.things
    answer = pair.alice.get(f"/v1/fine_tuning/jobs/{has.job_id}")
    assert answer.headers["openai-organization"] == "alice"
    assert answer.json()["organization_id"] == "alice"
    assert has.model.startswith("ft:ada:alice:")
    assert has.legacy_model.startswith("ada:ft-alice-")
    assert pair.alice.get(f"/v1/models/{has.model}").json()["owned_by"] == "alice"
    assert pair.bob.get("/v1/nowhere").headers["openai-organization"] == "bob"


def test_what_a_client_says_of_its_organization_changes_nothing_of_what_it_sees(
    pair: House,
) -> None:
    path = f"/v1/fine_tuning/jobs/{pair.things.job_id}"
    for name in ("openai-organization", "openai-project"):
        assert pair.bob.get(path, headers={name: "alice"}).status_code == 404
        assert pair.alice.get(path, headers={name: "bob"}).status_code == 200


def test_the_engines_own_user_and_a_key_called_local_see_the_same(pair: House) -> None:
    own = pair.running.http
    assert own.get("/v1/files").json()["data"] == []
    file_id = upload_file(own)
    local = pair.running.http_of("local")
    assert [one["id"] for one in local.get("/v1/files").json()["data"]] == [file_id]
    assert pair.alice.get(f"/v1/files/{file_id}").status_code == 404


def test_a_full_queue_of_one_owner_does_not_block_another(tmp_path: Path) -> None:
    settings = EngineSettings(tmp_path, worker_command=TABLE_WORKER, max_jobs_per_owner=1)
    with run_engine(settings, schedules=False) as running:
        statuses = []
        for name in ("alice", "bob"):
            http = running.http_of(name)
            job = {"model": "ada", "training_file": upload_file(http)}
            statuses += [http.post("/v1/fine_tuning/jobs", json=job).status_code for _ in "12"]
        assert statuses == [200, 429, 200, 429]


def test_what_a_key_made_is_there_for_the_next_key_of_its_name(idle: Running) -> None:
    http = idle.http_of("alice")
    file_id = upload_file(http)
    delete_key("alice", idle.store)
    refused = http.get("/v1/files")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    assert idle.http_of("alice").get(f"/v1/files/{file_id}").status_code == 200
