"""`ftops run --all`: a folder of job files, one table, and the worst exit code of all."""

import json
from pathlib import Path

import pytest

from tests.e2e.sandbox import Sandbox, interrupt_after

pytestmark = pytest.mark.timeout(120)


def write_folder(sandbox: Sandbox, name: str, *jobs: str, epochs: int = 1) -> Path:
    """A folder of job files beside the data."""
    folder = sandbox.folder / name
    folder.mkdir()
    for job in jobs:
        path = sandbox.write_job(job, epochs=epochs)
        text = path.read_text(encoding="utf-8").replace("_file: ", "_file: ../")
        (folder / path.name).write_text(text, encoding="utf-8")
    return folder


def test_a_bad_job_file_stops_no_other_and_the_second_time_repeats_nothing(
    sandbox: Sandbox,
) -> None:
    folder = write_folder(sandbox, "some", "second")
    (folder / "broken.yml").write_text("name: broken\n", encoding="utf-8")
    answer = sandbox.ftops("run", "--all", folder, "--concurrency", "2", "--allow-outside")
    assert answer.code == 1
    assert "error: some/broken.yml" in answer.err
    lines = answer.out.splitlines()
    assert any(line.startswith("some/second.yaml: create succeeded  ftjob-") for line in lines)
    assert any(line.startswith("some/second.yaml: succeeded  ft:ada:local:") for line in lines)
    table = lines[next(n for n, line in enumerate(lines) if line.startswith("job file")) :]
    assert [line.split()[0] for line in table[1:]] == ["some/broken.yml", "some/second.yaml"]
    assert "\x1b" not in answer.out

    again = sandbox.look("run", "--all", folder, "--json", "--allow-outside")
    assert again.code == 1
    document = json.loads(again.out)
    assert [one["exit_code"] for one in document] == [1, 0]
    assert document[0]["error"]["type"] == "SpecError"
    assert document[1]["status"] == "succeeded"
    assert document[1]["run_id"] in answer.out  # nothing was made anew


def test_ctrl_c_leaves_every_job_at_its_provider_and_says_how_to_go_on(sandbox: Sandbox) -> None:
    folder = write_folder(sandbox, "long", "one", "two", epochs=400)
    answer = interrupt_after(
        sandbox.start("run", "--all", folder, "--allow-outside"), "job running"
    )
    assert answer.code == 130
    assert "stopped watching; 0 of 2 are done" in answer.err
    assert f"ftops run --all {folder} --allow-outside continues all of them." in answer.err
    listed = sandbox.look("runs", "--json").document
    assert isinstance(listed, list)
    runs = [run for run in listed if isinstance(run, dict) and run["name"] in ("one", "two")]
    assert {run["status"] for run in runs} == {"running"}
    for run in runs:
        assert sandbox.look("cancel", str(run["run_id"])).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "give a job file, or a folder of them"),
        (("run", "job.yaml", "--all", "jobs"), "give a job file, or a folder of them"),
        (("run", "--all", "jobs", "--dry-run"), "--dry-run takes one job file"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    sandbox: Sandbox, arguments: tuple[str, ...], said: str
) -> None:
    answer = sandbox.look(*arguments)
    assert answer.code == 2
    assert said in answer.err


def test_a_folder_without_job_files_is_told(sandbox: Sandbox) -> None:
    empty = sandbox.folder / "empty"
    empty.mkdir()
    answer = sandbox.look("run", "--all", empty)
    assert answer.code == 1
    assert "contains no job files" in answer.err
    assert "cannot be read" in sandbox.look("run", "--all", sandbox.folder / "nowhere").err
