"""Invalid proxy and certificate variables are reported before any request."""

import re
import ssl
import sys
from pathlib import Path

import httpx2
import pytest

from ftops.errors import ProviderError, Unreachable
from ftops.http.client import LoggingClient
from ftops.http.environment import check_environment, find_proxy
from ftops.http.request_log import RequestLog
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import ProviderSettings
from tests.fakes import FakeClock
from tests.loopback import serve_loopback
from tests.providers.conftest import KEY


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("ftp://proxy", "its scheme is not one of http, https, socks5, socks5h"),
        ("socks4://proxy:1080", "its scheme"),
        ("http://", "it names no host"),
        ("http://two words", "it names no host"),
        ("http://proxy:x", "'x'"),
        ("proxy:99999", "out of range"),
        ("proxy:0", "0 is not a port"),
        ("http://[::1", "Invalid IPv6 URL"),
    ],
)
def test_an_invalid_proxy_error_names_the_variable(name: str, value: str, reason: str) -> None:
    with pytest.raises(ProviderError, match=re.escape(reason)) as caught:
        check_environment({name: value})
    assert name in caught.value.message
    assert f"unset {name}" in caught.value.hint


def test_a_socks_proxy_error_names_the_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(ProviderError, match="ALL_PROXY names a SOCKS proxy") as caught:
        check_environment({"ALL_PROXY": "socks5://user:hidden@proxy:1080"})
    assert "hidden" not in caught.value.message
    assert "ftops[socks]" in caught.value.hint


def test_a_missing_certificate_error_names_the_variable(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no certificate")
    for path in (tmp_path / "missing.pem", tmp_path, text):
        with pytest.raises(ProviderError, match="SSL_CERT_FILE is invalid"):
            check_environment({"SSL_CERT_FILE": str(path)})
    for path in (tmp_path / "missing", text):
        with pytest.raises(ProviderError, match="SSL_CERT_DIR is invalid"):
            check_environment({"SSL_CERT_DIR": str(path)})


def test_valid_variables_are_accepted(tmp_path: Path) -> None:
    check_environment({})
    check_environment({"ALL_PROXY": "", "SSL_CERT_FILE": "", "SSL_CERT_DIR": str(tmp_path)})
    check_environment({"HTTPS_PROXY": "http://user:word@[::1]:3128", "http_proxy": "proxy:80"})
    check_environment({"NO_PROXY": "[::1, *.x, http://["})


def test_a_client_is_not_created_with_an_invalid_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "ftp://proxy")
    clock = FakeClock()
    log = RequestLog(tmp_path / "requests.jsonl", clock, lambda _text: None)
    context = ProviderContext({"OPENAI_API_KEY": KEY}, tmp_path, clock, request_log=log)
    provider = build_provider(ProviderSettings("openai"), context)
    with pytest.raises(ProviderError, match="ALL_PROXY is invalid"):
        provider.get_job("ftjob-1")
    assert clock.slept_s == []
    LoggingClient(
        log, secret="", trust_env=False
    ).close()  # requests to loopback ignore the environment


def test_the_proxy_in_use_is_named_without_its_password() -> None:
    environ = {"ALL_PROXY": "http://user:hidden@proxy:1", "https_proxy": "http://other:2"}
    assert find_proxy("http://api.example/v1", environ) == "ALL_PROXY (http://***@proxy:1)"
    assert find_proxy("https://api.example/v1", environ) == "https_proxy (http://other:2)"
    assert find_proxy("https://api.example/v1", {}) is None


def _provider(base_url: str, folder: Path, clock: FakeClock, client: object = None) -> Provider:
    context = ProviderContext({"OPENAI_API_KEY": KEY}, folder, clock, http_client=client)
    return build_provider(ProviderSettings("openai", base_url=base_url), context)


def test_a_server_without_tls_is_tried_once_and_the_hint_has_its_http_address(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    with serve_loopback(lambda request: request.send_error(400)) as port:
        provider = _provider(f"https://127.0.0.1:{port}/v1", tmp_path, clock)
        with pytest.raises(
            Unreachable, match=rf"no TLS connection to https://127\.0\.0\.1:{port}"
        ) as (caught):
            provider.get_job("ftjob-1")
        provider.close()
    assert f"http://127.0.0.1:{port}" in caught.value.hint
    assert clock.slept_s == []


@pytest.mark.parametrize(
    ("cause", "is_final"),
    [
        (ssl.SSLCertVerificationError("certificate verify failed: expired (_ssl.c:1000)"), True),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert"), True),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), False),
        (ConnectionResetError("reset"), False),
    ],
)
def test_lost_connections_are_retried_and_refused_certificates_are_not(
    tmp_path: Path, cause: Exception, is_final: bool
) -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError(str(cause), request=request) from cause

    clock = FakeClock()
    with httpx2.Client(transport=httpx2.MockTransport(fail)) as client:
        provider = _provider("https://api.openai.com/v1", tmp_path, clock, client)
        with pytest.raises(Unreachable) as caught:
            provider.get_job("ftjob-1")
    assert caught.value.final is is_final
    assert len(clock.slept_s) == (0 if is_final else 9)
    assert "https://api.openai.com" in caught.value.message
