"""Was it worth it? Through the real command line and the real engine."""

import json
import re
import signal
import time
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree as Xml

import pytest

from tests.e2e.sandbox import Answer, Sandbox
from tests.e2e.tracer import run_traced

EXAM_FILES = {"exam.jsonl", "evaluate.jsonl"}
PARSERS = {"prepare_file", "check_file", "_read_rows"}
pytestmark = pytest.mark.timeout(180)


def write_job(sandbox: Sandbox, name: str, evaluate: dict[str, object], *, epochs: int = 2) -> Path:
    path = sandbox.write_job(name, epochs=epochs)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(f"evaluate: {json.dumps(evaluate)}\n")
    return path


def count_questions(sandbox: Sandbox) -> int:
    """How many requests for answers have left so far."""
    lines = (sandbox.home / "requests.jsonl").read_text().splitlines()
    return sum('completions"' in line for line in lines)


def document(answer: Answer) -> dict[str, Any]:
    return cast(dict[str, Any], answer.document)


def test_the_tuned_model_stands_beside_what_costs_nothing(
    sandbox: Sandbox, first_run: Answer
) -> None:
    found = document(sandbox.look("run", sandbox.job, "--json"))["evaluation"]
    names = [one["name"] for one in found["candidates"]]
    assert names == ["tuned", "naive Bayes", "nearest neighbour", "majority"]
    assert {one["first"] for one in found["comparisons"]} == {"tuned"}
    assert "Evaluation on validation.jsonl (14 rows)" in first_run.out


def test_the_training_rows_are_parsed_three_times_and_not_for_the_evaluation(
    tmp_path: Path,
) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.write_data("train.jsonl", ("in the morning", "at noon", "far away"))
    sandbox.write_data("exam.jsonl", ("on the table", "by the door"))
    job = sandbox.write_job(epochs=1)
    text = job.read_text().replace(
        "validation_file: validation.jsonl", "evaluate: {file: exam.jsonl}"
    )
    job.write_text(text)
    try:
        done = run_traced(tmp_path, "run", job, tools=tmp_path / "tools")
    finally:
        run_traced(tmp_path, "engine", "stop", tools=tmp_path / "tools")
    assert (done.code, "naive Bayes" in done.out) == (0, True)
    parses = [callers for path, callers in done.list_parses() if path.name not in EXAM_FILES]
    passes = [PARSERS & set(callers.split()) for callers in parses]
    assert passes == [{"prepare_file"}, {"check_file"}, {"_read_rows"}], parses


def test_a_missed_requirement_ends_with_4_each_time_and_asks_nothing_again(
    sandbox: Sandbox, first_run: Answer
) -> None:
    job = write_job(sandbox, "colours", {"require": {"accuracy": ">= 1.01", "f1": ">= 0"}})
    junit, summary = sandbox.folder / "gate.xml", sandbox.folder / "gate.md"
    missed = sandbox.ftops("run", job, "--junit", junit, "--markdown", summary)
    assert missed.code == 4
    assert "missed: 1 of 2 requirements are not met" in missed.err
    assert "accuracy >= 1.01" in missed.err
    asked = count_questions(sandbox)
    again = sandbox.ftops("run", job, "--json")
    assert (again.code, count_questions(sandbox)) == (4, asked)
    assert document(again)["status"] == "succeeded"
    assert document(again)["evaluation"]["requirements"][0]["met"] is False
    (suite,) = Xml.parse(junit).getroot()
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("2", "1")
    assert "1 of 2 requirements missed" in summary.read_text()


def test_any_model_is_measured_on_any_file_and_none_is_asked_twice(
    sandbox: Sandbox, first_run: Answer
) -> None:
    sandbox.write_data("test.csv.jsonl", ("by night",))
    table = sandbox.folder / "test.csv"
    table.write_text("prompt,completion\nthe apple by night,red\na leaf by night,green\n")
    options = ("--against", "baseline", "--metric", "accuracy", "--force")
    first = sandbox.ftops("eval", "colours", table, *options, "--json")
    assert (first.code, first.err.count("error")) == (0, 0)
    found = document(first)
    assert [one["rows"] for one in found["candidates"]] == [2] * 4
    asked = count_questions(sandbox)
    again = sandbox.ftops("eval", "colours", table, *options, "--require", "accuracy > 1", "--json")
    assert (again.code, count_questions(sandbox)) == (4, asked)


def test_an_untrained_base_is_left_out_by_name(sandbox: Sandbox, first_run: Answer) -> None:
    answer = sandbox.ftops("eval", "colours", "validation.jsonl", "--against", "base", "--force")
    assert answer.code == 0
    assert "has random weights before training" in " ".join(answer.out.split())


def test_a_file_that_leaks_is_refused_with_its_lines(sandbox: Sandbox, first_run: Answer) -> None:
    answer = sandbox.ftops("eval", "colours", "train.jsonl")
    assert answer.code == 1
    assert "leak: 28 rows of train.jsonl are training rows: lines 1, 2, 3" in answer.err
    assert "--force" in answer.err


def test_a_mistake_in_an_option_is_told_before_anybody_is_asked(sandbox: Sandbox) -> None:
    answer = sandbox.look("eval", "colours", "validation.jsonl", "--against", "bas")
    assert answer.code == 2
    assert "--against 'bas': unknown name 'bas'" in answer.err
    assert "did you mean 'base'?" in answer.err


def test_no_summary_takes_the_place_of_the_rows(sandbox: Sandbox) -> None:
    rows = sandbox.folder / "rows-to-keep.jsonl"
    rows.write_text('{"prompt": "a", "completion": " b"}\n')
    for option in ("-o", "--junit", "--markdown"):
        answer = sandbox.look("eval", "colours", str(rows), option, str(rows))
        assert answer.code == 1
        assert "is the input file and would be lost" in answer.err


def test_runs_are_compared_on_the_rows_that_both_answered(
    sandbox: Sandbox, first_run: Answer
) -> None:
    sandbox.write_data("other.jsonl", ("by the door", "on the hill"))
    other = write_job(sandbox, "others", {"file": "other.jsonl", "overlap": "allow"}, epochs=1)
    assert sandbox.ftops("run", other).code == 0
    answer = sandbox.ftops("compare", "colours", "others", "--json")
    assert answer.code == 0
    found = document(answer)
    assert found["rows"] == 7
    assert [one["name"] for one in found["candidates"]] == ["colours", "others"]
    assert found["notes"][0]["kind"] == "different_rows"
    shown = sandbox.ftops("compare", "colours", "others")
    assert max(map(len, shown.out.splitlines())) <= 80


def test_a_killed_evaluation_goes_on_and_keeps_no_answer_twice(sandbox: Sandbox) -> None:
    lines = "".join(
        json.dumps({"prompt": f"thing {n} on the table", "completion": " red"}) + "\n"
        for n in range(1500)
    )
    (sandbox.folder / "many.jsonl").write_text(lines)
    job = write_job(sandbox, "killed", {"file": "many.jsonl", "max_rows": 1500, "overlap": "allow"})
    process = sandbox.start("run", job)
    kept: list[Path] = []
    before = {path: path.stat().st_size for path in find_kept(sandbox)}
    until = time.monotonic() + 90
    while time.monotonic() < until and process.poll() is None:
        kept = [
            path for path in find_kept(sandbox) if path.stat().st_size > before.get(path, 0) + 4000
        ]
        if kept:
            break
    process.send_signal(signal.SIGKILL)
    with process:
        process.communicate()
    assert kept, "the evaluation never began"
    again = sandbox.ftops("run", job, "--json")
    assert again.code == 0
    assert document(again)["evaluation"]["rows"] == 1500
    keys = [json.loads(line).get("key") for line in kept[0].read_text().splitlines()[1:]]
    assert len(keys) == len(set(keys)) == 1500


def find_kept(sandbox: Sandbox) -> list[Path]:
    return list((sandbox.home / "responses").glob("*.jsonl"))


def test_areas_are_those_that_scikit_learn_finds_in_the_answers_that_are_kept(
    sandbox: Sandbox, first_run: Answer
) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    things = {"the apple by noon": "red", "a leaf by noon": "green", "the cherry by noon": "red"}
    rows = [
        json.dumps({"prompt": prompt, "completion": f" {colour}"})
        for prompt, colour in things.items()
    ]
    (sandbox.folder / "areas.jsonl").write_text("\n".join(rows) + "\n")
    options = ("--metric", "auroc", "--metric", "auprc", "--against", "baseline", "--force")
    answer = sandbox.ftops("eval", "colours", "areas.jsonl", *options, "--json")
    assert answer.code == 0
    figures = document(answer)["candidates"][0]["metrics"]
    (kept,) = re.findall(r"the predictions are stored in (\S+)", answer.err)
    lines = (Path(kept) / "predictions" / "tuned.jsonl").read_text().splitlines()
    answers = [json.loads(line) for line in lines]
    assert all(one["probabilities"] for one in answers)
    for name, area in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
        by_label = [
            area(
                [one["expected"] == label for one in answers],
                [one["probabilities"].get(label, 0.0) for one in answers],
            )
            for label in ("red", "green")
        ]
        assert figures[name]["value"] == pytest.approx(sum(by_label) / 2)
