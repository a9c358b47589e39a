"""No answer says where the engine keeps things on its machine."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ftops.engine.settings import hide_paths
from tests.engine.running import Running, animals, run_engine, table_settings


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ann/engine/engine.db: disk I/O error", "engine.db: disk I/O error"),
        ("/home/ann/engine: it is full", "the engine's folder: it is full"),
        ("[Errno 2] No such file: '/home/ann/engine/models/x/m.json'",
         "[Errno 2] No such file: 'models/x/m.json'"),
        ('File "/usr/lib/python3/json.py", line 3', 'File "…", line 3'),
        ("C:\\Users\\ann\\x.py: broken", "…: broken"),
        ("n/a, 1/2 of /v1/files at http://127.0.0.1/v1", "n/a, 1/2 of … at http://127.0.0.1/v1"),
    ],
)  # fmt: skip
def test_paths_are_left_out_of_messages(text: str, shown: str) -> None:
    assert hide_paths(text, Path("/home/ann/engine")) == shown


def break_manifest(running: Running, model_folder: Path) -> None:
    (model_folder / "manifest.json").write_text("{")


def break_model(running: Running, model_folder: Path) -> None:
    (model_folder / "table.json").unlink()
    (model_folder / "table.json").mkdir()


def break_database(running: Running, model_folder: Path) -> None:
    running.store.close()


def break_folders(running: Running, model_folder: Path) -> None:
    for folder in (running.engine.paths.incoming, running.engine.paths.uploads):
        shutil.rmtree(folder)
        folder.write_text("in the way")
    shutil.rmtree(running.engine.paths.jobs)
    running.engine.paths.jobs.write_text("in the way")


@pytest.mark.parametrize("damage", [break_manifest, break_model, break_database, break_folders])
def test_no_answer_of_a_damaged_engine_names_its_folder(
    tmp_path: Path, damage: Callable[[Running, Path], None]
) -> None:
    with run_engine(table_settings(tmp_path / "engine")) as running:
        file_id = running.upload(animals())
        job = running.sdk.fine_tuning.jobs.create(model="ada", training_file=file_id)
        model = running.wait_for_end(job.id).fine_tuned_model
        running.engine.scheduler.stop()
        http = running.http
        damage(running, running.engine.paths.model(job.id))
        announced = {"filename": "a", "mime_type": "a", "purpose": "fine-tune", "bytes": 3}
        answers = [
            http.post("/v1/completions", json={"model": model, "prompt": "cat ->"}),
            http.post("/v1/files", data={"purpose": "fine-tune"}, files={"file": ("a", b"{}")}),
            http.post("/v1/uploads", json=announced),
            http.post("/v1/fine_tuning/jobs", json={"model": "ada", "training_file": file_id}),
            http.get("/v1/fine_tuning/jobs"),
            http.get("/v1/models"),
            http.get(f"/v1/files/{file_id}/content"),
        ]
    assert any(answer.status_code >= 500 for answer in answers)
    for answer in answers:
        assert str(tmp_path) not in answer.text
        if answer.status_code >= 500:
            assert "engine.log" in answer.json()["error"]["message"]


@pytest.mark.parametrize("option", ["--full-disk", "--break-off"])
def test_no_failed_job_names_the_engines_folder(tmp_path: Path, option: str) -> None:
    with run_engine(table_settings(tmp_path / "engine", option)) as running:
        file_id = running.upload(animals())
        job = running.sdk.fine_tuning.jobs.create(model="ada", training_file=file_id)
        ended = running.wait_for_end(job.id)
        assert ended.status == "failed"
        output = json.dumps([ended.model_dump(), running.messages(job.id)])
    assert str(tmp_path) not in output
    assert "/dev/full" not in output
