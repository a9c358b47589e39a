"""What the command line hands to whichever provider it builds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ftops.clock import Clock
from ftops.http.request_log import RequestLog
from ftops.records import ProviderSettings


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """Environment variables, the home folder, time, and how requests are sent.

    `http_client` replaces the connections of providers that are reached over the network; the
    caller closes it. Requests over a provider's own connections are logged in `request_log`.
    `typed` is the provider that the command's options name: its address needs no approval.
    """

    environ: Mapping[str, str]
    home: Path
    clock: Clock
    http_client: object | None = None
    request_log: RequestLog | None = None
    typed: ProviderSettings | None = None
