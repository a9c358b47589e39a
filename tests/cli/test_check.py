"""`ftops check` shows what is not sent, and estimates the cost of job and evaluation."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ftops.ledger.ledger import Ledger
from ftops.records import ProviderSettings, Stage, StageStatus
from ftops.stage_results import FollowResult
from tests.cli.running import ftops, write_job, write_rows
from tests.fakes import FakeClock
from tests.ledger.rows import make_run


def write(folder: Path, evaluate: str, **job_options: str) -> Path:
    write_rows(folder / "exam.jsonl", 20)
    section = f"evaluate: {{file: exam.jsonl, overlap: allow, {evaluate}}}\n"
    return write_job(folder, section, **job_options)


def test_requests_to_the_built_in_engine_are_free(tmp_path: Path) -> None:
    result = ftops("check", write(tmp_path, "against: [base]"))
    assert result.code == 0
    assert "Evaluation on exam.jsonl (20 rows)" in result.out
    assert "tuned  20 requests, about" in result.out
    assert "; free" in result.out
    assert "base   skipped: ada is a built-in size" in result.out


def test_requests_to_a_judge_count_and_an_exceeded_limit_is_reported(tmp_path: Path) -> None:
    model = "gpt-4.1-mini-2025-04-14"
    evaluate = f"against: [base], metrics: [judge: {{model: {model}}}], max_cost_usd: 0.0001"
    job = write(tmp_path, evaluate, provider="openai", model=model)
    shown = ftops("check", job)
    assert "judge  40 requests" in shown.out
    assert "evaluate.max_cost_usd is $0.0001: it would not start" in shown.out
    document = ftops("check", job, "--json").document["evaluation"]
    assert isinstance(document, dict)
    candidates = document["candidates"]
    assert isinstance(candidates, list)
    prices = [candidate["max_cost_usd"] for candidate in candidates if isinstance(candidate, dict)]
    known = [price for price in prices if isinstance(price, float)]
    assert len(known) == 3
    assert document["max_cost_usd"] == sum(known)


def test_an_unknown_price_is_reported(tmp_path: Path) -> None:
    job = write(tmp_path, "max_cost_usd: 1", provider="openai", model="some-model")
    shown = ftops("check", job)
    assert "price unknown" in shown.out
    assert "evaluate.max_cost_usd cannot be enforced" in shown.out


def test_what_the_provider_does_not_take_is_listed_with_its_defaults(tmp_path: Path) -> None:
    job = write_job(
        tmp_path,
        "seed: 7\nmetadata: {team: search}\nhyperparameters: {batch_size: 4}\n",
        provider="{type: local, protocol: legacy}",
    )
    shown = " ".join(ftops("check", job).out.split())
    assert "not sent name, metadata, seed (kept in the ledger)" in shown
    assert "defaults n_epochs 4, learning_rate_multiplier chosen by the provider" in shown
    document = ftops("run", job, "--dry-run", "--json").document
    sends, request = document["sends"], document["request"]
    assert isinstance(sends, dict)
    assert isinstance(request, dict)
    assert sends["not_sent"] == ["name", "metadata", "seed"]
    assert request["hyperparameters"] == {"batch_size": 4}
    assert not {"seed", "mark"} & request.keys()


def test_a_request_has_no_hyperparameter_that_the_provider_does_not_know(tmp_path: Path) -> None:
    job = write_job(tmp_path, provider="together", model="Qwen/Qwen3-8B")
    document = ftops("run", job, "--dry-run", "--json").document
    assert isinstance(document["request"], dict)
    assert document["request"]["hyperparameters"] == {}


def test_a_provider_that_takes_auto_gets_it(tmp_path: Path) -> None:
    document = ftops("run", write_job(tmp_path, "seed: 7\n"), "--dry-run", "--json").document
    sends, request = document["sends"], document["request"]
    assert isinstance(sends, dict)
    assert isinstance(request, dict)
    assert (sends["not_sent"], sends["provider_defaults"]) == (["name"], {})
    assert isinstance(request["hyperparameters"], dict)
    assert request["hyperparameters"]["n_epochs"] == "auto"
    assert request["seed"] == 7


def test_the_limit_of_the_month_counts_the_runs_of_the_ledger(
    tmp_path: Path, temporary_home: Path
) -> None:
    model = "gpt-4.1-mini-2025-04-14"
    limits = "hyperparameters: {n_epochs: 2}\nlimits: {max_month_usd: 5}\n"
    job = write_job(tmp_path, limits, provider="openai", model=model)
    assert ftops("check", job).code == 0
    assert not (temporary_home / "ledger.db").exists()
    now = datetime.now(UTC)
    ledger = Ledger(temporary_home / "ledger.db", FakeClock(now))
    run = replace(make_run(), provider=ProviderSettings("openai"), created_at=now, job_id="ftjob-1")
    ledger.add_run(run, if_absent=False)
    pending = ledger.get_stage(run.id, Stage.FOLLOW)
    running = ledger.move_stage(run.id, pending, StageStatus.RUNNING)
    paid = FollowResult("ft:gpt-4.1-mini:acme::a", cost_usd=4.9999).to_json()
    ledger.move_stage(run.id, running, StageStatus.SUCCEEDED, detail=paid)
    ledger.close()
    result = ftops("check", job)
    assert result.code == 1
    assert "limits.max_month_usd is $5.00" in result.err
    assert f"the dearest: {run.id} (news) $5.00" in result.err
