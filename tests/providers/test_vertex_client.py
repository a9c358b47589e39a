"""The token of Google's APIs: from the environment or a command, renewed, never stored."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ftops.errors import AuthFailed
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import ProviderSettings
from tests.contract.vertex_server import BUCKET, PROJECT, VertexServer
from tests.fakes import FakeClock

SETTINGS = ProviderSettings("vertex", project=PROJECT, bucket=BUCKET)


@dataclass
class Site:
    """A provider whose PATH has nothing but a `gcloud` that prints one token after the other."""

    folder: Path
    server: VertexServer = field(default_factory=lambda: VertexServer(tokens={"token-1"}))
    clock: FakeClock = field(default_factory=FakeClock)

    def write_gcloud(self, text: str) -> None:
        path = self.folder / "gcloud"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o700)

    def connect(self) -> Provider:
        environ = {"PATH": str(self.folder), "CALLS": str(self.folder / "calls")}
        context = ProviderContext(
            environ, self.folder, self.clock, http_client=self.server.connect()
        )
        return build_provider(SETTINGS, context)

    @property
    def calls(self) -> int:
        return len((self.folder / "calls").read_text().splitlines())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.write_gcloud(
        'echo "$*" >> "$CALLS"; n=0; while read -r _; do n=$((n + 1)); done < "$CALLS"'
        '; echo "token-$n"'
    )
    return site


def test_gcloud_is_run_once_and_only_when_a_token_is_needed(site: Site) -> None:
    provider = site.connect()
    assert not (site.folder / "calls").exists()
    for _ in range(3):
        list(provider.list_files())
    assert (site.folder / "calls").read_text() == "auth print-access-token\n"


def test_a_token_that_is_refused_or_old_is_renewed(site: Site) -> None:
    provider = site.connect()
    list(provider.list_files())
    site.server.tokens = {"token-2"}
    list(provider.list_files())
    assert site.calls == 2
    site.clock.advance(1_801)
    site.server.tokens = {"token-3"}
    list(provider.list_files())
    assert (site.calls, site.server.count("GET")) == (3, 4)


def test_tokens_that_are_all_refused_end_the_request(site: Site) -> None:
    site.server.tokens = set()
    with pytest.raises(AuthFailed) as caught:
        list(site.connect().list_files())
    assert "token-" not in caught.value.message
    assert site.calls == 2


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('echo "ERROR: no account is active" >&2; exit 1', "no account is active"),
        ("exit 3", "exit code 3"),
        ("echo two words", "exit code 0"),
    ],
)
def test_a_command_that_fails_says_why(site: Site, script: str, reason: str) -> None:
    site.write_gcloud(script)
    with pytest.raises(AuthFailed, match=reason) as caught:
        list(site.connect().list_files())
    assert "gcloud auth login" in caught.value.hint
    assert site.server.requests == []


def test_a_missing_command_is_named_with_the_variable(site: Site) -> None:
    (site.folder / "gcloud").unlink()
    with pytest.raises(AuthFailed, match="there is no program gcloud") as caught:
        list(site.connect().list_files())
    assert "GOOGLE_OAUTH_ACCESS_TOKEN" in caught.value.hint


def test_a_token_with_characters_that_no_token_has_is_refused(site: Site) -> None:
    environ = {"GOOGLE_OAUTH_ACCESS_TOKEN": "ya29.\u2026", "PATH": ""}
    context = ProviderContext(environ, site.folder, site.clock, http_client=site.server.connect())
    with pytest.raises(AuthFailed, match="characters that no key has"):
        list(build_provider(SETTINGS, context).list_files())
