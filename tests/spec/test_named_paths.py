"""Files that a job file names: they must be there, and in its folder unless that is allowed."""

from pathlib import Path

import pytest

from ftops.errors import SpecError
from ftops.spec.load import LoadedJob
from ftops.spec.named_paths import check_paths, leads_outside, list_code
from tests.spec.job_files import MINIMAL, heads, load_text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The job file's folder, with its training file; beside it lies a file that is not its own."""
    (tmp_path / "secret.jsonl").write_text("{}")
    inner = tmp_path / "job"
    inner.mkdir()
    (inner / "train.jsonl").write_text("{}")
    return inner


def refuse(job: LoadedJob) -> str:
    with pytest.raises(SpecError) as caught:
        check_paths(job)
    return caught.value.message


def test_missing_files_are_errors_at_their_places(tmp_path: Path) -> None:
    (tmp_path / "v.jsonl").write_text("{}")
    (tmp_path / "folder").mkdir()
    (tmp_path / "there.py").write_text("")
    text = (
        f"{MINIMAL}validation_file: v.jsonl\nevaluate:\n  file: folder\n"
        "  metrics: [python: there.py:score, json_schema: {file: gone.json}]\n"
    )
    assert heads(refuse(load_text(tmp_path, text))) == [
        f"{tmp_path}/job.yaml:4:16: training_file: there is no such file: {tmp_path}/train.jsonl",
        f"{tmp_path}/job.yaml:7:9: file: this is a folder: {tmp_path}/folder",
        f"{tmp_path}/job.yaml:8:57: json_schema: there is no such file: {tmp_path}/gone.json",
    ]


def test_files_that_are_there_or_uploaded_pass(folder: Path) -> None:
    check_paths(load_text(folder, MINIMAL + "validation_file: file-abc\n"))


OUTSIDE = {
    "validation_file: ../secret.jsonl\n": "5:18: validation_file",
    "evaluate: {file: ../job/../secret.jsonl}\n": "5:18: file",
    "prepare: {plan: ../secret.jsonl}\n": "5:17: plan",
    "evaluate: {metrics: [python: '../check.py:score']}\n": "5:30: python",
    "evaluate: {metrics: [json_schema: {file: ../secret.jsonl}]}\n": "5:42: json_schema",
    "export: [json: {file: ../x.json}]\n": "5:23: file",
    "export: [tensorboard: {folder: ..}]\n": "5:32: folder",
    "export: [wandb: {folder: ..}]\n": "5:26: folder",
    "export: [mlflow: {tracking_uri: 'sqlite:///../x.db'}]\n": "5:33: tracking_uri",
    "export: [mlflow: {tracking_uri: ../x}]\n": "5:33: tracking_uri",
}


@pytest.mark.parametrize("text", OUTSIDE)
def test_a_path_out_of_the_folder_is_refused_with_its_place_and_the_flag(
    folder: Path, text: str
) -> None:
    job = load_text(folder, MINIMAL + text)
    message = refuse(job)
    assert f"job.yaml:{OUTSIDE[text]}: outside the job file's folder: {folder.parent}" in message
    assert "--allow-outside" in message
    assert leads_outside(job.spec.to_json(), job.path)


@pytest.mark.parametrize("name", ["/etc/hostname", "{parent}/secret.jsonl", "/dev/null"])
def test_an_absolute_path_is_refused_whether_the_file_is_there_or_not(
    folder: Path, name: str
) -> None:
    path = name.format(parent=folder.parent)
    for missing in ("", ".none"):
        text = MINIMAL.replace("train.jsonl", f"{path}{missing}")
        assert f"outside the job file's folder: {path}{missing}" in refuse(load_text(folder, text))


def test_links_count_by_where_they_lead(folder: Path) -> None:
    (folder / "out.jsonl").symlink_to("../secret.jsonl")
    (folder / "way").symlink_to("..")
    (folder / "in.jsonl").symlink_to("train.jsonl")
    for name in ("out.jsonl", "way/secret.jsonl"):
        message = refuse(load_text(folder, f"{MINIMAL}validation_file: {name}\n"))
        assert f"outside the job file's folder: {folder.parent}/secret.jsonl" in message
    check_paths(load_text(folder, f"{MINIMAL}validation_file: in.jsonl\n"))


def test_a_link_within_a_folder_of_data_counts_too(folder: Path) -> None:
    data = folder / "data"
    (data / "inner").mkdir(parents=True)
    (data / "a.parquet").touch()
    check_paths(load_text(folder, f"{MINIMAL}validation_file: data\n"))
    (data / "inner" / "b.parquet").symlink_to(folder.parent / "secret.jsonl")
    message = refuse(load_text(folder, f"{MINIMAL}validation_file: data\n"))
    assert f"validation_file: outside the job file's folder: {folder.parent}/secret" in message


def test_the_folder_itself_may_be_reached_by_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("job")
    job = load_text(tmp_path / "link", MINIMAL)
    check_paths(job)
    assert not leads_outside(job.spec.to_json(), job.path)


def test_what_is_allowed_or_typed_on_the_command_line_passes(folder: Path) -> None:
    text = f"{MINIMAL}validation_file: ../secret.jsonl\n"
    check_paths(load_text(folder, text), allow_outside=True)
    typed = load_text(folder, MINIMAL, overrides=["validation_file=../secret.jsonl"])
    check_paths(typed)
    from_environment = load_text(
        folder, f"{MINIMAL}validation_file: ${{DATA}}\n", environ={"DATA": "../secret.jsonl"}
    )
    assert "--allow-outside" in refuse(from_environment)


def test_a_store_on_another_machine_is_no_path(folder: Path) -> None:
    check_paths(load_text(folder, f"{MINIMAL}export: [mlflow: {{tracking_uri: 'https://h/x'}}]\n"))
    check_paths(load_text(folder, f"{MINIMAL}export: [mlflow, json, tensorboard, wandb]\n"))


def test_the_code_that_a_run_executes_is_listed_with_its_file(folder: Path) -> None:
    text = (
        "evaluate: {metrics: [accuracy, python: {function: 'a/b.py:score', name: mine}]}\n"
        "notify: {command: [./tell.sh, 'a b'], env: [CHANNEL]}\n"
    )
    job = load_text(folder, MINIMAL + text)
    assert list_code(job.spec, job.path) == [
        ("evaluate.metrics", f"{folder}/a/b.py, function score"),
        ("notify.command", f"./tell.sh 'a b' (in {folder}, reads CHANNEL)"),
    ]
    plain = load_text(folder, MINIMAL)
    assert list_code(plain.spec, plain.path) == []
