"""A table with long labels, its plan, and a model that predicts the labels."""

import json
from typing import cast

from ftops.records import Json
from tests.e2e.sandbox import PLACES, THINGS, Sandbox

KINDS = ("red like fire", "green like grass", "blue like the sea")
COLUMNS = ("--prompt", "{thing} {place}", "--completion", "kind")


def write_table(sandbox: Sandbox, name: str, places: tuple[str, ...]) -> None:
    rows = [
        f"{thing},{place},{KINDS[number % 3]}"
        for number, thing in enumerate(THINGS)
        for place in places
    ]
    (sandbox.folder / name).write_text("\n".join(["thing,place,kind", *rows]) + "\n")


def test_a_table_is_prepared_and_predictions_are_its_labels(sandbox: Sandbox) -> None:
    write_table(sandbox, "train.csv", PLACES[:4])
    write_table(sandbox, "held-out.csv", PLACES[4:])
    table, ready = sandbox.folder / "train.csv", sandbox.folder / "ready.jsonl"
    prepared = sandbox.invoke("data", "prepare", table, "-o", ready, "--yes", *COLUMNS)
    assert prepared.code == 0, prepared.err
    job = sandbox.folder / "planned.yaml"
    init = sandbox.invoke("init", table, "-o", job, "--plan", f"{ready}.plan.yaml")
    assert init.code == 0, init.err
    text = job.read_text().replace(
        "# validation_file: validation.jsonl", "validation_file: held-out.csv"
    )
    job.write_text(text.replace("n_epochs: auto ", "n_epochs: 4 "))
    run = sandbox.ftops("run", job)
    assert run.code == 0, run.err
    assert "Evaluation on held-out.csv" in run.out
    assert any(kind in run.out for kind in KINDS)
    result = sandbox.invoke("complete", "-m", "planned", "-p", "the apple at noon", "--json")
    document = cast(dict[str, Json], result.document)
    label, number = document["label"], str(document["text"]).strip()
    assert (label in KINDS and number in {"1", "2", "3"}) or label is None
    plain = sandbox.invoke("complete", "-m", "planned", "-p", "the apple at noon").out
    assert plain.strip() == (label or number)
    raw = sandbox.invoke("complete", "-m", "planned", "-p", "the apple at noon\n\n###\n\n", "--raw")
    assert raw.out.strip().startswith(number)
    checked = json.loads(sandbox.invoke("check", job, "--json").out)
    assert "encode-labels 28" in checked["changes"][0]
    assert "nothing was repeated" in sandbox.invoke("run", job).out
