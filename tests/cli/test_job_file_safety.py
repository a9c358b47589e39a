"""What a job file may not do unless the command allows it."""

from pathlib import Path

import pytest

from tests.cli.running import ftops, write_job, write_rows

TOKEN = "gh" + "p_" + "a1B2" * 9
CODE = "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tmp_path / "job"
    inner.mkdir()
    write_rows(tmp_path / "outside.jsonl", 5)
    return inner


COMMANDS = [("check",), ("run", "--dry-run"), ("data", "preview")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_data_outside_the_folder_needs_an_option(folder: Path, command: tuple[str, ...]) -> None:
    job = write_job(folder, "validation_file: ../outside.jsonl\n")
    refused = ftops(*command, job)
    assert refused.code == 1
    assert f"{job}:5:18: validation_file: outside the job file's folder: " in refused.err
    assert "--allow-outside" in refused.err
    assert ftops(*command, job, "--allow-outside").code == 0


def test_data_outside_the_folder_from_the_command_line_needs_no_option(folder: Path) -> None:
    job = write_job(folder)
    result = ftops("check", job, "--set", f"validation_file={folder.parent / 'outside.jsonl'}")
    assert (result.code, result.err) == (0, "")


def test_run_refuses_data_outside_before_it_opens_a_ledger(
    folder: Path, temporary_home: Path
) -> None:
    job = write_job(folder, "validation_file: ../outside.jsonl\n")
    for words in ((job,), ("--all", folder)):
        refused = ftops("run", *words)
        assert refused.code == 1
        assert "outside the job file's folder" in refused.err
    assert not (temporary_home / "runs").exists()
    assert not (temporary_home / "engine").exists()


@pytest.mark.parametrize("command", COMMANDS[:2], ids=" ".join)
def test_rows_with_keys_need_their_own_option(folder: Path, command: tuple[str, ...]) -> None:
    job = write_job(folder)
    data = folder / "train.jsonl"
    data.write_text(data.read_text() + f'{{"prompt": "{TOKEN}", "completion": " 1"}}\n')
    refused = ftops(*command, job)
    assert refused.code == 1
    assert "train.jsonl:13: API key or access token (GitHub): ghp_…" in refused.err
    assert TOKEN not in refused.err
    assert ftops(*command, job, "--allow-private").code == 0


@pytest.mark.parametrize("field", ["validation_file", "evaluate: {file"])
def test_keys_in_evaluation_rows_are_refused(folder: Path, field: str) -> None:
    (folder / "more.jsonl").write_text(f'{{"prompt": "{TOKEN}", "completion": " 1"}}\n')
    job = write_job(folder, f"{field}: more.jsonl{'}' if '{' in field else ''}\n")
    assert "more.jsonl:1: API key" in ftops("check", job).err


@pytest.mark.parametrize("command", COMMANDS[:2], ids=" ".join)
def test_code_is_listed_and_checked_and_not_run(folder: Path, command: tuple[str, ...]) -> None:
    text = "evaluate: {metrics: [python: my.py:score]}\nnotify: {command: [./tell.sh]}\n"
    job = write_job(folder, text)
    (folder / "my.py").write_text(f"{CODE}def score(prompt, expected, given): return 1\n")
    result = ftops(*command, job)
    assert result.code == 0
    assert "Code that a run executes on this machine" in result.out
    assert f"{folder}/my.py, function score" in result.out
    assert "./tell.sh" in result.out
    code = ftops(*command, job, "--json").document["code"]
    assert code == [
        {"field": "evaluate.metrics", "runs": f"{folder}/my.py, function score"},
        {"field": "notify.command", "runs": f"./tell.sh (in {folder})"},
    ]
    (folder / "my.py").write_text(f"{CODE}def score(answer): return 1\n")
    assert "my.py:3: `score` must take three arguments" in ftops(*command, job).err
    (folder / "my.py").write_text(f"{CODE}def score(:\n")
    assert "my.py:3: not Python: " in ftops(*command, job).err
    assert sorted(path.name for path in folder.iterdir()) == ["job.yaml", "my.py", "train.jsonl"]
