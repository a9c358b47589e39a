"""A provider whose server is a table of answers, and whose time is told to move."""

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
    """`api` answers the requests of the providers that `build` makes."""

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
    made = Bench(tmp_path)
    yield made
    made.client.close()


@pytest.fixture
def api(bench: Bench) -> respx.MockRouter:
    """The table of answers."""
    return bench.api


@pytest.fixture
def clock(bench: Bench) -> FakeClock:
    """The time that the provider sees."""
    return bench.clock


@pytest.fixture
def provider(bench: Bench) -> Provider:
    """OpenAI, as far as the client can tell."""
    return bench.build()
