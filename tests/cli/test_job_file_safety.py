"""What a job file from someone else may not do unless the command allows it."""

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


LOOKS = [("check",), ("run", "--dry-run"), ("data", "preview")]


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_data_outside_the_folder_needs_the_flag(folder: Path, look: tuple[str, ...]) -> None:
    job = write_job(folder, "validation_file: ../outside.jsonl\n")
    refused = ftops(*look, job)
    assert refused.code == 1
    assert f"{job}:5:18: validation_file: outside the job file's folder: " in refused.err
    assert "--allow-outside" in refused.err
    assert ftops(*look, job, "--allow-outside").code == 0


def test_data_outside_that_is_typed_on_the_command_line_needs_no_flag(folder: Path) -> None:
    job = write_job(folder)
    answer = ftops("check", job, "--set", f"validation_file={folder.parent / 'outside.jsonl'}")
    assert (answer.code, answer.err) == (0, "")


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


@pytest.mark.parametrize("look", LOOKS[:2], ids=" ".join)
def test_rows_with_keys_need_a_flag_of_their_own(folder: Path, look: tuple[str, ...]) -> None:
    job = write_job(folder)
    data = folder / "train.jsonl"
    data.write_text(data.read_text() + f'{{"prompt": "{TOKEN}", "completion": " 1"}}\n')
    refused = ftops(*look, job)
    assert refused.code == 1
    assert "train.jsonl:13: API key or access token (GitHub): ghp_…" in refused.err
    assert TOKEN not in refused.err
    assert ftops(*look, job, "--allow-private").code == 0


@pytest.mark.parametrize("field", ["validation_file", "evaluate: {file"])
def test_keys_in_rows_to_measure_on_are_refused_too(folder: Path, field: str) -> None:
    (folder / "more.jsonl").write_text(f'{{"prompt": "{TOKEN}", "completion": " 1"}}\n')
    job = write_job(folder, f"{field}: more.jsonl{'}' if '{' in field else ''}\n")
    assert "more.jsonl:1: API key" in ftops("check", job).err


@pytest.mark.parametrize("look", LOOKS[:2], ids=" ".join)
def test_code_is_listed_and_looked_up_and_not_run(folder: Path, look: tuple[str, ...]) -> None:
    text = "evaluate: {metrics: [python: my.py:score]}\nnotify: {command: [./tell.sh]}\n"
    job = write_job(folder, text)
    (folder / "my.py").write_text(f"{CODE}def score(prompt, expected, given): return 1\n")
    answer = ftops(*look, job)
    assert answer.code == 0
    assert "Code that a run executes on this machine" in answer.out
    assert f"{folder}/my.py, function score" in answer.out
    assert "./tell.sh" in answer.out
    code = ftops(*look, job, "--json").document["code"]
    assert code == [
        {"field": "evaluate.metrics", "runs": f"{folder}/my.py, function score"},
        {"field": "notify.command", "runs": f"./tell.sh (in {folder})"},
    ]
    (folder / "my.py").write_text(f"{CODE}def score(answer): return 1\n")
    assert "my.py:3: `score` must take three arguments" in ftops(*look, job).err
    (folder / "my.py").write_text(f"{CODE}def score(:\n")
    assert "my.py:3: not Python: " in ftops(*look, job).err
    assert sorted(path.name for path in folder.iterdir()) == ["job.yaml", "my.py", "train.jsonl"]
