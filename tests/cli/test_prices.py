"""Prices as people meet them: in `ftops check`, in a dry run, and when a cost limit needs one."""

import tomllib
from pathlib import Path

import pytest

from ftops.cli.factory import find_example_limit
from ftops.records import ProviderSettings
from tests.cli.running import ftops, write_job


@pytest.fixture
def models(temporary_home: Path) -> Path:
    """Where a user's own figures are looked for."""
    temporary_home.mkdir(parents=True)
    return temporary_home / "models.toml"


def test_a_price_is_shown_with_its_date_and_its_source(tmp_path: Path, models: Path) -> None:
    job = write_job(tmp_path, provider="openai", model="gpt-4.1-mini-2025-04-14")
    answer = ftops("run", job, "--dry-run")
    assert "$5 per million trained tokens, as of 2026-11-22 (the list of ftops)" in answer.out
    assert "no new jobs from 2027-01-06 on, shut down on 2027-01-14" in answer.out
    models.write_text('as_of = 2026-12-24\n[openai."gpt-4.1-mini"]\ntrain_usd = 500\n')
    answer = ftops("check", job)
    assert "$500 per million trained tokens, as of 2026-12-24" in answer.out
    assert "models.toml" in answer.out.replace("\n", "").replace(" ", "")
    figures = ftops("check", job, "--json").document["model_info"]
    assert isinstance(figures, dict)
    assert figures["train_usd"] == {
        "value": 500,
        "as_of": "2026-12-24",
        "source": str(models),
        "confirmed": True,
    }


def test_the_built_in_engine_is_for_nothing(tmp_path: Path) -> None:
    answer = ftops("check", write_job(tmp_path, "limits: {max_cost_usd: 0}\n"))
    assert answer.code == 0
    assert "per million trained tokens" not in answer.out
    figures = ftops("check", tmp_path / "job.yaml", "--json").document["model_info"]
    assert isinstance(figures, dict)
    assert isinstance(figures["train_usd"], dict)
    assert figures["train_usd"]["value"] == 0


def test_an_unknown_price_and_a_cost_limit_are_refused_with_lines_that_help(
    tmp_path: Path, models: Path
) -> None:
    provider = "{type: openai, base_url: 'http://127.0.0.1:9/v1'}"
    job = write_job(tmp_path, "limits: {max_cost_usd: 5}\n", provider=provider, model="gpt-4.1")
    for command in (("check", job), ("run", job, "--dry-run")):
        answer = ftops(*command)
        assert answer.code == 1
        assert "the price of training gpt-4.1 is not known" in answer.err
        assert str(models) in answer.err
    assert "unknown: no price for this model and provider" in answer.out
    lines = answer.err.partition("\n\n")[2]
    assert tomllib.loads(lines.replace("PRICE", "1"))["127.0.0.1:9"]
    error = ftops("check", job, "--json").error
    assert str(error["hint"]).endswith("train_usd = PRICE")
    models.write_text(lines.replace("PRICE", "1"))
    assert ftops("check", job).code == 0


def test_a_wrong_file_is_told_before_anything_is_sent(tmp_path: Path, models: Path) -> None:
    models.write_text("as_of = 2026-12-24\n[openai.ada]\ntrain_us = 1\n")
    for command in (("check",), ("run", "--dry-run"), ("run",)):
        answer = ftops(command[0], write_job(tmp_path), *command[1:])
        assert answer.code == 1
        assert f"{models}:3: unknown key 'train_us', did you mean 'train_usd'?" in answer.err
    assert not (models.parent / "engine").exists()


def test_the_largest_example_is_known_without_a_job_file(models: Path) -> None:
    settings = ProviderSettings("openai")
    found = find_example_limit(settings, "gpt-4o-mini-2024-07-18")
    assert found is not None
    assert (found.tokens, found.origin.source) == (65_536, "ftops")
    assert find_example_limit(settings, "unheard-of") is None
    models.write_text("as_of = 2026-12-24\n[openai.unheard-of]\nmax_example_tokens = 9\n")
    own = find_example_limit(settings, "unheard-of")
    assert own is not None
    assert (own.tokens, own.origin.source) == (9, str(models))
