"""Report data is loaded from the ledger and the run folder in any state."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.records import Run
from ftops.runs.report_data import ReportLoader
from tests.reports.sample_runs import make_candidates, make_evaluation, make_run

ROW = {"prompt": "Where is the torch? ->", "completion": " In the drawer.\n"}
ANSWER = {"line": 1, "prompt": "a", "expected": "x", "predicted": "y", "correct": False}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.db", SystemClock())) as opened:
        yield opened


@pytest.fixture
def run(ledger: Ledger) -> Run:
    return ledger.add_run(make_run(), if_absent=False)


@pytest.fixture
def folder(tmp_path: Path, run: Run) -> Path:
    path = tmp_path / "runs" / run.id
    path.mkdir(parents=True)
    return path


def test_all_data_of_a_complete_run_is_loaded(
    tmp_path: Path, ledger: Ledger, run: Run, folder: Path
) -> None:
    candidates = make_candidates()
    evaluation = make_evaluation(candidates)
    (folder / "evaluation.json").write_bytes(orjson.dumps(evaluation.to_json()))
    (folder / "predictions").mkdir()
    (folder / "predictions" / "few-shot-5.jsonl").write_text(json.dumps(ANSWER) + "\n{cut", "utf-8")
    (folder / "results.csv").write_text("step,train_loss\n1,2.5\n2,1.5\n", encoding="utf-8")
    (folder / "job.yaml").write_text("name: news-topics\n", encoding="utf-8")
    (folder / "train.jsonl").write_text(f"{json.dumps(ROW)}\n" * 12, encoding="utf-8")
    facts = ReportLoader(ledger, tmp_path, SystemClock()).gather(run)
    assert facts.evaluation == evaluation
    assert [prediction.predicted for prediction in facts.predictions["few-shot: 5"]] == ["y"]
    assert [row.train_loss for row in facts.training.rows] == [2.5, 1.5]
    assert facts.job_text == "name: news-topics\n"
    assert any("12 rows" in finding.message for finding in facts.data), facts.data
    assert facts.missing == []


def test_a_run_without_a_folder_is_no_error(tmp_path: Path, ledger: Ledger, run: Run) -> None:
    facts = ReportLoader(ledger, tmp_path, SystemClock()).gather(run)
    assert facts.evaluation is None
    assert not facts.training.rows
    assert (facts.job_text, facts.data, facts.missing) == ("", [], [])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("evaluation.json", "{", "The evaluation cannot be read"),
        ("evaluation.json", '{"version": 9}', "The evaluation cannot be read"),
        ("evaluation.json", '{"accuracy": 0.5}', "The evaluation cannot be read"),
        ("results.csv", "hello", "The results file is kept as it came"),
    ],
)
def test_a_damaged_file_is_reported(
    tmp_path: Path, ledger: Ledger, run: Run, folder: Path, name: str, content: str, reason: str
) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    (missing,) = ReportLoader(ledger, tmp_path, SystemClock()).gather(run).missing
    assert missing.startswith(reason)


def test_data_shared_by_two_runs_is_checked_once(
    tmp_path: Path, ledger: Ledger, run: Run, folder: Path
) -> None:
    data = folder / "train.jsonl"
    data.write_text(f"{json.dumps(ROW)}\n" * 12, encoding="utf-8")
    gathering = ReportLoader(ledger, tmp_path, SystemClock())
    first = gathering.gather(run)
    data.write_text("not a row\n", encoding="utf-8")
    assert gathering.gather(run).data == first.data


def test_unreadable_data_is_a_finding(
    tmp_path: Path, ledger: Ledger, run: Run, folder: Path
) -> None:
    (folder / "train.jsonl").write_bytes(b"\xff\xfe\x00broken")
    remarks = ReportLoader(ledger, tmp_path, SystemClock()).gather(run).data
    assert remarks and remarks[0].severity == "error"


def test_small_classes_are_reported_for_training_data_only(
    tmp_path: Path, ledger: Ledger, run: Run, folder: Path
) -> None:
    rows = [{"prompt": f"row {n} ->", "completion": f" {'ab'[n % 2]}"} for n in range(40)]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    for name in ("train.jsonl", "validation.jsonl"):
        (folder / name).write_text(text, encoding="utf-8")
    messages = [
        finding.message
        for finding in ReportLoader(ledger, tmp_path, SystemClock()).gather(run).data
    ]
    assert [text.split(":")[0] for text in messages if "classes have under" in text] == [
        "Training data"
    ]
