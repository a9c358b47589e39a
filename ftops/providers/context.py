"""What the command line hands to whichever provider it builds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ftops.clock import Clock
from ftops.http.request_log import RequestLog
from ftops.records import ProviderSettings


@dataclass(frozen=True, slots=True)
class Context:
    """The world outside: environment variables, the home folder, time.

    `http_client` replaces the connection of providers that are reached over the network; it is
    what the OpenAI client takes as its own `http_client`, and whoever hands it in closes it.
    Every request that leaves by the providers' own connections is logged in `request_log`. `typed` is the
    provider that options of the command name: its address needs no approval.
    """

    environ: Mapping[str, str]
    home: Path
    clock: Clock
    http_client: object | None = None
    request_log: RequestLog | None = None
    typed: ProviderSettings | None = None
