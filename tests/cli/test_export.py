"""`ftops export`, and the tools that a job file names."""

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from ftops.clock import SystemClock
from ftops.exports import registry
from ftops.ledger.ledger import Ledger
from ftops.records import ProviderSettings, Run, RunId, RunStatus
from ftops.spec.job_file import load_job
from tests.cli.running import ftops, write_job

RUN_ID = RunId("run-20261122-1407-k3f9")


@pytest.fixture
def home(temporary_home: Path) -> Path:
    return temporary_home


def add_run(home: Path, job_file: Path, *, status: RunStatus = RunStatus.SUCCEEDED) -> None:
    """A run of the job file that has ended, with a results file."""
    spec = load_job(job_file, environ={}).spec
    now = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)
    ended = None if status is RunStatus.RUNNING else now
    run = Run(
        id=RUN_ID, key="k", name=spec.name, status=status, provider=ProviderSettings("local"),
        model="ada", spec=spec.to_json(), job_file=str(job_file), created_at=now, updated_at=now,
        finished_at=ended,
    )  # fmt: skip
    ledger = Ledger(home / "ledger.db", SystemClock())
    ledger.add_run(run, if_absent=False)
    ledger.close()
    folder = home / "runs" / RUN_ID
    folder.mkdir(parents=True)
    (folder / "results.csv").write_text("step,train_loss\n1,2.5\n")


def test_a_run_is_written_where_the_option_says(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run(home, write_job(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = ftops("export", "small", "--to", "json=out.json")
    assert (done.code, done.out) == (0, f"{RUN_ID}  json: {tmp_path / 'out.json'}\n")
    document = orjson.loads((tmp_path / "out.json").read_bytes())
    assert document["curves"] == [{"name": "train_loss", "steps": [1], "values": [2.5]}]
    asked = ftops("export", "small", "--to", "json=a.json", "--to", "json=b/", "--json")
    assert [one["tool"] for one in orjson.loads(asked.out)] == ["json", "json"]
    quiet = ftops("export", "small", "--to", "json=a.json", "--quiet")
    assert quiet.out == f"{tmp_path / 'a.json'}\n"


def test_what_trackers_were_told_is_no_request_to_the_provider(home: Path, tmp_path: Path) -> None:
    add_run(home, write_job(tmp_path))
    assert ftops("export", RUN_ID, "--to", f"json={tmp_path}/out.json").code == 0
    shown = ftops("show", RUN_ID).out
    assert "at the provider" not in shown
    _, told = shown.split("Exports\n")
    assert told.splitlines()[1].split()[:2] == ["json", "done"]


def test_without_the_option_the_job_file_says_where(home: Path, tmp_path: Path) -> None:
    add_run(home, write_job(tmp_path, "export: [json: {file: kept.json}]\n"))
    assert ftops("export", RUN_ID).code == 0
    assert (tmp_path / "kept.json").is_file()
    (tmp_path / "kept.json").unlink()
    assert ftops("export", RUN_ID, "--to", "json").code == 0
    assert (tmp_path / "kept.json").is_file()


def test_a_job_file_without_tools_wants_the_option(home: Path, tmp_path: Path) -> None:
    add_run(home, write_job(tmp_path))
    done = ftops("export", RUN_ID, "--json")
    assert done.code == 1
    assert done.error["message"] == f"the job file of {RUN_ID} has no `export` section"
    assert done.error["hint"] == "Name one: --to mlflow, tensorboard, wandb or json."


def test_a_tool_that_nobody_knows_is_no_option(home: Path) -> None:
    done = ftops("export", "x", "--to", "comet")
    assert done.code == 2
    assert "--to takes mlflow, tensorboard, wandb, json, not 'comet'" in done.err


def test_one_tool_that_fails_keeps_no_other_from_the_run(home: Path, tmp_path: Path) -> None:
    add_run(home, write_job(tmp_path))
    (tmp_path / "taken").touch()
    good = tmp_path / "good.json"
    done = ftops(
        "export", RUN_ID, "--to", f"json={tmp_path}/taken/x", "--to", f"json={good}", "--json"
    )
    assert done.code == 1
    assert str(done.error["message"]).startswith("export: json: ")
    assert done.document["exported"] == [{"run_id": RUN_ID, "tool": "json", "location": str(good)}]


def test_a_run_that_goes_on_is_not_told(home: Path, tmp_path: Path) -> None:
    add_run(home, write_job(tmp_path), status=RunStatus.RUNNING)
    done = ftops("export", RUN_ID, "--to", "json", "--json")
    assert done.code == 1
    assert done.error["hint"] == f"`ftops follow {RUN_ID}` continues it."


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_tool_that_is_not_installed_is_told_before_anything_is_sent(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    absent = registry.ExportTool("mlflow", "ftops.exports.mlflow", ("no_such_library",))
    monkeypatch.setitem(registry.TOOLS, "mlflow", absent)
    job = write_job(tmp_path, "export: [json, mlflow]\n")
    done = ftops(command, job, "--json")
    assert done.code == 1
    message = str(done.error["message"])
    assert f"{job}:5:16: mlflow: no_such_library is not installed" in message
    assert "pip install 'ftops[mlflow]'" in message
    assert not (home / "ledger.db").exists()
