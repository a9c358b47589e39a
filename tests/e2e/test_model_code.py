"""The code that `ftops models show` prints asks the real engine, and gets what ftops gets."""

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
MISSING = {"python": None, "curl": "curl", "node": "node"}
COMMANDS = {"python": [sys.executable, "-"], "curl": ["bash", "-s"], "node": ["node", "-"]}


def ask(sandbox: Sandbox, language: str, model: str) -> str:
    """What the program prints; for curl, the text inside the API's answer."""
    program = MISSING[language]
    if program is not None and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    code = sandbox.look("models", "show", model, "--code", language).out
    line = sandbox.look("engine", "env").out
    variables = dict(word.split("=", 1) for word in shlex.split(line)[1:])
    assert variables["OPENAI_API_KEY"] not in code
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        COMMANDS[language],
        input=code,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**kept, **variables},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if language != "curl":
        return done.stdout.removesuffix("\n")
    choice = json.loads(done.stdout)["choices"][0]
    return str(choice["message"]["content"] if "message" in choice else choice["text"]).strip()


def find_prompt(sandbox: Sandbox, model: str) -> str:
    """The prompt that stands in the code."""
    code = sandbox.look("models", "show", model, "--code", "python").out
    for node in ast.parse(code).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "prompt":
            return str(ast.literal_eval(node.value))
    raise AssertionError("the code has no prompt")


def complete(sandbox: Sandbox, model: str) -> dict[str, Json]:
    answer = sandbox.look("complete", "-m", model, "-p", find_prompt(sandbox, model), "--json")
    return cast(dict[str, Json], answer.document)


@pytest.fixture(scope="module")
def hostile(sandbox: Sandbox) -> str:
    """A model whose separator means something to every language."""
    job = sandbox.write_job("hostile", epochs=1)
    text = job.read_text(encoding="utf-8")
    job.write_text(text.replace("' ->'", json.dumps(SEPARATOR)), encoding="utf-8")
    made = sandbox.ftops("run", job, "--quiet")
    assert made.code == 0, made.err
    return made.out.strip()


@pytest.fixture(scope="module")
def chat(sandbox: Sandbox) -> str:
    """A model that was trained on chats with a system message."""
    job = sandbox.write_job("chat", epochs=1)
    text = job.read_text(encoding="utf-8")
    wanted = 'prepare: {format: chat, system: "Answer: it\'s a \\"colour\\"."}\n'
    job.write_text(text[: text.index("prepare:")] + wanted, encoding="utf-8")
    made = sandbox.ftops("run", job, "--quiet")
    assert made.code == 0, made.err
    return made.out.strip()


@pytest.fixture(scope="module")
def labelled(sandbox: Sandbox) -> str:
    """A model that answers with numbers, which stand for labels."""
    table, ready = sandbox.folder / "table.jsonl", sandbox.folder / "ready.jsonl"
    rows = [
        {"prompt": f"{thing} {place}", "completion": KINDS[number % 3]}
        for number, thing in enumerate(THINGS)
        for place in PLACES
    ]
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    made = sandbox.look("data", "prepare", table, "-o", ready, "--yes")
    assert made.code == 0, made.err
    job = sandbox.folder / "labelled.yaml"
    begun = sandbox.look("init", table, "-o", job, "--plan", f"{ready}.plan.yaml")
    assert begun.code == 0, begun.err
    job.write_text(job.read_text().replace("n_epochs: auto ", "n_epochs: 8 "))
    ran = sandbox.ftops("run", job, "--quiet")
    assert ran.code == 0, ran.err
    return ran.out.strip()


@pytest.mark.parametrize("language", list(COMMANDS))
def test_a_hostile_separator_reaches_the_model_as_it_was_trained(
    sandbox: Sandbox, hostile: str, language: str
) -> None:
    assert ask(sandbox, language, hostile) == str(complete(sandbox, hostile)["text"]).strip()


@pytest.mark.parametrize("language", list(COMMANDS))
def test_a_chat_is_asked_with_its_system_message(
    sandbox: Sandbox, chat: str, language: str
) -> None:
    assert "it's a" in sandbox.look("models", "show", chat, "--code", "python").out
    assert ask(sandbox, language, chat) == str(complete(sandbox, chat)["text"]).strip()


@pytest.mark.parametrize("language", list(COMMANDS))
def test_numbers_are_answered_as_the_labels_that_they_stand_for(
    sandbox: Sandbox, labelled: str, language: str
) -> None:
    expected = complete(sandbox, labelled)
    shown = expected["text"] if language == "curl" else expected["label"] or expected["text"]
    assert ask(sandbox, language, labelled) == str(shown).strip()
    assert expected["label"] in KINDS


def test_show_tells_data_job_file_and_lineage(sandbox: Sandbox, hostile: str) -> None:
    answer = sandbox.look("models", "show", hostile)
    assert answer.code == 0, answer.err
    for part in ("Lineage", "Data", "Stages", "Job file: ", "Use it: python", "Use it: node"):
        assert f"\n{part}" in answer.out
    assert (sandbox.folder / "hostile.yaml").read_text(encoding="utf-8").strip() in answer.out
    document = cast(dict[str, Json], sandbox.look("models", "show", hostile, "--json").document)
    lineage = cast(list[dict[str, Json]], document["lineage"])
    files = cast(list[dict[str, Json]], lineage[0]["files"])
    assert [file["source"] for file in files] == ["train.jsonl", "validation.jsonl"]
    assert all(str(file["file_id"]).startswith("file-") for file in files)
    for file in files:
        sha256, path = file["sha256"], str(file["copy"])
        assert f"sha256 {sha256}" in answer.out
        assert path.startswith(str(sandbox.home))


def test_a_model_tuned_from_a_tuned_one_is_shown_with_where_that_came_from(
    sandbox: Sandbox, hostile: str
) -> None:
    job = sandbox.write_job("second", epochs=1)
    text = job.read_text(encoding="utf-8").replace("model: ada", f"model: {hostile}")
    job.write_text(text, encoding="utf-8")
    made = sandbox.ftops("run", job, "--quiet")
    assert made.code == 0, made.err
    document = cast(dict[str, Json], sandbox.look("models", "show", "second", "--json").document)
    lineage = cast(list[dict[str, Json]], document["lineage"])
    assert [one["model"] for one in lineage] == [hostile, made.out.strip()]
    chain = sandbox.look("models", "show", "second").out.partition("\nLineage\n")[2]
    assert chain.index(hostile) < chain.index(made.out.strip())


def test_the_list_knows_run_data_and_cost_and_can_be_narrowed(
    sandbox: Sandbox, hostile: str
) -> None:
    listed = sandbox.look("models", "list", "--json", "--run-name", "hostile").document
    (model,) = cast(list[dict[str, Json]], listed)
    assert model["id"] == hostile
    assert len(str(model["data_sha256"])) == 64
    assert cast(dict[str, Json], model["cost"])["usd"] == 0
    assert sandbox.look("models", "list", "--run-name", "nobody").out.startswith("The provider has")
    by_metric = sandbox.look("models", "list", "--sort", "metric", "--quiet").out.split()
    assert hostile in by_metric


def test_a_model_that_the_ledger_does_not_know_is_shown_with_its_code(sandbox: Sandbox) -> None:
    answer = sandbox.look("models", "show", "ada")
    assert answer.code == 0, answer.err
    assert "not in this ledger" in answer.out
    assert "Use it: curl" in answer.out
