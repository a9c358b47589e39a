"""The export of a run to promptfoo: its rows and available models."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ftops.errors import RunError
from ftops.evaluation.result import CandidateKind, CandidateScore, Evaluation
from ftops.ledger.ledger import Ledger
from ftops.records import Json, ProviderSettings, Run, RunId, RunStatus, TunedModel
from ftops.runs.promptfoo import gather_export
from tests.fakes import FakeClock

NOW = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)
NAME = "ft:ada:local:small:a1b2c3d4"
LOCAL = ProviderSettings("local")
OTHER = ProviderSettings("openai", base_url="http://x/v1", api_key_env="X_KEY")
RUN = Run(
    id=RunId("run-20261122-1407-aaaa"),
    key="k",
    name="small",
    status=RunStatus.PENDING,
    provider=LOCAL,
    model="ada",
    spec={"evaluate": {"metrics": ["accuracy"], "require": {"accuracy": ">= 0.5"}, "max_rows": 2}},
    job_file="/jobs/small.yaml",
    created_at=NOW,
    updated_at=NOW,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "ledger.db", FakeClock())
    yield opened
    opened.close()


def add_run(ledger: Ledger, home: Path, run: Run = RUN, *, rows: int = 3) -> Run:
    ledger.add_run(run, if_absent=False)
    tuned = TunedModel(NAME, run.id, "ftjob-1", "ada", run.provider, created_at=NOW)
    ledger.add_model(replace(tuned, separator=" ->", stop="\n"))
    folder = home / "runs" / run.id
    folder.mkdir(parents=True)
    if rows:
        records = [{"prompt": f"p{n} ->", "completion": f" c{n}\n"} for n in range(rows)]
        text = "".join(f"{json.dumps(row)}\n" for row in records)
        (folder / "validation.jsonl").write_text(text, encoding="utf-8")
    return ledger.get_run(run.id)


def write_evaluation(home: Path, *candidates: CandidateScore) -> None:
    document: Json = Evaluation("v.jsonl", 3, "accuracy", candidates).to_json()
    path = home / "runs" / RUN.id / "evaluation.json"
    path.write_text(json.dumps(document), encoding="utf-8")


def test_rows_are_the_evaluated_rows_with_their_expected_completions(
    ledger: Ledger, tmp_path: Path
) -> None:
    exported = gather_export(add_run(ledger, tmp_path), ledger, tmp_path)
    rows = [(row.line, row.prompt, row.expected) for row in exported.rows]
    assert rows == [(1, "p0 ->", "c0"), (2, "p1 ->", "c1")]
    assert (exported.separator, exported.stop, exported.metrics) == (" ->", "\n", ["accuracy"])
    assert exported.skipped == ("evaluate.require: promptfoo has thresholds of single tests only",)


def test_models_of_the_engine_have_its_address(ledger: Ledger, tmp_path: Path) -> None:
    run = add_run(ledger, tmp_path)
    (running,) = gather_export(run, ledger, tmp_path, engine_url="http://127.0.0.1:1/v1").candidates
    assert (running.model, running.base_url) == (NAME, "http://127.0.0.1:1/v1")
    (stopped,) = gather_export(run, ledger, tmp_path).candidates
    assert stopped.base_url is None


def test_models_of_a_server_have_its_address_and_key(ledger: Ledger, tmp_path: Path) -> None:
    run = add_run(ledger, tmp_path, replace(RUN, provider=OTHER))
    (candidate,) = gather_export(
        run, ledger, tmp_path, engine_url="http://127.0.0.1:1/v1"
    ).candidates
    assert (candidate.base_url, candidate.key_env) == ("http://x/v1", "X_KEY")


def test_candidates_without_a_model_are_skipped_with_their_reason(
    ledger: Ledger, tmp_path: Path
) -> None:
    run = add_run(ledger, tmp_path)
    write_evaluation(
        tmp_path,
        CandidateScore("tuned", CandidateKind.TUNED, 3, {}, model=NAME, provider="local"),
        CandidateScore("base", CandidateKind.BASE, 3, {}, model="ada", provider="local"),
        CandidateScore("luna", CandidateKind.MODEL, 3, {}, model="gpt-4.1", provider="openai"),
        CandidateScore("few-shot 5", CandidateKind.FEW_SHOT, 3, {}, model="ada"),
        CandidateScore("majority", CandidateKind.MAJORITY, 3, {}),
    )
    exported = gather_export(run, ledger, tmp_path, engine_url="http://127.0.0.1:1/v1")
    assert [
        (candidate.label, candidate.model, candidate.base_url) for candidate in exported.candidates
    ] == [
        ("tuned", NAME, "http://127.0.0.1:1/v1"),
        ("base", "ada", "http://127.0.0.1:1/v1"),
        ("luna", "gpt-4.1", None),
    ]
    assert [text.partition(":")[0] for text in exported.skipped] == [
        "the candidate few-shot 5",
        "the candidate majority",
        "evaluate.require",
    ]


def test_a_run_without_rows_or_model_is_an_error(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no rows whose answers are known"):
        gather_export(add_run(ledger, tmp_path, rows=0), ledger, tmp_path)
    other = replace(RUN, id=RunId("run-20261122-1407-bbbb"), key="l")
    ledger.add_run(other, if_absent=False)
    with pytest.raises(RunError, match="has made no model"):
        gather_export(ledger.get_run(other.id), ledger, tmp_path)


def test_a_model_of_another_provider_has_its_address(ledger: Ledger, tmp_path: Path) -> None:
    elsewhere: Json = {"type": "openai", "base_url": "http://y/v1", "api_key_env": "Y_KEY"}
    against: Json = ["base", {"model": {"name": "gpt-4.1", "provider": elsewhere}}]
    run = replace(RUN, provider=OTHER, spec={"evaluate": {"against": against}})
    add_run(ledger, tmp_path, run)
    write_evaluation(
        tmp_path,
        CandidateScore("luna", CandidateKind.MODEL, 3, {}, model="gpt-4.1", provider="openai"),
    )
    tuned, luna = gather_export(ledger.get_run(run.id), ledger, tmp_path).candidates
    assert (tuned.base_url, tuned.key_env) == ("http://x/v1", "X_KEY")
    assert (luna.base_url, luna.key_env) == ("http://y/v1", "Y_KEY")
