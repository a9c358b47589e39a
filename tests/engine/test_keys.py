"""Keys: made, listed, refused, deleted, and what is kept of them."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from ftops.clock import SystemClock
from ftops.engine.address import is_loopback, load_token
from ftops.engine.keys import KeyAuthenticator, KeyHolder, create_key, delete_key
from ftops.engine.server import create_app, serve
from ftops.engine.settings import EngineSettings
from ftops.engine.store import Store
from ftops.errors import EngineError
from tests.engine.running import BASE_URL, TABLE_WORKER, Running, run_engine, table_settings
from tests.engine.test_server import engine_command, engine_process
from tests.fakes import FakeClock


def test_a_key_is_256_bits_of_chance_and_only_its_hash_is_kept(idle: Running) -> None:
    keys = [create_key(name, idle.store) for name in ("alice", "bob")]
    assert len(set(keys)) == 2
    for key, row in zip(keys, idle.store.keys.list_all(), strict=True):
        assert key.startswith("sk-ftops-")
        assert len(bytes.fromhex(key.removeprefix("sk-ftops-"))) == 32
        assert key.startswith(row.hint)
        assert len(row.hint) < 20
    for path in idle.engine.paths.root.iterdir():
        if path.is_file():
            assert not [key for key in keys if key.encode() in path.read_bytes()], path


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "-a", "a-", "a:b", "a" * 33, "é", "a\n"])
def test_a_name_that_models_could_not_carry_is_refused(idle: Running, name: str) -> None:
    with pytest.raises(EngineError, match="is not a valid name"):
        create_key(name, idle.store)


def test_a_name_has_one_key(idle: Running) -> None:
    create_key("alice", idle.store)
    with pytest.raises(EngineError, match="already"):
        create_key("alice", idle.store)
    delete_key("alice", idle.store)
    with pytest.raises(EngineError, match="no key"):
        delete_key("alice", idle.store)


def test_a_change_from_outside_counts_at_once(idle: Running) -> None:
    elsewhere = Store(idle.engine.paths.database, FakeClock())
    key = create_key("alice", elsewhere)
    headers = {"authorization": f"Bearer {key}"}
    assert idle.http.get("/v1/models", headers=headers).status_code == 200
    delete_key("alice", elsewhere)
    elsewhere.close()
    assert idle.http.get("/v1/models", headers=headers).status_code == 401


def test_a_key_is_found_while_another_thread_has_a_transaction_open(idle: Running) -> None:
    ring, key = KeyAuthenticator("token", idle.store), create_key("alice", idle.store)
    with ThreadPoolExecutor(1) as pool, idle.store.transaction():
        found = pool.submit(ring.find_holder, key, is_local=False).result(timeout=20)
    assert found == KeyHolder("alice", "alice")


def test_the_token_counts_from_this_machine_alone(idle: Running) -> None:
    ring = KeyAuthenticator("token", idle.store)
    assert ring.find_holder("token", is_local=True) == KeyHolder("local")
    assert ring.find_holder("token", is_local=False) is None
    assert ring.find_holder("", is_local=True) is None
    assert ring.find_holder("\xff", is_local=True) is None


def test_the_last_use_is_recorded_to_the_minute(tmp_path: Path) -> None:
    clock = FakeClock()
    with run_engine(table_settings(tmp_path), schedules=False, clock=clock) as running:
        http = running.http_of("alice")

        def last_used_s() -> int:
            (row,) = running.store.keys.list_all()
            assert row.last_used_at is not None
            return row.last_used_at - row.created_at

        assert [row.last_used_at for row in running.store.keys.list_all()] == [None]
        for pause_s, expected_s in ((5, 5), (30, 5), (30, 65), (3600, 3665)):
            clock.advance(pause_s)
            http.get("/v1/models")
            assert last_used_s() == expected_s


def ask_from(running: Running, client: str, key: str, **headers: str) -> int:
    """The status of an answer to a client at that address, by an engine that others can reach."""
    settings = replace(running.engine.settings, host="0.0.0.0")
    app = create_app(replace(running.engine, settings=settings))
    http = TestClient(app, base_url=BASE_URL, client=(client, 5))
    sent = {"authorization": f"Bearer {key}", **headers}
    return http.get("/v1/models", headers=sent).status_code


def test_from_other_machines_only_a_made_key_opens_the_engine(idle: Running) -> None:
    token, key = idle.engine.token, create_key("alice", idle.store)
    for client, status in (
        ("127.0.0.1", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("192.0.2.7", 401),
        ("::ffff:192.0.2.7", 401),
        ("somewhere", 401),
    ):
        assert ask_from(idle, client, token) == status, client
        assert ask_from(idle, client, key) == 200, client


def test_this_machine_reaches_the_engine_at_its_other_addresses_too(idle: Running) -> None:
    settings = replace(idle.engine.settings, host="192.0.2.7")
    app = create_app(replace(idle.engine, settings=settings))
    headers = {"authorization": f"Bearer {idle.engine.token}"}
    for client, status in (("192.0.2.7", 200), ("192.0.2.8", 401)):
        http = TestClient(app, base_url="http://192.0.2.7:8000", client=(client, 5))
        assert http.get("/v1/models", headers=headers).status_code == status


@pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "x-real-ip"])
def test_who_comes_by_a_proxy_on_this_machine_is_not_taken_for_this_machine(
    idle: Running, header: str
) -> None:
    token, key = idle.engine.token, create_key("alice", idle.store)
    assert ask_from(idle, "127.0.0.1", token, **{header: "127.0.0.1"}) == 401
    assert ask_from(idle, "127.0.0.1", key, **{header: "192.0.2.7"}) == 200
    assert idle.http.get("/v1/models", headers={header: "192.0.2.7"}).status_code == 401


def test_only_loopback_addresses_mean_this_machine() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"]))
    others = ["0.0.0.0", "::", "192.0.2.1", "box.lan", "", "localhost.example", "127.0.0.1.nip.io"]
    assert not any(map(is_loopback, others))


def test_a_token_that_others_could_read_is_made_private(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token"
    token = load_token(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not caplog.records
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert load_token(path) == token
    assert path.stat().st_mode & 0o777 == 0o600
    assert "was readable by others (mode 644)" in caplog.text
    assert token not in caplog.text


def test_an_engine_that_others_can_reach_wants_a_key_of_its_own(tmp_path: Path) -> None:
    settings = EngineSettings(tmp_path, host="0.0.0.0", worker_command=TABLE_WORKER)
    with pytest.raises(EngineError, match="there are no API keys") as caught:
        serve(settings, on_ready=lambda address: None)
    assert "ftops engine keys create" in caught.value.hint


def test_a_served_engine_on_every_address_takes_keys_as_they_come_and_go(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    store = Store(folder / "engine.db", SystemClock())
    first = create_key("alice", store)
    with engine_process(folder, *engine_command(folder, "--host", "0.0.0.0")) as engine:
        url = f"{engine.address.base_url}/files"

        def ask(key: str, **headers: str) -> int:
            return httpx.get(url, headers={"authorization": f"Bearer {key}", **headers}).status_code

        second = create_key("bob", store)
        assert [ask(key) for key in (first, second, engine.address.token)] == [200, 200, 200]
        assert ask(engine.address.token, **{"x-forwarded-for": "127.0.0.1"}) == 401
        assert ask(first, host="box.example", origin="https://box.example") == 200
        assert ask(first, origin="https://box.example") == 403
        assert ask(first, origin="null") == 403
        delete_key("alice", store)
        assert [ask(key) for key in (first, second)] == [401, 200]
    store.close()
    assert "TLS" in (tmp_path / "engine.log").read_text()
