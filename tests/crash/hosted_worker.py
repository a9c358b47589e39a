"""One `ftops run` at a hosted provider in its own process, with an optional crash point.

The provider's server is a stand-in in another process, at a loopback address: every request goes
there, with the host that it is meant for. The clock is fake, and only `sleep` advances it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2

from ftops import crashpoints
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import ProviderSettings
from ftops.runs.context import RunContext
from ftops.runs.open_run import drive, open_run
from tests.contract import (
    azure_server,
    crusoe_server,
    huggingface_server,
    nebius_server,
    openai_server,
    together_server,
    vertex_server,
)
from tests.fakes import FakeClock
from tests.runs.bench import Recorder, write_job


@dataclass(frozen=True)
class HostedSite:
    """A provider: its settings, environment and job, and what its stand-in has in the end."""

    settings: ProviderSettings
    environ: Mapping[str, str]
    job: Mapping[str, Any]
    make_server: Callable[[], Any]
    count_jobs: Callable[[Any], int]
    list_deployments: Callable[[Any], Sequence[object]] = field(default=lambda _server: ())
    count_deployed: Callable[[Any], int] = field(default=lambda _server: 0)


def _count(server: Any, pattern: str) -> int:
    return sum(re.fullmatch(pattern, request) is not None for request in server.requests)


def _count_jobs(server: Any) -> int:
    return len(server.jobs)


SITES = {
    "openai": HostedSite(
        ProviderSettings("openai"),
        {"OPENAI_API_KEY": openai_server.KEY},
        {"model": openai_server.BASE_MODEL},
        openai_server.OpenAIServer,
        _count_jobs,
    ),
    "nebius": HostedSite(
        ProviderSettings("nebius"),
        {"NEBIUS_API_KEY": nebius_server.NEBIUS_KEY},
        {"model": nebius_server.NEBIUS_BASE},
        nebius_server.NebiusServer,
        _count_jobs,
        lambda server: list(server.deployed),
        lambda server: _count(server, "POST /v0/models"),
    ),
    "crusoe": HostedSite(
        ProviderSettings("crusoe"),
        {
            "CRUSOE_API_KEY": crusoe_server.CRUSOE_KEY,
            "CRUSOE_PROJECT_ID": crusoe_server.CRUSOE_PROJECT,
        },
        {"model": crusoe_server.CRUSOE_BASE},
        crusoe_server.CrusoeServer,
        _count_jobs,
        lambda server: [*server.adapters, *server.dedicated],
        lambda server: _count(server, "POST .*/(loras|deployments)"),
    ),
    "azure": HostedSite(
        ProviderSettings("azure"),
        azure_server.AZURE_ENVIRON,
        {"model": azure_server.AZURE_BASE},
        azure_server.AzureServer,
        _count_jobs,
        lambda server: list(server.deployments),
        lambda server: _count(server, "PUT .*/deployments/.*"),
    ),
    "together": HostedSite(
        ProviderSettings("together"),
        {"TOGETHER_API_KEY": together_server.KEY},
        {"model": together_server.BASE},
        together_server.TogetherServer,
        _count_jobs,
        lambda server: [*server.endpoints.deployments, *server.endpoints.endpoints],
        lambda server: _count(server, "POST .*/deployments"),
    ),
    "huggingface": HostedSite(
        ProviderSettings("huggingface"),
        {"HF_TOKEN": huggingface_server.HUB_KEY},
        {"model": huggingface_server.HUB_BASE},
        huggingface_server.HubServer,
        _count_jobs,
    ),
    "vertex": HostedSite(
        ProviderSettings("vertex", project=vertex_server.PROJECT, bucket=vertex_server.BUCKET),
        {"GOOGLE_OAUTH_ACCESS_TOKEN": vertex_server.TOKEN},
        {"model": vertex_server.VERTEX_BASE},
        vertex_server.VertexServer,
        _count_jobs,
    ),
}


def list_settings(settings: ProviderSettings) -> dict[str, str]:
    """The settings as in a job file."""
    listed = {name: value for name, value in asdict(settings).items() if value}
    del listed["protocol"]
    return listed


class Forward(httpx2.BaseTransport):
    """Sends every request to one address, with the host that it is meant for."""

    def __init__(self, address: str) -> None:
        self._address = httpx2.URL(address)
        self._transport = httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["host"] = request.url.netloc.decode()
        request.headers["x-forwarded-proto"] = request.url.scheme
        request.url = request.url.copy_with(
            scheme="http", host=self._address.host, port=self._address.port
        )
        return self._transport.handle_request(request)


def main(arguments: Sequence[str]) -> None:
    """Run the job of a site to its end.

    The arguments are a folder, a site, the address of its stand-in, the crash point or "-", how
    often it is reached before the process dies, and the start time in seconds.
    """
    folder, site = Path(arguments[0]), SITES[arguments[1]]
    address, point, count, start_s = arguments[2], arguments[3], int(arguments[4]), arguments[5]
    if point != "-":
        crashpoints.arm(point, count)
    clock = FakeClock(FakeClock().now() + timedelta(seconds=float(start_s)))
    ledger = Ledger(folder / "home" / "ledger.db", clock)

    context = ProviderContext(
        site.environ,
        folder / "home",
        clock,
        http_client=httpx2.Client(transport=Forward(address), follow_redirects=False),
        find_deployed=ledger.find_call_name,
    )
    provider = build_provider(site.settings, context)
    run_context = RunContext(
        ledger, provider, clock, folder / "home", Recorder(), allow_open_ended=True
    )
    job = write_job(
        folder,
        **{
            "provider": list_settings(site.settings),
            "hyperparameters": {"n_epochs": 2},
            "evaluate": {"against": []},
            **site.job,
        },
    )
    drive(open_run(job, run_context), run_context)
