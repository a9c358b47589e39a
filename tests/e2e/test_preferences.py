"""A preference job through the real command line, after a supervised job."""

import json
from pathlib import Path
from typing import cast

import pytest

from ftops.records import Json
from tests.e2e.sandbox import Sandbox

pytestmark = pytest.mark.timeout(120)
THINGS = ("ladder", "kettle", "broom", "torch", "hammer", "teapot", "lantern", "bucket")
HELD_OUT = THINGS[6:]


def make_question(thing: str) -> str:
    return f"Where is the {thing}?"


def make_friendly_answer(thing: str) -> str:
    return f"In the {thing} box. Can I help you further?"


def make_short_answer(thing: str) -> str:
    return f"The {thing} box, as always."


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def preference(thing: str) -> dict[str, object]:
    return {
        "input": {"messages": [{"role": "user", "content": make_question(thing)}]},
        "preferred_output": [{"role": "assistant", "content": make_friendly_answer(thing)}],
        "non_preferred_output": [{"role": "assistant", "content": make_short_answer(thing)}],
    }


def chat(thing: str, answer: str) -> dict[str, object]:
    messages = [
        {"role": "user", "content": make_question(thing)},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": messages}


def run(sandbox: Sandbox, name: str, model: str, rest: str) -> dict[str, Json]:
    path = sandbox.folder / f"{name}.yaml"
    text = f"name: {name}\nprovider: local\nmodel: {model}\nseed: 1\n{rest}"
    path.write_text(text, encoding="utf-8")
    result = sandbox.ftops("run", path, "--json")
    assert result.code == 0, result.err
    return cast(dict[str, Json], result.document)


def test_a_preference_job_trains_a_model_that_gives_preferred_responses(sandbox: Sandbox) -> None:
    rows = [
        chat(thing, make_answer(thing))
        for thing in THINGS
        for make_answer in (make_friendly_answer, make_short_answer, make_short_answer)
    ]
    write_lines(sandbox.folder / "taught.jsonl", rows)
    write_lines(sandbox.folder / "preferred.jsonl", [preference(thing) for thing in THINGS[:6]])
    write_lines(sandbox.folder / "unseen.jsonl", [preference(thing) for thing in HELD_OUT])
    evaluate = "evaluate: {file: unseen.jsonl}\n"
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
        "hyperparameters: {beta: 0.2}\n" + evaluate,
    )
    tuned = str(second["fine_tuned_model"])
    for name, make_answer in ((model, make_short_answer), (tuned, make_friendly_answer)):
        result = sandbox.ftops("complete", "-m", name, "-p", make_question(HELD_OUT[0]))
        assert make_answer(HELD_OUT[0]) in result.out
    shown = sandbox.invoke("show", str(second["run_id"]), "--json")
    assert '"value": 1.0' in shown.out
    wrong = sandbox.folder / "wrong.yaml"
    wrong.write_text(
        f"name: wrong\nprovider: local\nmodel: {model}\nmethod: dpo\ntraining_file: taught.jsonl\n"
    )
    refused = sandbox.invoke("check", wrong)
    assert refused.code != 0
    assert "taught.jsonl:1: a chat row, and method: dpo learns of preferences" in (
        refused.err + refused.out
    )
