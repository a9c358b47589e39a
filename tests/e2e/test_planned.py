"""From a table with long labels to a model that answers with them."""

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


def test_a_table_is_prepared_trained_on_and_answered_in_its_own_labels(sandbox: Sandbox) -> None:
    write_table(sandbox, "train.csv", PLACES[:4])
    write_table(sandbox, "held-out.csv", PLACES[4:])
    table, ready = sandbox.folder / "train.csv", sandbox.folder / "ready.jsonl"
    made = sandbox.look("data", "prepare", table, "-o", ready, "--yes", *COLUMNS)
    assert made.code == 0, made.err
    job = sandbox.folder / "planned.yaml"
    begun = sandbox.look("init", table, "-o", job, "--plan", f"{ready}.plan.yaml")
    assert begun.code == 0, begun.err
    text = job.read_text().replace(
        "# validation_file: validation.jsonl", "validation_file: held-out.csv"
    )
    job.write_text(text.replace("n_epochs: auto ", "n_epochs: 4 "))
    ran = sandbox.ftops("run", job)
    assert ran.code == 0, ran.err
    assert "Evaluation on held-out.csv" in ran.out
    assert any(kind in ran.out for kind in KINDS)
    answer = sandbox.look("complete", "-m", "planned", "-p", "the apple at noon", "--json")
    document = cast(dict[str, Json], answer.document)
    label, number = document["label"], str(document["text"]).strip()
    assert (label in KINDS and number in {"1", "2", "3"}) or label is None
    plain = sandbox.look("complete", "-m", "planned", "-p", "the apple at noon").out
    assert plain.strip() == (label or number)
    raw = sandbox.look("complete", "-m", "planned", "-p", "the apple at noon\n\n###\n\n", "--raw")
    assert raw.out.strip().startswith(number)
    checked = json.loads(sandbox.look("check", job, "--json").out)
    assert "encode-labels 28" in checked["changes"][0]
    assert "nothing was repeated" in sandbox.look("run", job).out
