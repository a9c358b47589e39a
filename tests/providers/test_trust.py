"""A key is sent to an address of a job file only when the user has approved that pair."""

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import respx

from ftops.errors import AuthFailed, NotTrusted, ProviderError, StorageError
from ftops.providers.address import OPENAI, Destination
from ftops.providers.provider import ProviderContext
from ftops.providers.registry import build_provider, find_destination
from ftops.providers.trust import Approval, Trust, TrustFile, make_approval
from ftops.records import ProviderSettings
from tests.fakes import FakeClock
from tests.providers.conftest import KEY, Bench

LLM = Destination("https://llm.example/v1", "LLM_KEY")
ENVIRON = {"LLM_KEY": KEY, "OPENAI_API_KEY": KEY}


def make_destination(base_url: str) -> Destination:
    settings = ProviderSettings("openai", base_url=base_url, api_key_env="ANY_KEY")
    return OPENAI.get_destination(settings, {})


@pytest.fixture
def file(tmp_path: Path) -> TrustFile:
    return TrustFile(tmp_path / "home")


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.openai.com/v1",
        "https://API.OpenAI.com:443/v1",
        "https://eu.api.openai.com/v1",
        "http://127.0.0.1:8000/v1",
        "http://localhost:8000/v1",
        "http://[::1]:8000/v1",
    ],
)
def test_the_official_address_and_loopback_need_no_approval(file: TrustFile, base_url: str) -> None:
    Trust(file).check(make_destination(base_url))
    assert not file.path.exists()


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.openai.com/v1",
        "https://api.openai.com:8443/v1",
        "https://api.openai.com.example/v1",
        "https://myapi.openai.com.example/v1",
        "https://notapi.openai.com/v1",
        "https://openai.com/v1",
        "https://127.0.0.1.example/v1",
        "https://localhost.example/v1",
        "https://0.0.0.0/v1",
        "https://169.254.169.254/v1",
        "https://128.0.0.1/v1",
        "https://[2001:db8::1]/v1",
    ],
)
def test_similar_addresses_need_approval(file: TrustFile, base_url: str) -> None:
    with pytest.raises(NotTrusted, match="is not approved"):
        Trust(file).check(make_destination(base_url))


@pytest.mark.parametrize(
    "other",
    [
        Destination("https://llm.example/v1", "AWS_SECRET_ACCESS_KEY"),
        Destination("https://llm.example:444/v1", "LLM_KEY"),
        Destination("http://llm.example/v1", "LLM_KEY"),
        Destination("http://llm.example:443/v1", "LLM_KEY"),
        Destination("https://sub.llm.example/v1", "LLM_KEY"),
        Destination("https://llm.example.org/v1", "LLM_KEY"),
    ],
)
def test_an_approval_is_valid_for_one_scheme_host_port_and_key(
    file: TrustFile, other: Destination
) -> None:
    file.add([make_approval(LLM)])
    trust = Trust(file)
    trust.check(LLM)
    trust.check(replace(LLM, base_url="https://LLM.example:443/other/path"))
    with pytest.raises(NotTrusted) as caught:
        trust.check(other)
    assert f"--api-key-env {other.key_variable}" in caught.value.hint
    file.remove([make_approval(LLM)])
    with pytest.raises(NotTrusted):
        trust.check(LLM)


def test_the_file_is_private_and_keeps_approvals_of_several_commands(file: TrustFile) -> None:
    approvals = [Approval("https", f"host-{number}.example", 443, "K") for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda approval: file.add([approval]), approvals))
    assert file.read() == sorted(approvals)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "approved = 1",
        "[[approved]]\nhost = 'llm.example'",
        "[[approved]]\nscheme='https'\nhost='*'\nport=443\napi_key_env='K'",
        "[[approved]]\nscheme='https'\nhost='llm.example'\nport='443'\napi_key_env='K'",
        "not toml",
    ],
)
def test_a_damaged_file_approves_nothing_and_is_named(file: TrustFile, text: str) -> None:
    file.path.parent.mkdir()
    file.path.write_text(text)
    with pytest.raises(StorageError, match=r"trust\.toml") as caught:
        Trust(file).check(LLM)
    assert "ftops trust" in caught.value.hint


def test_an_address_of_the_environment_gets_the_key_of_the_environment(file: TrustFile) -> None:
    trust, settings = Trust(file), ProviderSettings("openai")
    environ = {"OPENAI_BASE_URL": "https://llm.example/v1"}
    trust.check(OPENAI.get_destination(settings, environ))
    with pytest.raises(NotTrusted):
        trust.check(OPENAI.get_destination(replace(settings, api_key_env="LLM_KEY"), environ))
    plain = OPENAI.get_destination(settings, {"OPENAI_BASE_URL": "http://llm.example/v1"})
    with pytest.raises(NotTrusted, match="not encrypted") as caught:
        trust.check(plain)
    assert "--allow-http" in caught.value.hint


def test_a_typed_address_is_approved_for_its_key_only(file: TrustFile) -> None:
    Trust(file, typed=LLM).check(LLM)
    with pytest.raises(NotTrusted):
        Trust(file, typed=LLM).check(replace(LLM, key_variable="OTHER_KEY"))
    plain = Destination("http://llm.example/v1", "LLM_KEY")
    Trust(file, typed=plain).check(plain)  # the user typed the scheme too
    with pytest.raises(NotTrusted):
        Trust(file).check(plain)
    file.add([make_approval(plain)])
    Trust(file).check(plain)
    assert not file.path.with_suffix(".tmp").exists()


@pytest.mark.parametrize("protocol", ["current", "legacy"])
def test_no_request_leaves_before_the_approval(bench: Bench, protocol: str) -> None:
    settings = ProviderSettings("openai", LLM.base_url, "LLM_KEY", protocol=protocol)  # type: ignore[arg-type]
    bench.environ = ENVIRON
    with respx.MockRouter(base_url=LLM.base_url) as router:
        bench.api.route(host="llm.example").mock(side_effect=router.handler)
        route = router.get("/models/ada").respond(json={"id": "ada"})
        for call in (
            lambda provider: provider.ensure_ready(),
            lambda provider: provider.get_job("ftjob-1"),
            lambda provider: provider.get_model("ada"),
            lambda provider: provider.cancel_job("ftjob-1"),
            lambda provider: list(provider.list_files()),
        ):
            with pytest.raises(NotTrusted, match="the key in LLM_KEY"):
                call(bench.build(settings))
        assert route.calls.call_count == 0
        TrustFile(bench.home).add([make_approval(LLM)])
        bench.build(settings).get_model("ada")
    assert route.calls[0].request.headers["authorization"] == f"Bearer {KEY}"


def test_the_default_key_is_only_for_the_official_address() -> None:
    elsewhere = ProviderSettings("openai", base_url="https://llm.example/v1")
    with pytest.raises(ProviderError, match="no key is named") as caught:
        find_destination(elsewhere, ENVIRON)
    assert "api_key_env" in caught.value.hint
    loopback = find_destination(
        ProviderSettings("openai", base_url="http://localhost:1/v1"), ENVIRON
    )
    assert loopback == Destination("http://localhost:1/v1", None)
    own = find_destination(ProviderSettings("openai"), ENVIRON)
    assert own == Destination("https://api.openai.com/v1", "OPENAI_API_KEY", is_approved=True)
    named = {**ENVIRON, "OPENAI_BASE_URL": "https://llm.example/v1/"}
    destination = find_destination(elsewhere, named)
    assert destination == Destination(LLM.base_url, "OPENAI_API_KEY", is_approved=True)
    assert find_destination(ProviderSettings("local"), ENVIRON) is None


def test_a_loopback_server_gets_no_key_unless_one_is_named(bench: Bench) -> None:
    settings = ProviderSettings("openai", base_url="http://127.0.0.1:9/v1")
    with respx.MockRouter(base_url="http://127.0.0.1:9/v1") as router:
        bench.api.route(host="127.0.0.1").mock(side_effect=router.handler)
        route = router.get("/models/ada").respond(json={"id": "ada"})
        bench.build(settings).get_model("ada")
        bench.build(replace(settings, api_key_env="OPENAI_API_KEY")).get_model("ada")
    sent = [call.request.headers["authorization"] for call in route.calls]
    assert sent == ["Bearer none", f"Bearer {KEY}"]


def test_a_missing_key_is_reported_after_the_approval(tmp_path: Path) -> None:
    settings = ProviderSettings("openai", LLM.base_url, "LLM_KEY")
    context = ProviderContext({}, tmp_path, FakeClock(), typed=settings)
    with pytest.raises(AuthFailed, match="LLM_KEY is not set"):
        build_provider(settings, context).ensure_ready()


@pytest.mark.parametrize(
    "base_url",
    [
        "https://me@host/v1",
        "https://me:pw-hidden@host/v1",
        "https://host/v1?api_key=pw-hidden",
        "https://host/v1#pw-hidden",
        "https://api.openai.com\\@host/v1",
        "https://api.openai.com\t.example/v1",
        "https://api.openai.com%2eexample/v1",
        "https://аpi.openai.com/v1",  # the first letter is Cyrillic
        "https://host\\.example/v1",
        "https://[::1].example/v1",
        "https://host:/v1",
    ],
)
def test_an_ambiguous_address_is_refused(bench: Bench, base_url: str) -> None:
    with pytest.raises(ProviderError) as caught:
        bench.build(ProviderSettings("openai", base_url, "LLM_KEY"))
    assert "pw-hidden" not in caught.value.message + caught.value.hint


def test_a_trailing_dot_is_the_same_host() -> None:
    assert OPENAI.is_own("https://api.openai.com./v1")
