"""The code that `ftops models show` prints gets the completions that ftops gets."""

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
from typing import cast

import pytest

from ftops.records import Json
from tests.e2e.sandbox import PLACES, THINGS, Sandbox

pytestmark = pytest.mark.timeout(120)

SEPARATOR = " 'it' \"is\"\\n $HOME $${USER} `id` !\n->"  # as a job file has it: $$ is one $
KINDS = ("red, 'like' fire", 'green "like" grass', "blue $like the sea")
PROGRAMS = {"python": None, "curl": "curl", "node": "node"}
COMMANDS = {"python": [sys.executable, "-"], "curl": ["bash", "-s"], "node": ["node", "-"]}


def run_code(sandbox: Sandbox, language: str, model: str) -> str:
    """The output of the printed code; for curl, the text of the API response."""
    program = PROGRAMS[language]
    if program is not None and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    code = sandbox.invoke("models", "show", model, "--code", language).out
    line = sandbox.invoke("engine", "env").out
    variables = dict(word.split("=", 1) for word in shlex.split(line)[1:])
    assert variables["OPENAI_API_KEY"] not in code
    inherited = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    completed = subprocess.run(
        COMMANDS[language],
        input=code,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**inherited, **variables},
        timeout=60,
        check=False,
    )
    assert (completed.returncode, completed.stderr) == (0, "")
    if language != "curl":
        return completed.stdout.removesuffix("\n")
    choice = json.loads(completed.stdout)["choices"][0]
    return str(choice["message"]["content"] if "message" in choice else choice["text"]).strip()


def find_prompt(sandbox: Sandbox, model: str) -> str:
    """The prompt in the printed code."""
    code = sandbox.invoke("models", "show", model, "--code", "python").out
    for node in ast.parse(code).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "prompt":
            return str(ast.literal_eval(node.value))
    raise AssertionError("the code has no prompt")


def complete(sandbox: Sandbox, model: str) -> dict[str, Json]:
    result = sandbox.invoke("complete", "-m", model, "-p", find_prompt(sandbox, model), "--json")
    return cast(dict[str, Json], result.document)


@pytest.fixture(scope="module")
def hostile(sandbox: Sandbox) -> str:
    """A model whose separator has special characters of every language."""
    job = sandbox.write_job("hostile", epochs=1)
    text = job.read_text(encoding="utf-8")
    job.write_text(text.replace("' ->'", json.dumps(SEPARATOR)), encoding="utf-8")
    run = sandbox.ftops("run", job, "--quiet")
    assert run.code == 0, run.err
    return run.out.strip()


@pytest.fixture(scope="module")
def chat(sandbox: Sandbox) -> str:
    """A model that was trained on chats with a system message."""
    job = sandbox.write_job("chat", epochs=1)
    text = job.read_text(encoding="utf-8")
    prepare = 'prepare: {format: chat, system: "Answer: it\'s a \\"colour\\"."}\n'
    job.write_text(text[: text.index("prepare:")] + prepare, encoding="utf-8")
    run = sandbox.ftops("run", job, "--quiet")
    assert run.code == 0, run.err
    return run.out.strip()


@pytest.fixture(scope="module")
def labelled(sandbox: Sandbox) -> str:
    """A model that was trained on numbers in place of labels."""
    table, ready = sandbox.folder / "table.jsonl", sandbox.folder / "ready.jsonl"
    rows = [
        {"prompt": f"{thing} {place}", "completion": KINDS[number % 3]}
        for number, thing in enumerate(THINGS)
        for place in PLACES
    ]
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    prepared = sandbox.invoke("data", "prepare", table, "-o", ready, "--yes")
    assert prepared.code == 0, prepared.err
    job = sandbox.folder / "labelled.yaml"
    init = sandbox.invoke("init", table, "-o", job, "--plan", f"{ready}.plan.yaml")
    assert init.code == 0, init.err
    job.write_text(job.read_text().replace("n_epochs: auto ", "n_epochs: 8 "))
    run = sandbox.ftops("run", job, "--quiet")
    assert run.code == 0, run.err
    return run.out.strip()


@pytest.mark.parametrize("language", list(COMMANDS))
def test_a_hostile_separator_is_quoted_correctly(
    sandbox: Sandbox, hostile: str, language: str
) -> None:
    assert run_code(sandbox, language, hostile) == str(complete(sandbox, hostile)["text"]).strip()


@pytest.mark.parametrize("language", list(COMMANDS))
def test_a_chat_request_has_its_system_message(sandbox: Sandbox, chat: str, language: str) -> None:
    assert "it's a" in sandbox.invoke("models", "show", chat, "--code", "python").out
    assert run_code(sandbox, language, chat) == str(complete(sandbox, chat)["text"]).strip()


@pytest.mark.parametrize("language", list(COMMANDS))
def test_predicted_numbers_are_printed_as_their_labels(
    sandbox: Sandbox, labelled: str, language: str
) -> None:
    expected = complete(sandbox, labelled)
    shown = expected["text"] if language == "curl" else expected["label"] or expected["text"]
    assert run_code(sandbox, language, labelled) == str(shown).strip()
    assert expected["label"] in KINDS


def test_show_prints_data_job_file_and_lineage(sandbox: Sandbox, hostile: str) -> None:
    result = sandbox.invoke("models", "show", hostile)
    assert result.code == 0, result.err
    for part in ("Lineage", "Data", "Stages", "Job file: ", "Use it: python", "Use it: node"):
        assert f"\n{part}" in result.out
    assert (sandbox.folder / "hostile.yaml").read_text(encoding="utf-8").strip() in result.out
    document = cast(dict[str, Json], sandbox.invoke("models", "show", hostile, "--json").document)
    lineage = cast(list[dict[str, Json]], document["lineage"])
    files = cast(list[dict[str, Json]], lineage[0]["files"])
    assert [file["source"] for file in files] == ["train.jsonl", "validation.jsonl"]
    assert all(str(file["file_id"]).startswith("file-") for file in files)
    for file in files:
        sha256, path = file["sha256"], str(file["copy"])
        assert f"sha256 {sha256}" in result.out
        assert path.startswith(str(sandbox.home))


def test_a_model_tuned_from_a_tuned_model_is_shown_with_its_lineage(
    sandbox: Sandbox, hostile: str
) -> None:
    job = sandbox.write_job("second", epochs=1)
    text = job.read_text(encoding="utf-8").replace("model: ada", f"model: {hostile}")
    job.write_text(text, encoding="utf-8")
    run = sandbox.ftops("run", job, "--quiet")
    assert run.code == 0, run.err
    document = cast(dict[str, Json], sandbox.invoke("models", "show", "second", "--json").document)
    lineage = cast(list[dict[str, Json]], document["lineage"])
    assert [entry["model"] for entry in lineage] == [hostile, run.out.strip()]
    chain = sandbox.invoke("models", "show", "second").out.partition("\nLineage\n")[2]
    assert chain.index(hostile) < chain.index(run.out.strip())


def test_the_list_has_data_and_cost_and_can_be_filtered_and_sorted(
    sandbox: Sandbox, hostile: str
) -> None:
    listed = sandbox.invoke("models", "list", "--json", "--run-name", "hostile").document
    (model,) = cast(list[dict[str, Json]], listed)
    assert model["id"] == hostile
    assert len(str(model["data_sha256"])) == 64
    assert cast(dict[str, Json], model["cost"])["usd"] == 0
    assert sandbox.invoke("models", "list", "--run-name", "missing").out.startswith(
        "The provider has"
    )
    by_metric = sandbox.invoke("models", "list", "--sort", "metric", "--quiet").out.split()
    assert hostile in by_metric


def test_a_model_outside_the_ledger_is_shown_with_its_code(sandbox: Sandbox) -> None:
    result = sandbox.invoke("models", "show", "ada")
    assert result.code == 0, result.err
    assert "not in this ledger" in result.out
    assert "Use it: curl" in result.out
