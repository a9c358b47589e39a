"""The list `export`: names of tools, alone or with settings, and without secrets."""

from pathlib import Path

import pytest

from tests.spec.job_files import MINIMAL, get_first_lines, get_load_error, load_text

ALL = """\
export:
  - mlflow
  - mlflow: {tracking_uri: 'sqlite:///other.db', experiment: topics}
  - tensorboard: {folder: logs}
  - wandb: {project: topics, entity: me, mode: offline, folder: w}
  - json: {file: out.json}
  - json:
"""


def test_all_settings_are_read(tmp_path: Path) -> None:
    spec = load_text(tmp_path, MINIMAL + ALL).spec
    assert spec.export == (
        {"mlflow": {}},
        {"mlflow": {"tracking_uri": "sqlite:///other.db", "experiment": "topics"}},
        {"tensorboard": {"folder": "logs"}},
        {"wandb": {"project": "topics", "entity": "me", "mode": "offline", "folder": "w"}},
        {"json": {"file": "out.json"}},
        {"json": {}},
    )
    assert type(spec).from_json(spec.to_json()) == spec


@pytest.mark.parametrize("text", ["", "export:\n", "export: []\n"])
def test_nothing_is_exported_by_default(tmp_path: Path, text: str) -> None:
    assert load_text(tmp_path, MINIMAL + text).spec.export == ()


def test_an_export_is_not_part_of_the_run_key(tmp_path: Path) -> None:
    plain = load_text(tmp_path, MINIMAL).spec
    exported = load_text(tmp_path, MINIMAL + ALL).spec
    assert plain.canonical() == exported.canonical()
    assert plain.to_json() != exported.to_json()


def test_settings_may_use_environment_variables(tmp_path: Path) -> None:
    text = f"{MINIMAL}export: [mlflow: {{experiment: '${{TEAM}}'}}]\n"
    assert load_text(tmp_path, text, environ={"TEAM": "x"}).spec.export == (
        {"mlflow": {"experiment": "x"}},
    )


@pytest.mark.parametrize(
    ("value", "head"),
    [
        ("mlflow", "5:9: export must be a list of mlflow, tensorboard, wandb, json, not 'mlflow'"),
        ("{mlflow: }", "5:9: export must be a list of mlflow, tensorboard, wandb, json,"
         " not a mapping of 1"),
        ("[mlflo]", "5:10: unknown name 'mlflo'"),
        ("[json: , 7]", "5:18: expected a name or `name: …`, not 7"),
        ("[[mlflow]]", "5:10: expected a name or `name: …`, not a list"),
        ("[{json: , mlflow: }]", "5:19: an item has one name, and 'mlflow' is a second one"),
        ("[{}]", "5:10: expected a name or `name: …`, not a mapping"),
        ("[json: 3]", "5:16: json must be a mapping of file, not 3"),
        ("[json: {path: x}]", "5:17: unknown key 'path' under json"),
        ("[json: {file: 3}]", "5:23: file must be a path, not 3"),
        ("[wandb: {mode: onlin}]", "5:24: mode must be offline or online, not 'onlin'"),
        ("[wandb: {project: a/b}]", "5:27: project must be text of 1 to 128 characters,"
         " none of them / \\ # ? % or :, not 'a/b'"),
        ("[mlflow, mlflow]", "5:18: the same tool with the same settings again"),
        ("[mlflow, mlflow: ]", "5:18: the same tool with the same settings again"),
        ("[mlflow: {tracking_uri: 'http://me@host'}]", "5:33: tracking_uri must be an address such"
         " as sqlite:///mlflow.db or https://host, without user or password, not 'http://**@host'"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_at_its_place(tmp_path: Path, value: str, head: str) -> None:
    assert get_first_lines(get_load_error(tmp_path, f"{MINIMAL}export: {value}\n")) == [
        f"job.yaml:{head}"
    ]


def test_all_mistakes_are_reported_at_once_with_suggestions(tmp_path: Path) -> None:
    message = get_load_error(
        tmp_path, f"{MINIMAL}export: [tensorbord, mlflow: {{expriment: x}}]\nseed: x\n"
    )
    assert len(get_first_lines(message)) == 3
    assert "did you mean 'tensorboard'?" in message
    assert "did you mean 'experiment'?" in message


def test_a_list_with_too_many_items_is_refused(tmp_path: Path) -> None:
    items = ", ".join(f"json: {{file: '{number}'}}" for number in range(9))
    problems = get_first_lines(get_load_error(tmp_path, f"{MINIMAL}export: [{items}]\n"))
    assert problems == ["job.yaml:5:9: export must have at most 8 items"]


def test_a_secret_key_is_refused(tmp_path: Path) -> None:
    message = get_load_error(tmp_path, f"{MINIMAL}export: [wandb: {{api_key: 0123456789abcdef}}]\n")
    assert "unknown key 'api_key' under wandb" in message
    assert "0123456789abcdef" not in message
    assert "keep it in the environment" in message


def test_a_value_from_the_environment_is_not_shown(tmp_path: Path) -> None:
    items = ("${A}", "wandb: {entity: '${A}'}", "json:\n      file: ${B}")
    text = f"{MINIMAL}export:\n" + "".join(f"  - {item}\n" for item in items)
    message = get_load_error(tmp_path, text, environ={"A": "hunter2/x", "B": "83729138"})
    assert "unknown name the value of '${A}'" in message
    assert "not the value of '${B}'" in message
    assert "hunter2" not in message and "83729138" not in message
