"""A provider with mocked responses and a fake clock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import respx

from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import ProviderSettings
from tests.fakes import FakeClock

BASE_URL = "https://api.openai.com/v1"
KEY = "sk-do-not-tell-anybody-0123456789"


@dataclass
class Bench:
    """`api` mocks the responses for the providers that `build` creates."""

    home: Path
    api: respx.MockRouter = field(
        default_factory=lambda: respx.MockRouter(base_url=BASE_URL, assert_all_called=False)
    )
    clock: FakeClock = field(default_factory=FakeClock)
    environ: Mapping[str, str] = field(default_factory=lambda: {"OPENAI_API_KEY": KEY})

    def __post_init__(self) -> None:
        self.client = httpx.Client(transport=httpx.MockTransport(self.api.handler))

    def build(self, settings: ProviderSettings | None = None) -> Provider:
        context = ProviderContext(self.environ, self.home, self.clock, http_client=self.client)
        return build_provider(settings or ProviderSettings("openai"), context)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.client.close()


@pytest.fixture
def api(bench: Bench) -> respx.MockRouter:
    """The mocked responses."""
    return bench.api


@pytest.fixture
def clock(bench: Bench) -> FakeClock:
    """The clock of the provider."""
    return bench.clock


@pytest.fixture
def provider(bench: Bench) -> Provider:
    """A provider of the type openai with mocked responses."""
    return bench.build()
