"""The provider `local`: the OpenAI adapter pointed at the built-in engine, started when needed."""

import threading
from functools import partial
from pathlib import Path

import openai

from ftops.capabilities import Capabilities
from ftops.clock import Clock
from ftops.errors import AuthFailed, ProviderError, Unreachable
from ftops.http.request_log import RequestLog
from ftops.http.retry import RetryPolicy
from ftops.providers.calls import Caller
from ftops.providers.context import ProviderContext
from ftops.providers.endpoint import Access, make_client
from ftops.providers.engine_process import ENGINE_COMMAND, start_engine
from ftops.providers.model_catalog import ModelCatalog
from ftops.providers.openai import JOB_CALLS, OpenAIProvider, Traits
from ftops.providers.parts import choose_limits
from ftops.records import (
    ProviderSettings,
    RowFormat,
)

# The engine is on this machine: it answers at once, or it is being started again.
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
        self._lock = threading.Lock()  # several chats may be under way when the engine dies
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
                    Access(address.base_url, address.token, request_log=self._request_log)
                )
            return self._client

    def is_renewed_after(self, client: openai.OpenAI, failure: ProviderError) -> bool:
        """Nobody there, or somebody with another token: look for the engine again."""
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
    settings: ProviderSettings, capabilities: Capabilities, context: ProviderContext
) -> OpenAIProvider:
    """The provider on this machine; its engine lives in the folder `engine` of the home."""
    endpoint = EngineEndpoint(
        context.home / "engine", context.clock, request_log=context.request_log
    )
    traits = Traits(
        name=settings.type,
        account="local",
        capabilities=capabilities,
        row_format=lambda _model: RowFormat.COMPLETION,
        get_model_info=partial(
            ModelCatalog(context.home, context.clock).get_model_info, (settings.type,)
        ),
        jobs=JOB_CALLS[settings.protocol],
        uploads=choose_limits(context.environ, tells_places=True),
    )
    caller = Caller(endpoint, clock=context.clock, retries=RETRIES)
    return OpenAIProvider(traits, caller, context.clock)
