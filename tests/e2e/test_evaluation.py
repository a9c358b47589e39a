"""Evaluations through the real command line and the real engine."""

import json
import re
import signal
import time
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree as Xml

import pytest

from tests.e2e.sandbox import Result, Sandbox
from tests.e2e.tracer import run_traced

EXAM_FILES = {"exam.jsonl", "evaluate.jsonl"}
PARSERS = {"prepare_file", "check_file", "_read_rows"}
pytestmark = pytest.mark.timeout(180)


def write_job(sandbox: Sandbox, name: str, evaluate: dict[str, object], *, epochs: int = 2) -> Path:
    path = sandbox.write_job(name, epochs=epochs)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(f"evaluate: {json.dumps(evaluate)}\n")
    return path


def count_completions(sandbox: Sandbox) -> int:
    """The number of completion requests so far."""
    lines = (sandbox.home / "requests.jsonl").read_text().splitlines()
    return sum('completions"' in line for line in lines)


def document(result: Result) -> dict[str, Any]:
    return cast(dict[str, Any], result.document)


def test_the_tuned_model_is_compared_with_the_baselines(
    sandbox: Sandbox, first_run: Result
) -> None:
    evaluation = document(sandbox.invoke("run", sandbox.job, "--json"))["evaluation"]
    names = [candidate["name"] for candidate in evaluation["candidates"]]
    assert names == ["tuned", "naive Bayes", "nearest neighbour", "majority"]
    assert {comparison["first"] for comparison in evaluation["comparisons"]} == {"tuned"}
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


def test_a_missed_requirement_exits_with_4_each_time_and_sends_nothing_again(
    sandbox: Sandbox, first_run: Result
) -> None:
    job = write_job(sandbox, "colours", {"require": {"accuracy": ">= 1.01", "f1": ">= 0"}})
    junit, summary = sandbox.folder / "gate.xml", sandbox.folder / "gate.md"
    missed = sandbox.ftops("run", job, "--junit", junit, "--markdown", summary)
    assert missed.code == 4
    assert "missed: 1 of 2 requirements are not met" in missed.err
    assert "accuracy >= 1.01" in missed.err
    requests = count_completions(sandbox)
    again = sandbox.ftops("run", job, "--json")
    assert (again.code, count_completions(sandbox)) == (4, requests)
    assert document(again)["status"] == "succeeded"
    assert document(again)["evaluation"]["requirements"][0]["met"] is False
    (suite,) = Xml.parse(junit).getroot()
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("2", "1")
    assert "1 of 2 requirements missed" in summary.read_text()


def test_any_model_is_evaluated_on_any_file_and_no_request_is_repeated(
    sandbox: Sandbox, first_run: Result
) -> None:
    sandbox.write_data("test.csv.jsonl", ("by night",))
    table = sandbox.folder / "test.csv"
    table.write_text("prompt,completion\nthe apple by night,red\na leaf by night,green\n")
    options = ("--against", "baseline", "--metric", "accuracy", "--force")
    first = sandbox.ftops("eval", "colours", table, *options, "--json")
    assert (first.code, first.err.count("error")) == (0, 0)
    evaluation = document(first)
    assert [candidate["rows"] for candidate in evaluation["candidates"]] == [2] * 4
    requests = count_completions(sandbox)
    again = sandbox.ftops("eval", "colours", table, *options, "--require", "accuracy > 1", "--json")
    assert (again.code, count_completions(sandbox)) == (4, requests)


def test_an_untrained_base_model_is_skipped_with_the_reason(
    sandbox: Sandbox, first_run: Result
) -> None:
    result = sandbox.ftops("eval", "colours", "validation.jsonl", "--against", "base", "--force")
    assert result.code == 0
    assert "has random weights before training" in " ".join(result.out.split())


def test_a_file_with_training_rows_is_refused_with_its_lines(
    sandbox: Sandbox, first_run: Result
) -> None:
    result = sandbox.ftops("eval", "colours", "train.jsonl")
    assert result.code == 1
    assert "leak: 28 rows of train.jsonl are training rows: lines 1, 2, 3" in result.err
    assert "--force" in result.err


def test_a_precision_that_the_model_does_not_take_is_refused(
    sandbox: Sandbox, first_run: Result
) -> None:
    result = sandbox.ftops("eval", "colours", "validation.jsonl", "--precision", "q8_0")
    assert result.code == 2
    assert "local takes no precision of the weights of ft:ada" in result.err


def test_a_mistake_in_an_option_is_reported_before_any_request(sandbox: Sandbox) -> None:
    result = sandbox.invoke("eval", "colours", "validation.jsonl", "--against", "bas")
    assert result.code == 2
    assert "--against 'bas': unknown name 'bas'" in result.err
    assert "did you mean 'base'?" in result.err


def test_no_output_file_replaces_the_input_file(sandbox: Sandbox) -> None:
    rows = sandbox.folder / "rows-to-keep.jsonl"
    rows.write_text('{"prompt": "a", "completion": " b"}\n')
    for option in ("-o", "--junit", "--markdown"):
        result = sandbox.invoke("eval", "colours", str(rows), option, str(rows))
        assert result.code == 1
        assert "is the input file and would be lost" in result.err


def test_runs_are_compared_on_the_rows_of_both(sandbox: Sandbox, first_run: Result) -> None:
    sandbox.write_data("other.jsonl", ("by the door", "on the hill"))
    other = write_job(sandbox, "others", {"file": "other.jsonl", "overlap": "allow"}, epochs=1)
    assert sandbox.ftops("run", other).code == 0
    result = sandbox.ftops("compare", "colours", "others", "--json")
    assert result.code == 0
    evaluation = document(result)
    assert evaluation["rows"] == 7
    assert [candidate["name"] for candidate in evaluation["candidates"]] == ["colours", "others"]
    assert evaluation["notes"][0]["kind"] == "different_rows"
    shown = sandbox.ftops("compare", "colours", "others")
    assert max(map(len, shown.out.splitlines())) <= 80


def test_a_killed_evaluation_continues_and_stores_no_response_twice(sandbox: Sandbox) -> None:
    lines = "".join(
        json.dumps({"prompt": f"thing {n} on the table", "completion": " red"}) + "\n"
        for n in range(1500)
    )
    (sandbox.folder / "many.jsonl").write_text(lines)
    job = write_job(sandbox, "killed", {"file": "many.jsonl", "max_rows": 1500, "overlap": "allow"})
    process = sandbox.start("run", job)
    caches: list[Path] = []
    before = {path: path.stat().st_size for path in list_response_caches(sandbox)}
    end_s = time.monotonic() + 90
    while time.monotonic() < end_s and process.poll() is None:
        caches = [
            path
            for path in list_response_caches(sandbox)
            if path.stat().st_size > before.get(path, 0) + 4000
        ]
        if caches:
            break
    process.send_signal(signal.SIGKILL)
    with process:
        process.communicate()
    assert caches, "the evaluation did not start"
    again = sandbox.ftops("run", job, "--json")
    assert again.code == 0
    assert document(again)["evaluation"]["rows"] == 1500
    keys = [json.loads(line).get("key") for line in caches[0].read_text().splitlines()[1:]]
    assert len(keys) == len(set(keys)) == 1500


def list_response_caches(sandbox: Sandbox) -> list[Path]:
    return list((sandbox.home / "responses").glob("*.jsonl"))


def test_auroc_and_auprc_equal_those_of_scikit_learn(sandbox: Sandbox, first_run: Result) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    things = {"the apple by noon": "red", "a leaf by noon": "green", "the cherry by noon": "red"}
    rows = [
        json.dumps({"prompt": prompt, "completion": f" {colour}"})
        for prompt, colour in things.items()
    ]
    (sandbox.folder / "areas.jsonl").write_text("\n".join(rows) + "\n")
    options = ("--metric", "auroc", "--metric", "auprc", "--against", "baseline", "--force")
    result = sandbox.ftops("eval", "colours", "areas.jsonl", *options, "--json")
    assert result.code == 0
    figures = document(result)["candidates"][0]["metrics"]
    (run_folder,) = re.findall(r"the predictions are stored in (\S+)", result.err)
    lines = (Path(run_folder) / "predictions" / "tuned.jsonl").read_text().splitlines()
    predictions = [json.loads(line) for line in lines]
    assert all(row["probabilities"] for row in predictions)
    for name, area in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
        by_label = [
            area(
                [row["expected"] == label for row in predictions],
                [row["probabilities"].get(label, 0.0) for row in predictions],
            )
            for label in ("red", "green")
        ]
        assert figures[name]["value"] == pytest.approx(sum(by_label) / 2)
