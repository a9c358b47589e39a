"""`ftops check` says what the evaluation will ask, and what that costs at most."""

from pathlib import Path

from tests.cli.running import ftops, write_job, write_rows


def write(folder: Path, evaluate: str, **given: str) -> Path:
    write_rows(folder / "exam.jsonl", 20)
    section = f"evaluate: {{file: exam.jsonl, overlap: allow, {evaluate}}}\n"
    return write_job(folder, section, **given)


def test_what_is_asked_of_the_built_in_engine_is_free(tmp_path: Path) -> None:
    answer = ftops("check", write(tmp_path, "against: [base]"))
    assert answer.code == 0
    assert "Evaluation on exam.jsonl (20 rows)" in answer.out
    assert "tuned  20 requests, about" in answer.out
    assert "; free" in answer.out
    assert "base   skipped: ada is a built-in size" in answer.out


def test_a_judge_counts_and_a_limit_that_will_not_hold_is_told(tmp_path: Path) -> None:
    model = "gpt-4.1-mini-2025-04-14"
    evaluate = f"against: [base], metrics: [judge: {{model: {model}}}], max_cost_usd: 0.0001"
    job = write(tmp_path, evaluate, provider="openai", model=model)
    shown = ftops("check", job)
    assert "judge  40 requests" in shown.out
    assert "evaluate.max_cost_usd is $0.0001: it would not start" in shown.out
    document = ftops("check", job, "--json").document["evaluation"]
    assert isinstance(document, dict)
    asked = document["candidates"]
    assert isinstance(asked, list)
    prices = [one["max_cost_usd"] for one in asked if isinstance(one, dict)]
    known = [price for price in prices if isinstance(price, float)]
    assert len(known) == 3
    assert document["max_cost_usd"] == sum(known)


def test_a_price_that_nobody_knows_is_said_to_be_unknown(tmp_path: Path) -> None:
    job = write(tmp_path, "max_cost_usd: 1", provider="openai", model="some-model")
    shown = ftops("check", job)
    assert "price unknown" in shown.out
    assert "evaluate.max_cost_usd cannot be enforced" in shown.out
