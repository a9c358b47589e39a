"""The provider `local`: the OpenAI provider pointed at the built-in engine, started when needed."""

import shlex
import threading
from functools import partial
from pathlib import Path

import openai

from ftops.capabilities import Capabilities
from ftops.clock import Clock
from ftops.errors import AuthFailed, NotFound, ProviderError, Unreachable
from ftops.http.request_log import RequestLog
from ftops.http.retry import RetryPolicy
from ftops.providers.endpoint import ClientOptions
from ftops.providers.engine_process import ENGINE_COMMAND, ENGINE_FOLDER, start_engine
from ftops.providers.model_catalog import ModelCatalog
from ftops.providers.openai import OpenAIProvider
from ftops.providers.openai_client import OpenAIClient, make_client
from ftops.providers.openai_legacy import OpenAILegacyProvider
from ftops.providers.openai_uploads import choose_limits
from ftops.providers.provider import ProviderContext
from ftops.records import ENGINE_PROVIDER, ProviderSettings

# The engine is on this machine: it responds at once, or it is restarting.
RETRIES = RetryPolicy(attempts=6, deadline_s=60.0, first_pause_s=0.1, longest_pause_s=2.0)


class EngineEndpoint:
    """The engine of a folder; when it dies, the next call starts it again."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        command: tuple[str, ...] = ENGINE_COMMAND,
        request_log: RequestLog | None = None,
    ) -> None:
        self._folder = folder
        self._command = command
        self._clock = clock
        self._request_log = request_log
        self._lock = threading.Lock()  # several requests may be active when the engine dies
        self._client: openai.OpenAI | None = None
        self._retired: list[openai.OpenAI] = []  # closed late: another thread may be using one
        self._token = ""

    @property
    def secret(self) -> str:
        return self._token

    def get_client(self) -> openai.OpenAI:
        with self._lock:
            if self._client is None:
                address = start_engine(self._folder, clock=self._clock, command=self._command)
                self._token = address.token
                self._client = make_client(
                    ClientOptions(address.base_url, address.token, request_log=self._request_log)
                )
            return self._client

    def is_renewed_after(self, client: openai.OpenAI, failure: ProviderError) -> bool:
        """Find the engine again when no server responds there, or one with another token."""
        if not isinstance(failure, Unreachable | AuthFailed):
            return False
        with self._lock:
            if self._client is client:
                self._client = None
                self._retired.append(client)
        return True

    def close(self) -> None:
        with self._lock:
            for client in (*self._retired, *([self._client] if self._client else [])):
                client.close()
            self._retired, self._client = [], None


def build_local(
    settings: ProviderSettings,
    capabilities: Capabilities,
    context: ProviderContext,
    *,
    provider_class: type[OpenAIProvider] = OpenAIProvider,
) -> OpenAIProvider:
    """The provider on this machine; its engine uses the folder `engine` of the home folder."""
    endpoint = EngineEndpoint(
        context.home / ENGINE_FOLDER, context.clock, request_log=context.request_log
    )
    catalogue = ModelCatalog(context.home, context.clock)
    return provider_class(
        settings,
        capabilities,
        OpenAIClient(endpoint, clock=context.clock, retries=RETRIES),
        account="local",
        get_model_info=partial(catalogue.get_model_info, (settings.type,)),
        upload_limits=choose_limits(context.environ, sends_ranges=True),
        check_model=partial(_check_model, catalogue, capabilities),
    )


def _check_model(catalogue: ModelCatalog, capabilities: Capabilities, model: str) -> None:
    """Raise NotFound, with the command that adds it, for a base model that the engine lacks."""
    base = capabilities.naming.find_base_model(model) or model
    sizes = capabilities.untrained_bases
    if base not in sizes and base not in catalogue.list_trainable(ENGINE_PROVIDER):
        raise NotFound(
            f"the built-in engine has no base model {base!r}",
            hint=f"Add it with `ftops engine models add {shlex.quote(base)}` (--from SOURCE for a"
            f" model of your own), or use one of {', '.join(sizes)}.",
        )


build_local_legacy = partial(build_local, provider_class=OpenAILegacyProvider)
