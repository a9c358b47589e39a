"""`ftops check` estimates the requests and the cost of the evaluation."""

from pathlib import Path

from tests.cli.running import ftops, write_job, write_rows


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
