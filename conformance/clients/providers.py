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
from tests.contract import together_server
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


def _install(cache: Path, *, sdk: str) -> Path:
    return make_venv(cache, sdk, PROVIDER_SDKS[sdk]) / "python"


def _make_environment(server: Server, *, prefix: str) -> Mapping[str, str]:
    return {
        f"{prefix}_BASE_URL": server.base_url,
        f"{prefix}_API_KEY": server.token,
        "PYTHONPATH": str(_ROOT),
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
        title=f"{provider}: {', '.join(PROVIDER_SDKS[sdk])}",
        install=partial(_install, sdk=sdk),
        environment=partial(_make_environment, prefix=provider.upper()),
        operations=list_script_operations(names, partial(_run, script=script)),
        start=start,
    )


PROVIDERS = (_client("together", "together", _start_together),)
