"""Providers by name: their capabilities, key, address and account."""

import subprocess
import sys
from dataclasses import fields, replace

import pytest
import respx

from ftops.errors import AuthFailed, ProviderError
from ftops.providers.registry import (
    CLOSED_PROVIDERS,
    PROVIDERS,
    get_capabilities,
    require_weights,
)
from ftops.records import (
    PRETRAINED_ONLY,
    Hyperparameters,
    JobProtocol,
    JobRequest,
    ProviderSettings,
    RowFormat,
)
from tests.providers.conftest import KEY, Bench


def test_reading_capabilities_imports_neither_the_client_nor_tenacity() -> None:
    code = (
        "import sys\n"
        "from ftops.providers.registry import get_capabilities\n"
        "from ftops.providers.engine_process import find_engine\n"
        "from ftops.records import ProviderSettings\n"
        "for name in ('openai', 'local'): get_capabilities(ProviderSettings(name))\n"
        "print([name for name in ('openai', 'httpx2', 'tenacity') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


def test_each_provider_has_capabilities() -> None:
    local = get_capabilities(ProviderSettings("local"))
    assert (local.suffix_max, local.min_rows, local.needs_key) == (64, 1, False)
    assert "classification_betas" in local.hyperparameters
    assert local.poll_every_s == 0.3
    remote = get_capabilities(ProviderSettings("openai"))
    assert (remote.suffix_max, remote.min_rows, remote.needs_key) == (64, 10, True)
    figures = {"n_epochs", "batch_size", "learning_rate_multiplier", "beta"}
    assert remote.hyperparameters == figures
    assert remote.methods == local.methods == {"supervised", "dpo"}
    assert all(entry.summary for entry in PROVIDERS.values())


@pytest.mark.parametrize("name", ["local", "openai"])
def test_the_legacy_protocol_has_its_own_capabilities(name: str) -> None:
    takes = get_capabilities(ProviderSettings(name, protocol="legacy"))
    assert takes.hyperparameters == {field.name for field in fields(Hyperparameters)} - {
        "beta",
        *PRETRAINED_ONLY,
    }
    assert (takes.suffix_max, takes.metadata, takes.seed, takes.chats) == (40, False, False, False)
    assert takes.needs_key == get_capabilities(ProviderSettings(name)).needs_key
    assert takes.auto_epochs is not None
    assert [takes.auto_epochs.estimate(rows) for rows in (0, 1, 1_000_000)] == [4, 4, 4]


def test_a_closed_provider_is_refused_with_its_date_and_what_comes_nearest() -> None:
    with pytest.raises(ProviderError) as caught:
        get_capabilities(ProviderSettings("mistral"))
    assert "mistral has taken no new fine-tuning jobs since 2026-07-06" in caught.value.message
    assert "Nearest to it: " in caught.value.hint
    assert "local" in caught.value.hint
    assert not PROVIDERS.keys() & CLOSED_PROVIDERS.keys()


def test_a_provider_without_weights_is_refused_with_those_that_offer_them() -> None:
    able = [name for name, entry in PROVIDERS.items() if entry.capabilities.weights]
    for name in able:
        require_weights(ProviderSettings(name))
    with pytest.raises(ProviderError, match="'openai' offers no weights") as caught:
        require_weights(ProviderSettings("openai"))
    assert all(name in caught.value.hint for name in able)
    with pytest.raises(ProviderError) as caught:
        require_weights(ProviderSettings("local"))
    assert "ftops models export" in caught.value.hint


def test_a_protocol_of_a_later_version_is_refused() -> None:
    settings = ProviderSettings("local", protocol="next")  # type: ignore[arg-type]
    with pytest.raises(ProviderError, match="does not speak the next protocol") as caught:
        get_capabilities(settings)
    assert "current, legacy" in caught.value.hint


def test_both_protocols_of_a_provider_share_account_and_files(bench: Bench) -> None:
    protocols: tuple[JobProtocol, ...] = ("current", "legacy")
    elsewhere = ProviderSettings("openai", base_url="https://x/v1", api_key_env="X_KEY")
    accounts = {
        bench.build(replace(elsewhere, protocol=protocol)).account for protocol in protocols
    }
    assert len(accounts) == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("opanai", "Did you mean 'openai'?"),
        ("Local", "Did you mean 'local'?"),
        ("", "local, nebius"),
    ],
)
def test_an_unknown_provider_error_suggests_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(ProviderError, match="there is no provider") as caught:
        get_capabilities(ProviderSettings(name))
    assert hint in caught.value.hint


def test_a_setting_that_would_be_ignored_is_refused() -> None:
    with pytest.raises(ProviderError, match="'local' takes no 'base_url'"):
        get_capabilities(ProviderSettings("local", base_url="http://127.0.0.1:1/v1"))


def test_a_missing_key_is_reported_when_it_is_needed(bench: Bench) -> None:
    bench.environ = {}
    provider = bench.build()
    assert provider.capabilities.min_rows == 10
    assert provider.account == "openai:https://api.openai.com/v1::"
    assert provider.row_format("gpt-4.1") is RowFormat.CHAT
    for call in (provider.ensure_ready, lambda: provider.get_job("ftjob-1")):
        with pytest.raises(AuthFailed, match="OPENAI_API_KEY is not set"):
            call()
    named = bench.build(ProviderSettings("openai", api_key_env="BEDROCK_KEY"))
    with pytest.raises(AuthFailed, match="BEDROCK_KEY") as caught:
        named.ensure_ready()
    assert "BEDROCK_KEY" in caught.value.hint


@pytest.mark.parametrize("key", ["sk-ключ", "sk-\nhidden", "sk-“quoted”"])
def test_a_key_with_invalid_characters_is_refused_without_showing_it(
    bench: Bench, key: str
) -> None:
    bench.environ = {"OPENAI_API_KEY": key}
    with pytest.raises(AuthFailed) as caught:
        bench.build().ensure_ready()
    assert key not in caught.value.message


def test_space_around_a_key_is_removed(bench: Bench, api: respx.MockRouter) -> None:
    bench.environ = {"OPENAI_API_KEY": f" {KEY}\n"}
    route = api.get("/models/ada").respond(json={"id": "ada"})
    bench.build().get_model("ada")
    assert route.calls[0].request.headers["authorization"] == f"Bearer {KEY}"


def test_address_organisation_and_project_come_from_the_passed_environment(
    bench: Bench,
) -> None:
    bench.environ = {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": "https://gateway.example/v1/",
        "OPENAI_ORG_ID": "org-1",
        "OPENAI_PROJECT_ID": "proj-1",
    }
    with respx.MockRouter(base_url="https://gateway.example/v1") as router:
        bench.api.route(host="gateway.example").mock(side_effect=router.handler)
        route = router.get("/models/ada").respond(json={"id": "ada"})
        provider = bench.build()
        provider.get_model("ada")
    headers = route.calls[0].request.headers
    assert headers["openai-organization"] == "org-1"
    assert headers["openai-project"] == "proj-1"
    assert provider.account == "openai:https://gateway.example/v1:org-1:proj-1"
    assert provider.get_model_info("gpt-4.1").train_usd is None


def test_the_job_file_overrides_the_environment(bench: Bench) -> None:
    bench.environ = {"OPENAI_BASE_URL": "https://gateway.example/v1", "OPENAI_ORG_ID": "org-1"}
    settings = ProviderSettings(
        "openai", "https://other.example/openai/v1", "OTHER_KEY", organization="org-2", project="p"
    )
    assert bench.build(settings).account == "openai:https://other.example/openai/v1:org-2:p"


def test_the_client_does_not_read_the_process_environment(
    bench: Bench, api: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", "from-the-machine")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer from-the-machine")
    route = api.get("/models/ada").respond(json={"id": "ada"})
    bench.build().get_model("ada")
    headers = route.calls[0].request.headers
    assert headers.get_list("authorization") == [f"Bearer {KEY}"]
    assert "openai-organization" not in headers
    assert "openai-project" not in headers
    assert "from-the-machine" not in str(headers.raw)


@pytest.mark.parametrize(
    "base_url",
    ["api.openai.com/v1", "ftp://host/v1", "https://", "http://[::1", "http://h:99999/v1", "  "],
)
def test_an_invalid_address_is_refused(bench: Bench, base_url: str) -> None:
    with pytest.raises(ProviderError, match="is not a valid server address"):
        bench.build(ProviderSettings("openai", base_url=base_url))


def test_a_secret_in_the_address_is_refused_without_showing_it(bench: Bench) -> None:
    with pytest.raises(ProviderError, match="must not contain a user") as caught:
        bench.build(ProviderSettings("openai", base_url="https://me:hidden@host/v1"))
    assert "hidden" not in caught.value.message


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("babbage-002", RowFormat.COMPLETION),
        ("davinci-002", RowFormat.COMPLETION),
        ("ft:davinci-002:acme:news:1", RowFormat.COMPLETION),
        ("gpt-4o-mini", RowFormat.CHAT),
        ("ft:gpt-4.1:acme:news:1", RowFormat.CHAT),
    ],
)
def test_the_row_format_depends_on_the_base_model(
    bench: Bench, model: str, expected: RowFormat
) -> None:
    assert bench.build().row_format(model) is expected
    assert bench.build(ProviderSettings("local")).row_format(model) is RowFormat.COMPLETION


@pytest.mark.parametrize(
    ("base", "usd"),
    [
        ("gpt-4.1", 25.0),
        ("gpt-4.1-2025-04-14", 25.0),
        ("gpt-4.1-mini-2025-04-14", 5.0),
        ("gpt-4o-mini-2024-07-18", 3.0),
        ("gpt-4o-2024-08-06", 25.0),
        ("gpt-3.5-turbo-0125", 8.0),
        ("gpt-4.10", None),
        ("gpt-4o-audio", None),
        ("ada", None),
    ],
)
def test_prices_are_known_or_unknown(bench: Bench, base: str, usd: float | None) -> None:
    assert bench.build().get_model_info(base).train_usd == usd


def test_training_a_fine_tuned_model_costs_the_price_of_its_base(bench: Bench) -> None:
    assert bench.build().get_model_info("ft:gpt-4.1-mini:acme:news:1").train_usd == 5.0
    assert bench.build(ProviderSettings("local")).get_model_info("ada").train_usd == 0


def test_building_a_provider_has_no_side_effects(bench: Bench) -> None:
    for name, entry in PROVIDERS.items():
        own = entry.address is None or entry.address.base_url
        settings = ProviderSettings(
            name,
            base_url=None if own else "https://acme.example/v1",
            project="acme" if "project" in entry.settings else None,
        )
        bench.build(settings).close()
    assert list(bench.home.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "variable"), [("nebius", "NEBIUS_API_KEY"), ("crusoe", "CRUSOE_API_KEY")]
)
def test_a_missing_key_is_named_by_its_variable(bench: Bench, name: str, variable: str) -> None:
    with pytest.raises(AuthFailed, match=f"{variable} is not set"):
        bench.build(ProviderSettings(name)).ensure_ready()


def test_a_gateway_recognises_a_repeated_request_and_takes_a_short_suffix(bench: Bench) -> None:
    bench.environ = {
        "VOLITION_API_KEY": KEY,
        "VOLITION_BASE_URL": "https://gateway.example/v1",
    }
    settings = ProviderSettings("volition")
    assert get_capabilities(settings).free_suffix_max == 18
    with respx.MockRouter(base_url="https://gateway.example/v1") as router:
        bench.api.route(host="gateway.example").mock(side_effect=router.handler)
        job = {"id": "ftjob-1", "status": "queued", "model": "m"}
        route = router.post("/fine_tuning/jobs").respond(json=job)
        request = JobRequest("m", "file-1", idempotency_key="run-1.0")
        assert bench.build(settings).create_job(request).id == "ftjob-1"
    assert route.calls[0].request.headers["idempotency-key"] == "run-1.0"
