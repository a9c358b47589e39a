"""`ftops run --all`: a folder of job files, one table, and the highest exit code."""

import json
from pathlib import Path

import pytest

from tests.e2e.sandbox import Sandbox, interrupt_after

pytestmark = pytest.mark.timeout(120)


def write_folder(sandbox: Sandbox, name: str, *jobs: str, epochs: int = 1) -> Path:
    """Write a folder of job files next to the data."""
    folder = sandbox.folder / name
    folder.mkdir()
    for job in jobs:
        path = sandbox.write_job(job, epochs=epochs)
        text = path.read_text(encoding="utf-8").replace("_file: ", "_file: ../")
        (folder / path.name).write_text(text, encoding="utf-8")
    return folder


def test_a_bad_job_file_stops_no_other_and_a_second_command_repeats_nothing(
    sandbox: Sandbox,
) -> None:
    folder = write_folder(sandbox, "some", "second")
    (folder / "broken.yml").write_text("name: broken\n", encoding="utf-8")
    result = sandbox.ftops("run", "--all", folder, "--concurrency", "2", "--allow-outside")
    assert result.code == 1
    assert "error: some/broken.yml" in result.err
    lines = result.out.splitlines()
    assert any(line.startswith("some/second.yaml: create succeeded  ftjob-") for line in lines)
    assert any(line.startswith("some/second.yaml: succeeded  ft:ada:local:") for line in lines)
    table = lines[next(n for n, line in enumerate(lines) if line.startswith("job file")) :]
    assert [line.split()[0] for line in table[1:]] == ["some/broken.yml", "some/second.yaml"]
    assert "\x1b" not in result.out

    again = sandbox.invoke("run", "--all", folder, "--json", "--allow-outside")
    assert again.code == 1
    document = json.loads(again.out)
    assert [entry["exit_code"] for entry in document] == [1, 0]
    assert document[0]["error"]["type"] == "SpecError"
    assert document[1]["status"] == "succeeded"
    assert document[1]["run_id"] in result.out  # no new run


def test_ctrl_c_leaves_every_job_running_and_prints_how_to_continue(sandbox: Sandbox) -> None:
    folder = write_folder(sandbox, "long", "one", "two", epochs=400)
    result = interrupt_after(
        sandbox.start("run", "--all", folder, "--allow-outside"), "job running"
    )
    assert result.code == 130
    assert "stopped watching; 0 of 2 are done" in result.err
    assert f"ftops run --all {folder} --allow-outside continues all of them." in result.err
    listed = sandbox.invoke("runs", "--json").document
    assert isinstance(listed, list)
    runs = [run for run in listed if isinstance(run, dict) and run["name"] in ("one", "two")]
    assert {run["status"] for run in runs} == {"running"}
    for run in runs:
        assert sandbox.invoke("cancel", str(run["run_id"])).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "give a job file, or a folder of them"),
        (("run", "job.yaml", "--all", "jobs"), "give a job file, or a folder of them"),
        (("run", "--all", "jobs", "--dry-run"), "--dry-run takes one job file"),
    ],
)
def test_conflicting_arguments_are_a_usage_error(
    sandbox: Sandbox, arguments: tuple[str, ...], message: str
) -> None:
    result = sandbox.invoke(*arguments)
    assert result.code == 2
    assert message in result.err


def test_a_folder_without_job_files_is_an_error(sandbox: Sandbox) -> None:
    empty = sandbox.folder / "empty"
    empty.mkdir()
    result = sandbox.invoke("run", "--all", empty)
    assert result.code == 1
    assert "contains no job files" in result.err
    assert "cannot be read" in sandbox.invoke("run", "--all", sandbox.folder / "nowhere").err
