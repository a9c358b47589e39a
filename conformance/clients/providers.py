"""The SDKs of other providers, each against the stand-in that the tests of its adapter use.

Each has a script in `conformance/scripts/`, which names its operations.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from conformance.environments import PROVIDER_SDKS, make_venv
from conformance.operation import Client, OperationContext, Server
from conformance.script import OUTCOMES, list_script_operations
from tests.contract import (
    azure_server,
    crusoe_server,
    nebius_server,
    together_server,
    vertex_server,
)
from tests.contract.openai_like_server import Faults
from tests.contract.serving import serve

_ROOT = Path(__file__).resolve().parent.parent.parent
_SCRIPTS = _ROOT / "conformance" / "scripts"


@dataclass(frozen=True, slots=True)
class StandInAddress:
    """Where a stand-in listens, and the key that it accepts."""

    base_url: str
    token: str


@contextmanager
def _start_together(_folder: Path) -> Iterator[Server]:
    server = together_server.TogetherServer()
    with serve(server) as address:
        server.storage = f"{address}/storage"
        yield StandInAddress(address, together_server.KEY)


@contextmanager
def _start_nebius(_folder: Path) -> Iterator[Server]:
    with serve(nebius_server.NebiusServer(deployment_lag=1)) as address:
        yield StandInAddress(f"{address}/v1", nebius_server.NEBIUS_KEY)


@contextmanager
def _start_crusoe(_folder: Path) -> Iterator[Server]:
    with serve(crusoe_server.CrusoeServer(faults=Faults(late_name=1))) as address:
        yield StandInAddress(f"{address}/v1", crusoe_server.CRUSOE_KEY)


@contextmanager
def _start_azure(_folder: Path) -> Iterator[Server]:
    with serve(azure_server.AzureServer()) as address:
        yield StandInAddress(address, azure_server.AZURE_KEY)


@contextmanager
def _start_vertex(_folder: Path) -> Iterator[Server]:
    with serve(vertex_server.VertexServer()) as address:
        yield StandInAddress(address, vertex_server.TOKEN)


def _install(cache: Path, *, sdk: str) -> Path:
    return make_venv(cache, sdk, PROVIDER_SDKS[sdk]) / "python"


def _make_environment(server: Server, *, prefix: str) -> Mapping[str, str]:
    return {
        f"{prefix}_BASE_URL": server.base_url,
        f"{prefix}_API_KEY": server.token,
        "PYTHONPATH": str(_ROOT),
        "AZURE_TOKEN": azure_server.AZURE_TOKEN,  # of the management API
    }


def _run(context: OperationContext, *, script: str) -> None:
    context.run(context.tool, "-m", f"conformance.scripts.{script}", OUTCOMES).expect()


def _client(
    provider: str,
    sdk: str,
    start: Callable[[Path], AbstractContextManager[Server]],
) -> Client:
    script = f"{provider}_sdk"
    text = (_SCRIPTS / f"{script}.py").read_text(encoding="utf-8")
    names = re.findall(r'^@attempt\("(.+)"\)$', text, re.MULTILINE)
    return Client(
        name=provider,
        title=f"{provider}, with {', '.join(PROVIDER_SDKS[sdk]).replace('==', ' ')}",
        install=partial(_install, sdk=sdk),
        environment=partial(_make_environment, prefix=provider.upper()),
        operations=list_script_operations(names, partial(_run, script=script)),
        start=start,
    )


PROVIDERS = (
    _client("together", "together", _start_together),
    _client("nebius", "openai", _start_nebius),
    _client("crusoe", "openai", _start_crusoe),
    _client("azure", "azure", _start_azure),
    _client("vertex", "google-genai", _start_vertex),
)
