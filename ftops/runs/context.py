"""The desk: everything that the orchestrator works with, handed in by whoever wires it up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ftops.clock import Clock
from ftops.errors import RunError
from ftops.exports.exporter import Exporter, NullExporter
from ftops.ledger.ledger import Ledger
from ftops.notifications.notice import Mute, Notifier
from ftops.providers.provider import Provider
from ftops.records import ProviderSettings
from ftops.run_folder import get_run_folder as get_run_folder
from ftops.runs.observer import Observer
from ftops.runs.tokens import TokenCounter


def _refuse_other_providers(settings: ProviderSettings) -> Provider:
    raise RunError(f"no way leads to the provider {settings.type!r} here")


@dataclass(frozen=True, slots=True)
class RunContext:
    """One provider, one ledger, one watcher, those who tell others; `home` is FTOPS_HOME.

    `reach` opens another provider, for those whom the run's model is compared with.
    """

    ledger: Ledger
    provider: Provider
    clock: Clock
    home: Path
    observer: Observer
    notifier: Notifier = field(default_factory=Mute)
    exporter: Exporter = field(default_factory=NullExporter)
    tokens: TokenCounter = field(default_factory=TokenCounter)
    reach: Callable[[ProviderSettings], Provider] = field(default=_refuse_other_providers)
