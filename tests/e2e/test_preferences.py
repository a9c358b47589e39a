"""A preference job through the real command line: taught first, then told what is preferred."""

import json
from pathlib import Path
from typing import cast

import pytest

from ftops.records import Json
from tests.e2e.sandbox import Sandbox

pytestmark = pytest.mark.timeout(120)
THINGS = ("ladder", "kettle", "broom", "torch", "hammer", "teapot", "lantern", "bucket")
HELD_OUT = THINGS[6:]


def ask_for(thing: str) -> str:
    return f"Where is the {thing}?"


def kindly(thing: str) -> str:
    return f"In the {thing} box. Can I help you further?"


def gruffly(thing: str) -> str:
    return f"The {thing} box, as always."


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def preference(thing: str) -> dict[str, object]:
    return {
        "input": {"messages": [{"role": "user", "content": ask_for(thing)}]},
        "preferred_output": [{"role": "assistant", "content": kindly(thing)}],
        "non_preferred_output": [{"role": "assistant", "content": gruffly(thing)}],
    }


def chat(thing: str, answer: str) -> dict[str, object]:
    messages = [
        {"role": "user", "content": ask_for(thing)},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": messages}


def run(sandbox: Sandbox, name: str, model: str, rest: str) -> dict[str, Json]:
    path = sandbox.folder / f"{name}.yaml"
    text = f"name: {name}\nprovider: local\nmodel: {model}\nseed: 1\n{rest}"
    path.write_text(text, encoding="utf-8")
    answer = sandbox.ftops("run", path, "--json")
    assert answer.code == 0, answer.err
    return cast(dict[str, Json], answer.document)


def test_a_preference_job_file_leads_to_a_model_that_answers_as_preferred(sandbox: Sandbox) -> None:
    taught = [chat(thing, say(thing)) for thing in THINGS for say in (kindly, gruffly, gruffly)]
    write_lines(sandbox.folder / "taught.jsonl", taught)
    write_lines(sandbox.folder / "preferred.jsonl", [preference(thing) for thing in THINGS[:6]])
    write_lines(sandbox.folder / "unseen.jsonl", [preference(thing) for thing in HELD_OUT])
    questions = "evaluate: {file: unseen.jsonl}\n"
    first = run(
        sandbox,
        "taught",
        "ada",
        "training_file: taught.jsonl\nhyperparameters: {n_epochs: 50}\n",
    )
    model = str(first["fine_tuned_model"])
    second = run(
        sandbox,
        "preferred",
        model,
        "method: dpo\ntraining_file: preferred.jsonl\nvalidation_file: unseen.jsonl\n"
        "hyperparameters: {beta: 0.2}\n" + questions,
    )
    tuned = str(second["fine_tuned_model"])
    for name, say in ((model, gruffly), (tuned, kindly)):
        answer = sandbox.ftops("complete", "-m", name, "-p", ask_for(HELD_OUT[0]))
        assert say(HELD_OUT[0]) in answer.out
    shown = sandbox.look("show", str(second["run_id"]), "--json")
    assert '"value": 1.0' in shown.out
    wrong = sandbox.folder / "wrong.yaml"
    wrong.write_text(
        f"name: wrong\nprovider: local\nmodel: {model}\nmethod: dpo\ntraining_file: taught.jsonl\n"
    )
    refused = sandbox.look("check", wrong)
    assert refused.code != 0
    assert "taught.jsonl:1: a chat row, and method: dpo learns of preferences" in (
        refused.err + refused.out
    )
