"""`ftops engine models`, with files that need no extra."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.engine.settings import EngineFolder
from ftops.engine.store import JobRow, JobStatus, ModelRow, Store
from tests.cli.running import ftops, write_job
from tests.engine.test_base_models import write_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    write_model(folder)
    return folder


def test_a_folder_is_added_listed_and_deleted(model: Path) -> None:
    added = ftops("engine", "models", "add", "small", "--from", model, "--json").document
    assert (added["name"], added["licence"], added["context_length"]) == ("small", "apache-2.0", 64)
    assert (added["chat"], added["tools"]) == (True, False)

    listed = ftops("engine", "models", "list")
    assert "completions, chat" in listed.out
    assert ftops("engine", "models", "list", "--quiet").out == "small\n"
    assert ftops("engine", "models", "rm", "small", "--yes").out == "Deleted: small\n"
    assert "smollm2-135m" in ftops("engine", "models", "list").out


def test_an_unknown_model_needs_a_source() -> None:
    refused = ftops("engine", "models", "add", "small")
    assert refused.code == 2
    assert "--from" in refused.err


def test_a_name_of_the_built_in_trainer_is_refused(model: Path) -> None:
    assert "built-in trainer" in ftops("engine", "models", "add", "ada", "--from", model).err


def test_a_model_is_deleted_only_when_the_user_agrees(model: Path) -> None:
    ftops("engine", "models", "add", "small", "--from", model)
    assert "--yes" in ftops("engine", "models", "rm", "small").err
    assert ftops("engine", "models", "list", "--quiet").out == "small\n"
    assert "no base model 'other'" in ftops("engine", "models", "rm", "other").err


def test_a_model_that_fine_tuned_models_need_is_kept(model: Path, temporary_home: Path) -> None:
    ftops("engine", "models", "add", "small", "--from", model)
    store = Store(EngineFolder(temporary_home / "engine").database, SystemClock())
    job = JobRow(
        "ftjob-1", JobStatus.SUCCEEDED, "small", "small", "file-1", None, None, 1, {}, {}, 100
    )
    store.add_job(job)
    store.models.add(ModelRow("ft:small:local::1", "ftjob-1", "small", "small", 1))
    store.close()

    refused = ftops("engine", "models", "rm", "small", "--yes")
    assert "ft:small:local::1" in refused.err
    assert ftops("engine", "models", "list", "--quiet").out == "small\n"


def test_a_job_on_an_added_model_is_valid(model: Path, tmp_path: Path) -> None:
    job = write_job(tmp_path, model="small")
    missing = ftops("check", job)
    assert missing.code == 1
    assert "no base model 'small'" in missing.err
    assert "ftops engine models add small" in missing.err

    ftops("engine", "models", "add", "small", "--from", model)
    for checked in (ftops("check", job), ftops("run", job, "--dry-run")):
        if find_spec("torch"):
            assert checked.code == 0, checked.err
        else:
            assert "pip install 'ftops[lora]'" in checked.err
