"""Prices, limits and dates of models: which source applies, and what is unknown."""

import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ftops.engine.tiny.config import CONTEXT_LENGTH
from ftops.errors import ModelsFileError
from ftops.providers.model_catalog import (
    MODEL_FIELDS,
    ModelCatalog,
    ModelInfo,
    Origin,
    find_last_date,
)
from ftops.providers.registry import list_catalog_tables
from ftops.records import ProviderSettings
from tests.fakes import FakeClock
from tests.providers.conftest import Bench

DAY = date(2026, 11, 22)
OPENAI = ("openai",)
FOREIGN = ("llm.example.com:443", "llm.example.com")


def find_info(home: Path, model: str, tables: tuple[str, ...] = OPENAI) -> ModelInfo:
    return ModelCatalog(home, FakeClock()).get_model_info(tables, model)


def write_models_file(home: Path, text: str) -> Path:
    path = home / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_values_of_ftops_have_a_date_and_a_source(tmp_path: Path) -> None:
    info = find_info(tmp_path, "gpt-4o-2024-08-06")
    assert (info.train_usd, info.input_usd, info.output_usd) == (25.0, 3.75, 15.0)
    assert info.origins["train_usd"] == Origin(DAY, "ftops")
    assert (info.no_jobs_from, info.shutdown) == (date(2027, 1, 6), date(2027, 1, 14))
    assert info.price_advice == ""
    assert set(info.to_json()) == set(MODEL_FIELDS)
    assert info.to_json()["shutdown"] == {
        "value": "2027-01-14",
        "as_of": "2026-11-22",
        "source": "ftops",
        "confirmed": True,
        "reference": None,
    }


def test_a_name_covers_its_snapshots_and_a_snapshot_adds_values(
    tmp_path: Path,
) -> None:
    info = find_info(tmp_path, "gpt-4.1-mini-2025-04-14")
    assert (info.train_usd, info.shutdown) == (5.0, date(2027, 1, 14))
    old = find_info(tmp_path, "gpt-3.5-turbo-1106")
    assert (old.train_usd, old.max_example_tokens) == (8.0, 16_385)
    assert old.shutdown == date(2026, 9, 28)
    assert find_info(tmp_path, "gpt-3.5-turbo-0125").shutdown == date(2026, 10, 23)


@pytest.mark.parametrize("model", ["ada", "babbage", "curie", "davinci", "ft:curie:acme:x:1"])
def test_examples_of_legacy_models_have_at_most_2048_tokens(tmp_path: Path, model: str) -> None:
    limit = find_info(tmp_path, model).find_example_limit()
    assert limit is not None
    assert (limit.tokens, limit.origin.confirmed) == (2048, True)


def test_an_unpublished_limit_is_marked(tmp_path: Path) -> None:
    expected = find_info(tmp_path, "gpt-4.1").find_example_limit()
    stated = find_info(tmp_path, "gpt-4o-mini").find_example_limit()
    assert expected is not None
    assert stated is not None
    assert (expected.tokens, expected.origin.confirmed) == (65_536, False)
    assert (stated.tokens, stated.origin.confirmed) == (65_536, True)
    assert find_info(tmp_path, "gpt-9").find_example_limit() is None


def test_the_built_in_engine_costs_nothing_and_has_its_own_context(tmp_path: Path) -> None:
    info = find_info(tmp_path, "whatever", ("local",))
    assert (info.train_usd, info.max_example_tokens) == (0, CONTEXT_LENGTH)


def test_a_user_can_replace_a_single_value(tmp_path: Path) -> None:
    path = write_models_file(tmp_path, 'as_of = 2026-12-01\n[openai."gpt-4.1"]\ntrain_usd = 20\n')
    info = find_info(tmp_path, "gpt-4.1-2025-04-14")
    assert (info.train_usd, info.input_usd) == (20, 3.0)
    assert info.origins["train_usd"] == Origin(date(2026, 12, 1), str(path))
    assert info.origins["input_usd"].source == "ftops"
    assert find_info(tmp_path, "gpt-4o-mini").train_usd == 3.0


def test_the_most_specific_name_applies_first(tmp_path: Path) -> None:
    write_models_file(
        tmp_path,
        "as_of = 2026-12-01\n"
        '[openai."*"]\ntrain_usd = 1\nmax_example_tokens = 10\n'
        '[openai."gpt-*"]\ntrain_usd = 2\ninput_usd = 2\n'
        '[openai."gpt-5"]\ntrain_usd = 3\n'
        '[openai."gpt-5-2026-01-01"]\noutput_usd = 4\n'
        '[openai."ft:gpt-5:acme::1"]\ntrain_usd = 9\n',
    )
    info = find_info(tmp_path, "gpt-5-2026-01-01")
    assert (info.output_usd, info.train_usd, info.input_usd) == (4, 3, 2)
    assert info.max_example_tokens == 10
    assert find_info(tmp_path, "llama").train_usd == 1
    assert find_info(tmp_path, "ft:gpt-5:acme::1").train_usd == 9
    assert find_info(tmp_path, "ft:gpt-5:acme::2").train_usd == 3


@pytest.mark.parametrize(
    ("provider", "model", "train_usd", "as_of", "is_confirmed"),
    [
        ("nebius", "meta-llama/Llama-3.1-8B-Instruct", 0.40, date(2026, 8, 20), True),
        ("nebius", "Qwen/Qwen3-14B", 0.40, date(2026, 8, 20), True),
        ("nebius", "meta-llama/Llama-3.3-70B-Instruct", 2.80, date(2026, 2, 1), False),
        ("nebius", "Qwen/Qwen3-Coder-30B-A3B-Instruct", 2.80, date(2026, 2, 1), False),
        ("crusoe", "meta-llama/Llama-3.1-8B-Instruct", 0.40, date(2026, 9, 20), True),
        ("crusoe", "openai/gpt-oss-120b", 6.00, date(2026, 9, 20), True),
    ],
)
def test_prices_have_the_date_and_the_reference_of_their_source(
    tmp_path: Path, provider: str, model: str, train_usd: float, as_of: date, is_confirmed: bool
) -> None:
    info = ModelCatalog(tmp_path, FakeClock()).get_model_info((provider,), model)
    origin = info.origins["train_usd"]
    assert (info.train_usd, origin.as_of, origin.confirmed) == (train_usd, as_of, is_confirmed)
    assert origin.reference


def test_a_price_that_is_not_published_is_left_out(tmp_path: Path) -> None:
    catalogue = ModelCatalog(tmp_path, FakeClock())
    assert catalogue.get_model_info(("nebius",), "deepseek-ai/DeepSeek-V3").train_usd is None
    assert catalogue.get_model_info(("crusoe",), "Qwen/Qwen3.5-9B").train_usd is None


def test_only_an_asterisk_is_a_wildcard(tmp_path: Path) -> None:
    write_models_file(tmp_path, 'as_of = 2026-12-01\n[openai."m[ab]?*"]\ntrain_usd = 1\n')
    assert find_info(tmp_path, "m[ab]?x").train_usd == 1
    assert find_info(tmp_path, "max").train_usd is None


def test_a_custom_server_has_only_the_prices_of_its_host(tmp_path: Path) -> None:
    assert find_info(tmp_path, "gpt-4.1", FOREIGN).to_json() == {}
    write_models_file(
        tmp_path,
        "as_of = 2026-12-01\n"
        '[openai."*"]\ntrain_usd = 7\n'
        '["llm.example.com"."gpt-4.1"]\ntrain_usd = 1\noutput_usd = 2\n'
        '["llm.example.com:443"."gpt-4.1"]\ntrain_usd = 3\n',
    )
    info = find_info(tmp_path, "gpt-4.1", FOREIGN)
    assert (info.train_usd, info.output_usd, info.input_usd) == (3, 2, None)


@pytest.mark.parametrize(
    ("base_url", "tables"),
    [
        (None, ("api.openai.com:443", "api.openai.com", "openai")),
        ("https://eu.api.openai.com/v1", ("eu.api.openai.com:443", "eu.api.openai.com", "openai")),
        ("https://notapi.openai.com/v1", ("notapi.openai.com:443", "notapi.openai.com")),
        (
            "http://api.openai.com.x/v1",
            ("api.openai.com.x:80", "api.openai.com.x"),
        ),
        ("http://LLM:8000/v1", ("llm:8000", "llm")),
        ("http://[::1]:8000/v1", ("[::1]:8000", "[::1]")),
    ],
)
def test_only_the_openai_host_uses_the_openai_table(
    base_url: str | None, tables: tuple[str, ...]
) -> None:
    assert list_catalog_tables(ProviderSettings("openai", base_url=base_url), {}) == tables


def test_the_address_can_come_from_the_environment() -> None:
    environ = {"OPENAI_BASE_URL": "https://llm.example.com/v1"}
    assert list_catalog_tables(ProviderSettings("openai"), environ) == FOREIGN
    assert list_catalog_tables(ProviderSettings("local"), environ) == ("local",)


@pytest.mark.parametrize(
    ("base_url", "table"),
    [
        (None, "openai"),
        ("https://llm.example.com/v1", "llm.example.com"),
        ("https://llm.example.com:8443/v1", "llm.example.com:8443"),
        ("http://llm/v1", "llm:80"),
        ("http://localhost/v1", "localhost"),
    ],
)
@pytest.mark.parametrize("before", ["", "as_of = 2026-12-01\n"], ids=["no file", "a file"])
def test_lines_for_an_unknown_price_can_be_pasted(
    tmp_path: Path, base_url: str | None, table: str, before: str
) -> None:
    path = write_models_file(tmp_path, before) if before else tmp_path / "models.toml"
    tables = list_catalog_tables(ProviderSettings("openai", base_url=base_url), {})
    advice = find_info(tmp_path, "some/model.v2", tables).price_advice
    head, _, lines = advice.partition("\n\n")
    assert str(path) in head
    pasted = before + lines.replace("PRICE", "1.5") + "\n"
    assert tomllib.loads(pasted)[table] == {"some/model.v2": {"train_usd": 1.5}}
    write_models_file(tmp_path, pasted)
    info = find_info(tmp_path, "some/model.v2", tables)
    assert (info.train_usd, info.price_advice) == (1.5, "")


def test_an_existing_table_gets_a_line_and_no_second_table(tmp_path: Path) -> None:
    write_models_file(tmp_path, "as_of = 2026-12-01\n[openai.mine]\nmax_example_tokens = 5\n")
    head, _, lines = find_info(tmp_path, "ft:mine:acme::1").price_advice.partition("\n\n")
    assert "to the table [openai.mine] of" in head
    assert lines == "train_usd = PRICE"


def test_pasted_lines_without_a_price_are_refused_with_their_position(tmp_path: Path) -> None:
    lines = find_info(tmp_path, "mine").price_advice.partition("\n\n")[2]
    path = write_models_file(tmp_path, lines)
    with pytest.raises(ModelsFileError, match=r"models\.toml:3:13: invalid TOML: Invalid value"):
        find_info(tmp_path, "mine")
    assert path.read_text() == lines


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "models.toml").mkdir()
    with pytest.raises(ModelsFileError, match=r"models\.toml: cannot be read"):
        find_info(tmp_path, "ada")


def test_an_invalid_file_affects_only_prices_and_limits(bench: Bench) -> None:
    write_models_file(bench.home, "no toml")
    bench.api.get("/models/ada").respond(json={"id": "ada"})
    provider = bench.build()
    assert provider.get_model("ada").id == "ada"
    with pytest.raises(ModelsFileError, match=r"models\.toml:1:4"):
        provider.get_model_info("ada")


def test_a_provider_reads_the_file_of_its_home(bench: Bench) -> None:
    write_models_file(bench.home, 'as_of = 2026-12-01\n["127.0.0.1:9"."gpt-4.1"]\ntrain_usd = 2\n')
    foreign = bench.build(ProviderSettings("openai", base_url="http://127.0.0.1:9/v1"))
    assert foreign.get_model_info("ft:gpt-4.1:acme::1").train_usd == 2
    assert bench.build().get_model_info("gpt-4.1").train_usd == 25.0


def test_trainable_snapshots_are_listed_until_they_end(tmp_path: Path) -> None:
    write_models_file(tmp_path, "as_of = 2026-11-22\n[openai.our-base]\ntrain_usd = 1\n")

    def names(day: datetime) -> list[str]:
        return list(ModelCatalog(tmp_path, FakeClock(day)).list_trainable("openai"))

    before = names(datetime(2026, 9, 1, tzinfo=UTC))
    assert before[0] == "our-base"
    assert {"gpt-4o-mini-2024-07-18", "gpt-3.5-turbo-0125", "davinci-002"} <= set(before)
    assert not {"gpt-4o-mini", "gpt-3.5-turbo", "ada"} & set(before)
    assert "davinci-002" not in names(datetime(2026, 9, 28, tzinfo=UTC))
    assert names(datetime(2027, 1, 14, tzinfo=UTC)) == ["our-base"]


def test_the_last_days_of_a_provider_are_those_of_its_models() -> None:
    assert find_last_date("openai", "shutdown") == date(2027, 1, 14)
    assert find_last_date("openai", "no_jobs_from") == date(2027, 1, 6)
    assert find_last_date("nobody", "shutdown") is None


def test_an_added_base_model_has_its_own_context_length(tmp_path: Path) -> None:
    path = tmp_path / "engine" / "base_models" / "small" / "base.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"context_length": 8192}')
    catalogue = ModelCatalog(tmp_path, FakeClock())

    for model in ("small", "ft:small:local:name:1"):
        info = catalogue.get_model_info(("local",), model)
        assert (info.max_example_tokens, info.train_usd) == (8192, 0)
        assert info.origins["max_example_tokens"].source == str(path)
    assert catalogue.get_model_info(("openai",), "small").max_example_tokens is None
    assert list(catalogue.list_trainable("local")) == ["small"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"context_length": "many"}'])
def test_a_damaged_description_of_a_base_model_is_skipped(tmp_path: Path, content: str) -> None:
    path = tmp_path / "engine" / "base_models" / "small" / "base.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)

    assert list(ModelCatalog(tmp_path, FakeClock()).list_trainable("local")) == []
