"""The engine's memory: states, pages, and files that cannot be a database."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ftops.engine.store import (
    FileRow,
    JobRow,
    JobStatus,
    ModelRow,
    NewEvent,
    PartRow,
    Store,
    UploadRow,
)
from ftops.engine.store.database import APPLICATION_ID
from ftops.engine.store.jobs import ENDED, TRANSITIONS
from ftops.errors import EngineError
from tests.fakes import FakeClock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "engine.db", FakeClock())
    yield store
    store.close()


def job(number: int, **metadata: str) -> JobRow:
    return JobRow(
        id=f"ftjob-{number}",
        status=JobStatus.VALIDATING_FILES,
        model="ada",
        base="ada",
        training_file="file-1",
        validation_file=None,
        suffix=None,
        seed=1,
        metadata=metadata,
        hyperparameters={"n_epochs": "auto"},
        created_at=100,
    )


def file(number: int, purpose: str = "fine-tune") -> FileRow:
    return FileRow(f"file-{number}", f"{number}.jsonl", purpose, 10, 100)


def model(job_id: str) -> ModelRow:
    return ModelRow(f"ft:ada:local::{job_id[-1]}", job_id, "ada", "ada", 100)


def test_a_job_comes_back_as_it_was_put_in(store: Store) -> None:
    store.add_job(job(1, team="x"), NewEvent("created", "made"))
    assert store.jobs.find("ftjob-1") == job(1, team="x")
    assert store.jobs.find("ftjob-2") is None


def test_every_move_that_is_not_in_the_table_is_refused(store: Store) -> None:
    for number, source in enumerate(JobStatus):
        for target in JobStatus:
            row = job(100 * number + list(JobStatus).index(target))
            store.add_job(replace(row, status=source))
            moved = store.jobs.move(row.id, target)
            assert moved == (target in TRANSITIONS[source]), (source, target)
            assert store.jobs.find_status(row.id) is (target if moved else source)


def test_what_has_ended_stays_ended() -> None:
    assert {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED} == ENDED


def test_model_results_and_success_appear_together_or_not_at_all(store: Store) -> None:
    store.add_job(job(1))
    results = file(7, "fine-tune-results")
    assert not store.succeed("ftjob-1", [model("ftjob-1")], results, 5)  # it does not run
    assert store.files.find("file-7") is None
    assert store.models.list_finished() == []
    store.enqueue("ftjob-1")
    store.start("ftjob-1", {"n_epochs": 2})
    assert store.succeed("ftjob-1", [model("ftjob-1")], results, 5)
    row = store.jobs.find("ftjob-1")
    assert row is not None
    assert (row.status, row.trained_tokens) == (JobStatus.SUCCEEDED, 5)
    assert (row.result_file, row.fine_tuned_model) == ("file-7", "ft:ada:local::1")


def test_a_change_that_breaks_off_leaves_nothing_behind(store: Store) -> None:
    store.add_job(job(1))
    store.enqueue("ftjob-1")
    store.start("ftjob-1", {})
    store.files.add(file(7))
    with pytest.raises(sqlite3.IntegrityError):  # the file id is taken
        store.succeed("ftjob-1", [model("ftjob-1")], file(7), 5)
    assert store.jobs.find_status("ftjob-1") is JobStatus.RUNNING
    assert store.models.list_finished() == []


def test_an_event_of_the_same_key_is_written_once(store: Store) -> None:
    store.add_job(job(1), NewEvent("created", "made"))
    store.add_events("ftjob-1", NewEvent("step:1", "one"), NewEvent("step:1", "one again"))
    events = store.events.list_page("ftjob-1", after=None, limit=10)
    assert [event.message for event in events] == ["one", "made"]


def test_pages_go_on_where_the_last_one_ended_although_all_is_of_one_second(store: Store) -> None:
    for number in range(5):
        store.add_job(job(number, parity=str(number % 2)))
        store.files.add(file(number))
    first = store.jobs.list_page(after=None, limit=2, metadata={})
    assert [row.id for row in first] == ["ftjob-4", "ftjob-3"]
    rest = store.jobs.list_page(after="ftjob-3", limit=9, metadata={})
    assert [row.id for row in rest] == ["ftjob-2", "ftjob-1", "ftjob-0"]
    odd = store.jobs.list_page(after=None, limit=9, metadata={"parity": "1"})
    assert [row.id for row in odd] == ["ftjob-3", "ftjob-1"]
    oldest = store.files.list_page(after="file-1", limit=2, newest_first=False, purpose="fine-tune")
    assert [row.id for row in oldest] == ["file-2", "file-3"]
    assert store.files.list_page(after=None, limit=9, newest_first=True, purpose="x") == []


def test_a_deleted_model_keeps_its_folder_while_a_job_starts_from_it(store: Store) -> None:
    store.add_job(job(1))
    store.models.add(model("ftjob-1"))
    child = replace(job(2), model="ft:ada:local::1")
    store.add_job(child)
    assert store.models.delete("ft:ada:local::1", at=200)
    assert not store.models.delete("ft:ada:local::1", at=201)
    assert store.models.find("ft:ada:local::1") is None
    assert store.models.find_any("ft:ada:local::1") is not None
    assert store.models.list_removable() == []
    store.cancel("ftjob-2")
    assert [row.job_id for row in store.models.list_removable()] == ["ftjob-1"]


def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    Store(path, FakeClock()).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(EngineError, match="a later ftops wrote it"):
        Store(path, FakeClock())


def test_a_file_that_is_no_database_is_an_engine_error(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(EngineError, match="cannot be read"):
        Store(path, FakeClock())
    assert path.read_bytes().startswith(b"not a database")


def test_two_connections_see_each_others_changes(tmp_path: Path) -> None:
    one, two = (Store(tmp_path / "engine.db", FakeClock()) for _ in range(2))
    one.add_job(job(1))
    assert two.cancel("ftjob-1")
    assert not one.enqueue("ftjob-1")
    one.close()
    two.close()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            "CREATE TABLE files (seq INTEGER PRIMARY KEY, id TEXT); PRAGMA user_version = 6;",
            id="an earlier format of the engine",
        ),
        pytest.param(
            "CREATE TABLE files (seq INTEGER PRIMARY KEY, id TEXT); PRAGMA user_version = 1;"
            "PRAGMA application_id = 7;",
            id="a database of another program",
        ),
        pytest.param(
            f"CREATE TABLE files (id TEXT); PRAGMA application_id = {APPLICATION_ID};",
            id="the engine's, without a schema version",
        ),
    ],
)
def test_a_database_of_another_format_is_refused_and_stays_as_it_is(
    tmp_path: Path, script: str
) -> None:
    path = tmp_path / "engine.db"
    with sqlite3.connect(path) as other:
        other.executescript(script)
    other.close()
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(EngineError, match="not a database of this version") as caught:
            Store(path, FakeClock())
        assert str(path) in caught.value.message
        assert "Move the file away" in caught.value.hint
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["engine.db"]


def test_two_processes_can_create_a_database_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: Store(path, FakeClock()), range(8)))
    stores[0].add_job(job(1))
    assert all(store.jobs.find("ftjob-1") for store in stores)
    for store in stores:
        store.close()


def test_the_store_of_one_owner_neither_shows_nor_changes_the_rows_of_another(
    store: Store,
) -> None:
    store.add_job(job(1), NewEvent("created", "made"))
    store.files.add(file(1))
    store.models.add(model("ftjob-1"))
    store.uploads.add(UploadRow("upload-1", "x", "fine-tune", "text/plain", 10, 100, 200))
    store.uploads.add_part(PartRow("part-1", "upload-1", 10, 100))
    store.enqueue("ftjob-1")
    (event,) = store.events.list_since("ftjob-1")
    own, other = store.of("local"), store.of("alice")
    for tenant, is_shown in ((own, True), (other, False)):
        assert bool(tenant.files.find("file-1")) == is_shown
        assert bool(tenant.files.list_ids()) == is_shown
        assert bool(tenant.files.list_in_status("processed")) == is_shown
        assert bool(tenant.jobs.find("ftjob-1")) == is_shown
        assert bool(tenant.jobs.find_status("ftjob-1")) == is_shown
        assert bool(tenant.jobs.list_queue()) == is_shown
        assert bool(tenant.jobs.list_unfinished()) == is_shown
        assert bool(tenant.jobs.count_unfinished()) == is_shown
        assert bool(tenant.jobs.list_page(after=None, limit=9, metadata={})) == is_shown
        assert bool(tenant.events.has("ftjob-1", event.id)) == is_shown
        assert bool(tenant.events.list_page("ftjob-1", after=None, limit=9)) == is_shown
        assert bool(tenant.models.find_any(model("ftjob-1").name)) == is_shown
        assert bool(tenant.models.list_folders()) == is_shown
        assert bool(tenant.uploads.list_pending_ids()) == is_shown
        assert bool(tenant.uploads.list_parts("upload-1")) == is_shown
        assert bool(tenant.measure().bytes) == is_shown
    assert not other.files.delete("file-1")
    assert not other.files.delete_expired(10**9)
    assert not other.uploads.expire(10**9)
    assert not other.uploads.add_part(PartRow("part-2", "upload-1", 10, 100))
    assert not other.complete_upload("upload-1", file(2))
    assert not other.models.delete(model("ftjob-1").name, at=200)
    assert not other.events.add("ftjob-1", NewEvent("foreign", "x"), at=200)
    assert not other.jobs.move("ftjob-1", JobStatus.CANCELLED)
    other.jobs.set_worker("ftjob-1", 7)
    other.files.set_status("file-1", "error", "x")
    assert store.jobs.find("ftjob-1") == own.jobs.find("ftjob-1")
    assert (own.jobs.find("ftjob-1") or job(1)).worker_pid is None
    assert own.files.find("file-1") == file(1)


def test_results_and_models_belong_to_the_owner_of_the_job(store: Store) -> None:
    alice = store.of("alice")
    alice.add_job(job(1))
    store.enqueue("ftjob-1")
    store.start("ftjob-1", {})
    assert store.succeed("ftjob-1", [model("ftjob-1")], file(7, "fine-tune-results"), 5)
    assert alice.files.find("file-7") is not None
    assert [row.owner for row in alice.models.list_finished()] == ["alice"]
    assert store.of("bob").files.find("file-7") is None


def test_a_job_has_the_time_of_its_latest_new_event(tmp_path: Path) -> None:
    clock = FakeClock()
    store = Store(tmp_path / "engine.db", clock)
    store.add_job(job(1), NewEvent("created", "made"))
    clock.sleep(60)
    store.enqueue("ftjob-1", NewEvent("queued", "waits"))
    queued_at = store.now()
    clock.sleep(60)
    store.add_events("ftjob-1", NewEvent("queued", "a second event of the key"))
    store.jobs.add(job(2))
    assert [each.updated_at for each in store.jobs.list_unfinished()] == [queued_at, 100]
    store.close()
