"""What the holder of one key may have, and whose job is next."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ftops.engine.settings import EngineSettings
from ftops.engine.store import JobRow, JobStatus, NewEvent, Store
from tests.engine.running import (
    ENDED,
    TABLE_WORKER,
    Running,
    animals,
    run_engine,
    wait_for,
    write_rows,
)
from tests.fakes import FakeClock

ROWS = write_rows(animals())


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Running]:
    """An engine with small quotas that starts no job."""
    settings = EngineSettings(
        tmp_path / "engine",
        worker_command=TABLE_WORKER,
        max_stored_bytes=4000,
        max_files=3,
        max_pending_uploads=2,
        max_jobs_per_key=2,
        max_jobs_per_owner=4,
    )
    with run_engine(settings, schedules=False) as running:
        yield running


def upload(http: Any, content: bytes = ROWS) -> Any:
    files = {"file": ("rows.jsonl", content)}
    return http.post("/v1/files", data={"purpose": "fine-tune"}, files=files)


def begin_upload(http: Any, n_bytes: int) -> Any:
    fields = {"filename": "a", "mime_type": "text/plain", "purpose": "fine-tune"}
    return http.post("/v1/uploads", json={**fields, "bytes": n_bytes})


def is_refused(answer: httpx2.Response, code: str, *words: str) -> None:
    assert answer.status_code == 429, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    for word in words:
        assert word in error["message"]


def test_files_are_counted_and_deleting_one_frees_its_quota(small: Running) -> None:
    alice, bob = small.http_of("alice"), small.http_of("bob")
    made = [upload(alice) for _ in range(3)]
    refused = upload(alice)
    is_refused(refused, "file_limit_exceeded", "3 files", "Delete", "ftops serve")
    assert refused.headers["x-should-retry"] == "false"
    assert upload(bob).status_code == 200  # the quota of another owner
    alice.delete(f"/v1/files/{made[0].json()['id']}")
    assert upload(alice).status_code == 200
    assert len(list(small.engine.paths.incoming.iterdir())) == 0


def test_stored_bytes_count_files_uploads_and_the_data_of_jobs(small: Running) -> None:
    alice = small.http_of("alice")
    large = ROWS + b" " * 2000 + b"\n"
    file_id = upload(alice, large).json()["id"]
    is_refused(upload(alice, large), "storage_limit_exceeded", "4,000 stored bytes")
    assert begin_upload(alice, 1000).status_code == 200
    is_refused(begin_upload(alice, 1500), "storage_limit_exceeded", "4,000")
    job = alice.post("/v1/fine_tuning/jobs", json={"model": "ada", "training_file": file_id})
    assert job.status_code == 200
    alice.delete(f"/v1/files/{file_id}")
    is_refused(upload(alice, large), "storage_limit_exceeded")  # the job has kept it
    alice.post(f"/v1/fine_tuning/jobs/{job.json()['id']}/cancel")
    assert upload(alice, large[:-1500]).status_code == 200


def test_the_parts_of_an_upload_cannot_outgrow_the_limit(small: Running) -> None:
    alice = small.http_of("alice")
    path = f"/v1/uploads/{begin_upload(alice, 10).json()['id']}/parts"
    answers = [alice.post(path, files={"data": b"x" * 1500}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    is_refused(answers[2], "storage_limit_exceeded")


def test_pending_uploads_are_counted(small: Running) -> None:
    alice, bob = small.http_of("alice"), small.http_of("bob")
    made = [begin_upload(alice, 10) for _ in range(2)]
    refused = begin_upload(alice, 10)
    is_refused(refused, "rate_limit_exceeded", "2 uploads are pending", "cancel")
    assert int(refused.headers["retry-after"]) > 0
    assert begin_upload(bob, 10).status_code == 200
    alice.post(f"/v1/uploads/{made[0].json()['id']}/cancel")
    assert begin_upload(alice, 10).status_code == 200


def test_unfinished_jobs_are_counted_and_this_machines_user_may_have_more(small: Running) -> None:
    for http, limit in ((small.http_of("alice"), 2), (small.http, 4)):
        body = {"model": "ada", "training_file": upload(http).json()["id"]}
        answers = [http.post("/v1/fine_tuning/jobs", json=body) for _ in range(limit + 1)]
        assert [answer.status_code for answer in answers] == [200] * limit + [429]
        is_refused(answers[-1], "rate_limit_exceeded", f"{limit} jobs are unfinished", "cancel")


def test_a_file_counts_while_it_is_received(small: Running) -> None:
    alice = small.engine.store.of("alice")
    with small.engine.quotas.reserved(alice, 3900):
        is_refused(upload(small.http_of("alice")), "storage_limit_exceeded")
    assert upload(small.http_of("anna")).status_code == 200


def add(store: Store, owner: str, number: int) -> str:
    job_id = f"ftjob-{owner}{number}"
    job = JobRow(
        id=job_id,
        status=JobStatus.VALIDATING_FILES,
        model="ada",
        base="ada",
        training_file="file-1",
        validation_file=None,
        suffix=None,
        seed=1,
        metadata={},
        hyperparameters={},
        created_at=1,
    )
    store.add_job(replace(job, owner=owner), NewEvent("created", "Created."))
    store.enqueue(job_id)
    return job_id


def serve(store: Store, count: int) -> list[str]:
    """The next jobs, each trained to its end."""
    served = []
    for _ in range(count):
        job = store.jobs.list_queue()[0]
        store.jobs.take_turn(job.id)
        store.start(job.id, {})
        store.cancel(job.id)
        served.append(job.id.removeprefix("ftjob-"))
    return served


def test_owners_take_turns_however_many_jobs_one_has(tmp_path: Path) -> None:
    store = Store(tmp_path / "engine.db", FakeClock())
    for number in range(20):
        add(store, "a", number)
    assert serve(store, 2) == ["a0", "a1"]
    for owner, number in (("b", 0), ("b", 1), ("c", 0)):
        add(store, owner, number)
    expected = ["b0", "c0", "a2", "b1", "a3", "a4"]
    order = [job.id.removeprefix("ftjob-") for job in store.jobs.list_queue()]
    assert order[:6] == expected
    assert serve(store, 2) == expected[:2]
    store.close()
    again = Store(tmp_path / "engine.db", FakeClock())  # as after a restart
    assert serve(again, 4) == expected[2:]
    add(again, "c", 1)
    add(again, "b", 2)
    assert serve(again, 3) == ["c1", "b2", "a5"]
    again.close()


def test_a_turn_that_was_cut_short_from_outside_is_given_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "engine.db", FakeClock())
    first = add(store, "a", 0)
    add(store, "b", 0)
    store.jobs.take_turn(first)
    store.start(first, {})
    store.jobs.return_turn(first)
    store.enqueue(first)
    assert serve(store, 2) == ["a0", "b0"]
    store.close()


def test_a_job_of_another_key_does_not_wait_for_all_of_the_first(tmp_path: Path) -> None:
    settings = EngineSettings(tmp_path / "engine", worker_command=TABLE_WORKER)
    with run_engine(settings, schedules=False) as running:
        alice, bob = running.http_of("alice"), running.http_of("bob")
        jobs = []
        for http, count in ((alice, 4), (bob, 1)):
            body = {"model": "ada", "training_file": upload(http).json()["id"]}
            for _ in range(count):
                jobs.append(http.post("/v1/fine_tuning/jobs", json=body).json()["id"])
        running.engine.scheduler.start()
        for http, job_id in ((bob, jobs[-1]), (alice, jobs[3])):
            wait_until_ended(http, job_id)
        ends = {job_id: running.store.jobs.find(job_id) for job_id in jobs}
        begun = [event_seq(running, job_id) for job_id in jobs]
        assert all(job and job.status is JobStatus.SUCCEEDED for job in ends.values())
        assert begun[0] < begun[4] < begun[1]


def wait_until_ended(http: Any, job_id: str) -> None:
    path = f"/v1/fine_tuning/jobs/{job_id}"
    wait_for(lambda: http.get(path).json()["status"] in ENDED, deadline_s=60)


def event_seq(running: Running, job_id: str) -> int:
    events = running.store.events.list_since(job_id)
    return next(event.seq for event in events if event.key == "started")
