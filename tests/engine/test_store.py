"""The engine's memory: states, pages, and files that cannot be a database."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ftops.engine.store import FileRow, JobRow, JobStatus, ModelRow, NewEvent, Store
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
            assert store.jobs.status(row.id) is (target if moved else source)


def test_what_has_ended_stays_ended() -> None:
    assert {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED} == ENDED


def test_model_results_and_success_appear_together_or_not_at_all(store: Store) -> None:
    store.add_job(job(1))
    results = file(7, "fine-tune-results")
    assert not store.succeed("ftjob-1", model("ftjob-1"), results, 5)  # it does not run
    assert store.files.find("file-7") is None
    assert store.models.all() == []
    store.enqueue("ftjob-1")
    store.begin("ftjob-1", {"n_epochs": 2})
    assert store.succeed("ftjob-1", model("ftjob-1"), results, 5)
    row = store.jobs.find("ftjob-1")
    assert row is not None
    assert (row.status, row.trained_tokens) == (JobStatus.SUCCEEDED, 5)
    assert (row.result_file, row.fine_tuned_model) == ("file-7", "ft:ada:local::1")


def test_a_change_that_breaks_off_leaves_nothing_behind(store: Store) -> None:
    store.add_job(job(1))
    store.enqueue("ftjob-1")
    store.begin("ftjob-1", {})
    store.files.add(file(7))
    with pytest.raises(sqlite3.IntegrityError):  # the file id is taken
        store.succeed("ftjob-1", model("ftjob-1"), file(7), 5)
    assert store.jobs.status("ftjob-1") is JobStatus.RUNNING
    assert store.models.all() == []


def test_an_event_of_the_same_key_is_written_once(store: Store) -> None:
    store.add_job(job(1), NewEvent("created", "made"))
    store.tell("ftjob-1", NewEvent("step:1", "one"), NewEvent("step:1", "one again"))
    events = store.events.page("ftjob-1", after=None, limit=10)
    assert [event.message for event in events] == ["one", "made"]


def test_pages_go_on_where_the_last_one_ended_although_all_is_of_one_second(store: Store) -> None:
    for number in range(5):
        store.add_job(job(number, parity=str(number % 2)))
        store.files.add(file(number))
    first = store.jobs.page(after=None, limit=2, metadata={})
    assert [row.id for row in first] == ["ftjob-4", "ftjob-3"]
    rest = store.jobs.page(after="ftjob-3", limit=9, metadata={})
    assert [row.id for row in rest] == ["ftjob-2", "ftjob-1", "ftjob-0"]
    odd = store.jobs.page(after=None, limit=9, metadata={"parity": "1"})
    assert [row.id for row in odd] == ["ftjob-3", "ftjob-1"]
    oldest = store.files.page(after="file-1", limit=2, newest_first=False, purpose="fine-tune")
    assert [row.id for row in oldest] == ["file-2", "file-3"]
    assert store.files.page(after=None, limit=9, newest_first=True, purpose="x") == []


def test_a_deleted_model_keeps_its_folder_while_a_job_starts_from_it(store: Store) -> None:
    store.add_job(job(1))
    store.models.add(model("ftjob-1"))
    child = replace(job(2), model="ft:ada:local::1")
    store.add_job(child)
    assert store.models.delete("ft:ada:local::1", at=200)
    assert not store.models.delete("ft:ada:local::1", at=201)
    assert store.models.find("ft:ada:local::1") is None
    assert store.models.find_any("ft:ada:local::1") is not None
    assert store.models.removable() == []
    store.cancel("ftjob-2")
    assert [row.job_id for row in store.models.removable()] == ["ftjob-1"]


def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(EngineError, match="written by a later ftops"):
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


def test_a_database_of_the_first_version_gets_the_later_columns(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as old:
        old.executescript(
            "CREATE TABLE files (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
            " filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,"
            " created_at INTEGER NOT NULL);"
            "INSERT INTO files VALUES (1, 'file-1', '1.jsonl', 'fine-tune', 10, 100);"
            "PRAGMA user_version = 1;"
        )
    old.close()
    store = Store(path, FakeClock())
    assert store.files.find("file-1") == file(1)
    store.close()
    Store(path, FakeClock()).close()


def describe(path: Path) -> dict[str, object]:
    """What stands in a database: tables with their columns, and indices."""
    with sqlite3.connect(path) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        columns = {
            name: sorted(row[1:] for row in connection.execute(f"PRAGMA table_xinfo({name})"))
            for name in names
        }
    connection.close()
    return {name: [column[:4] for column in found] for name, found in columns.items()}


def test_what_stands_in_a_database_without_owners_belongs_to_the_engines_user(
    tmp_path: Path,
) -> None:
    path = tmp_path / "engine.db"
    store = Store(path, FakeClock())
    store.add_job(job(1))
    store.files.add(file(1))
    store.models.add(model("ftjob-1"))
    store.close()
    fresh = describe(path)
    with sqlite3.connect(path) as second_version:
        second_version.executescript(
            "DROP INDEX files_by_owner; DROP INDEX jobs_by_owner; DROP INDEX models_by_owner;"
            "DROP INDEX jobs_by_turn; ALTER TABLE jobs DROP COLUMN turn;"
            "DROP INDEX jobs_by_idempotency_key; DROP TABLE keys;"
            + "".join(
                f"ALTER TABLE {table} DROP COLUMN owner;"
                for table in ("files", "uploads", "jobs", "models")
            )
            + "PRAGMA user_version = 2;"
        )
    second_version.close()
    store = Store(path, FakeClock())
    assert describe(path) == fresh
    own, other = store.of("local"), store.of("alice")
    for one, there in ((own, True), (other, False)):
        assert (one.files.find("file-1") is not None) == there
        assert (one.jobs.find("ftjob-1") is not None) == there
        assert (one.models.find("ft:ada:local::1") is not None) == there
    store.close()


def test_results_and_models_belong_to_whoever_asked_for_the_job(store: Store) -> None:
    alice = store.of("alice")
    alice.add_job(job(1))
    store.enqueue("ftjob-1")
    store.begin("ftjob-1", {})
    assert store.succeed("ftjob-1", model("ftjob-1"), file(7, "fine-tune-results"), 5)
    assert alice.files.find("file-7") is not None
    assert [row.owner for row in alice.models.all()] == ["alice"]
    assert store.of("bob").files.find("file-7") is None


def test_jobs_of_an_earlier_version_say_when_something_last_happened(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    clock = FakeClock()
    store = Store(path, clock)
    store.add_job(job(1), NewEvent("created", "made"))
    clock.sleep(60)
    store.enqueue("ftjob-1", NewEvent("queued", "waits"))
    store.tell("ftjob-1", NewEvent("queued", "not news"))
    told_at = store.now()
    clock.sleep(60)
    store.tell("ftjob-1", NewEvent("queued", "still not news"))
    store.jobs.add(job(2))
    assert [each.updated_at for each in store.jobs.unfinished()] == [told_at, 100]
    store.close()
    with sqlite3.connect(path) as old:
        old.executescript("ALTER TABLE jobs DROP COLUMN updated_at; PRAGMA user_version = 2;")
    old.close()
    again = Store(path, clock)
    assert [each.updated_at for each in again.jobs.unfinished()] == [told_at, 100]
    again.close()
