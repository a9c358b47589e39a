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
    """Add a run of the job file with a results file."""
    spec = load_job(job_file, environ={}).spec
    now = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)
    finished_at = None if status is RunStatus.RUNNING else now
    run = Run(
        id=RUN_ID, key="k", name=spec.name, status=status, provider=ProviderSettings("local"),
        model="ada", spec=spec.to_json(), job_file=str(job_file), created_at=now, updated_at=now,
        finished_at=finished_at,
    )  # fmt: skip
    ledger = Ledger(home / "ledger.db", SystemClock())
    ledger.add_run(run, if_absent=False)
    ledger.close()
    folder = home / "runs" / RUN_ID
    folder.mkdir(parents=True)
    (folder / "results.csv").write_text("step,train_loss\n1,2.5\n")


def test_a_run_is_written_to_the_file_of_the_option(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run(home, write_job(tmp_path))
    monkeypatch.chdir(tmp_path)
    result = ftops("export", "small", "--to", "json=out.json")
    assert (result.code, result.out) == (0, f"{RUN_ID}  json: {tmp_path / 'out.json'}\n")
    document = orjson.loads((tmp_path / "out.json").read_bytes())
    assert document["curves"] == [{"name": "train_loss", "steps": [1], "values": [2.5]}]
    as_json = ftops("export", "small", "--to", "json=a.json", "--to", "json=b/", "--json")
    assert [export["tool"] for export in orjson.loads(as_json.out)] == ["json", "json"]
    quiet = ftops("export", "small", "--to", "json=a.json", "--quiet")
    assert quiet.out == f"{tmp_path / 'a.json'}\n"


def test_exports_are_not_listed_as_requests_to_the_provider(home: Path, tmp_path: Path) -> None:
    add_run(home, write_job(tmp_path))
    assert ftops("export", RUN_ID, "--to", f"json={tmp_path}/out.json").code == 0
    shown = ftops("show", RUN_ID).out
    assert "at the provider" not in shown
    _, exports = shown.split("Exports\n")
    assert exports.splitlines()[1].split()[:2] == ["json", "done"]


def test_without_the_option_the_tools_of_the_job_file_are_used(home: Path, tmp_path: Path) -> None:
    add_run(home, write_job(tmp_path, "export: [json: {file: kept.json}]\n"))
    assert ftops("export", RUN_ID).code == 0
    assert (tmp_path / "kept.json").is_file()
    (tmp_path / "kept.json").unlink()
    assert ftops("export", RUN_ID, "--to", "json").code == 0
    assert (tmp_path / "kept.json").is_file()


def test_a_job_file_without_tools_needs_the_option(home: Path, tmp_path: Path) -> None:
    add_run(home, write_job(tmp_path))
    result = ftops("export", RUN_ID, "--json")
    assert result.code == 1
    assert result.error["message"] == f"the job file of {RUN_ID} has no `export` section"
    assert result.error["hint"] == "Name one: --to mlflow, tensorboard, wandb or json."


def test_an_unknown_tool_is_a_usage_error(home: Path) -> None:
    result = ftops("export", "x", "--to", "comet")
    assert result.code == 2
    assert "--to takes mlflow, tensorboard, wandb, json, not 'comet'" in result.err


def test_a_failed_tool_does_not_stop_the_others(home: Path, tmp_path: Path) -> None:
    add_run(home, write_job(tmp_path))
    (tmp_path / "taken").touch()
    good = tmp_path / "good.json"
    result = ftops(
        "export", RUN_ID, "--to", f"json={tmp_path}/taken/x", "--to", f"json={good}", "--json"
    )
    assert result.code == 1
    assert str(result.error["message"]).startswith("export: json: ")
    assert result.document["exported"] == [
        {"run_id": RUN_ID, "tool": "json", "location": str(good)}
    ]


def test_a_running_run_is_not_exported(home: Path, tmp_path: Path) -> None:
    add_run(home, write_job(tmp_path), status=RunStatus.RUNNING)
    result = ftops("export", RUN_ID, "--to", "json", "--json")
    assert result.code == 1
    assert result.error["hint"] == f"`ftops follow {RUN_ID}` continues it."


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_tool_that_is_not_installed_is_reported_before_anything_is_sent(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    absent = registry.ExportTool("mlflow", "ftops.exports.mlflow", ("no_such_library",))
    monkeypatch.setitem(registry.TOOLS, "mlflow", absent)
    job = write_job(tmp_path, "export: [json, mlflow]\n")
    result = ftops(command, job, "--json")
    assert result.code == 1
    message = str(result.error["message"])
    assert f"{job}:5:16: mlflow: no_such_library is not installed" in message
    assert "pip install 'ftops[mlflow]'" in message
    assert not (home / "ledger.db").exists()
