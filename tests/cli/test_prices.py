"""Prices in `ftops check`, in a dry run, and with a cost limit."""

import tomllib
from pathlib import Path

import pytest

from ftops.cli.factory import find_example_limit
from ftops.records import ProviderSettings
from tests.cli.running import ftops, write_job


@pytest.fixture
def models(temporary_home: Path) -> Path:
    """The file with a user's own figures."""
    temporary_home.mkdir(parents=True)
    return temporary_home / "models.toml"


def test_a_price_is_shown_with_date_and_source(tmp_path: Path, models: Path) -> None:
    job = write_job(tmp_path, provider="openai", model="gpt-4.1-mini-2025-04-14")
    result = ftops("run", job, "--dry-run")
    assert "$5 per million trained tokens, as of 2026-11-22 (the list of ftops)" in result.out
    assert "no new jobs from 2027-01-06 on, shut down on 2027-01-14" in result.out
    models.write_text('as_of = 2026-12-24\n[openai."gpt-4.1-mini"]\ntrain_usd = 500\n')
    result = ftops("check", job)
    assert "$500 per million trained tokens, as of 2026-12-24" in result.out
    assert "models.toml" in result.out.replace("\n", "").replace(" ", "")
    figures = ftops("check", job, "--json").document["model_info"]
    assert isinstance(figures, dict)
    assert figures["train_usd"] == {
        "value": 500,
        "as_of": "2026-12-24",
        "source": str(models),
        "confirmed": True,
        "reference": None,
    }


def test_the_built_in_engine_is_free(tmp_path: Path) -> None:
    result = ftops("check", write_job(tmp_path, "limits: {max_cost_usd: 0}\n"))
    assert result.code == 0
    assert "per million trained tokens" not in result.out
    figures = ftops("check", tmp_path / "job.yaml", "--json").document["model_info"]
    assert isinstance(figures, dict)
    assert isinstance(figures["train_usd"], dict)
    assert figures["train_usd"]["value"] == 0


def test_a_cost_limit_with_an_unknown_price_is_refused_with_lines_to_add(
    tmp_path: Path, models: Path
) -> None:
    provider = "{type: openai, base_url: 'http://127.0.0.1:9/v1'}"
    job = write_job(tmp_path, "limits: {max_cost_usd: 5}\n", provider=provider, model="gpt-4.1")
    for command in (("check", job), ("run", job, "--dry-run")):
        result = ftops(*command)
        assert result.code == 1
        assert "the price of training gpt-4.1 is not known" in result.err
        assert str(models) in result.err
    assert "unknown: no price for this model and provider" in result.out
    lines = result.err.partition("\n\n")[2]
    assert tomllib.loads(lines.replace("PRICE", "1"))["127.0.0.1:9"]
    error = ftops("check", job, "--json").error
    assert str(error["hint"]).endswith("train_usd = PRICE")
    models.write_text(lines.replace("PRICE", "1"))
    assert ftops("check", job).code == 0


def test_an_invalid_file_is_reported_before_anything_is_sent(tmp_path: Path, models: Path) -> None:
    models.write_text("as_of = 2026-12-24\n[openai.ada]\ntrain_us = 1\n")
    for command in (("check",), ("run", "--dry-run"), ("run",)):
        result = ftops(command[0], write_job(tmp_path), *command[1:])
        assert result.code == 1
        assert f"{models}:3: unknown key 'train_us', did you mean 'train_usd'?" in result.err
    assert not (models.parent / "engine").exists()


def test_the_limit_of_an_example_is_known_without_a_job_file(models: Path) -> None:
    settings = ProviderSettings("openai")
    limit = find_example_limit(settings, "gpt-4o-mini-2024-07-18")
    assert limit is not None
    assert (limit.tokens, limit.origin.source) == (65_536, "ftops")
    assert find_example_limit(settings, "unheard-of") is None
    models.write_text("as_of = 2026-12-24\n[openai.unheard-of]\nmax_example_tokens = 9\n")
    user_limit = find_example_limit(settings, "unheard-of")
    assert user_limit is not None
    assert (user_limit.tokens, user_limit.origin.source) == (9, str(models))
