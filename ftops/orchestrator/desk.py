"""The desk: everything that the orchestrator works with, handed in by whoever wires it up."""

from dataclasses import dataclass, field
from pathlib import Path

from ftops.clock import Clock
from ftops.ledger.ledger import Ledger
from ftops.notifying.notice import Mute, Notifier
from ftops.orchestrator.observer import Observer
from ftops.orchestrator.tokens import TokenCounting
from ftops.providers.protocol import Provider
from ftops.records import RunId
from ftops.tracking.delivery import NoTracker, Tracker


@dataclass(frozen=True, slots=True)
class Desk:
    """One provider, one ledger, one watcher, those who tell others; `home` is FTOPS_HOME."""

    ledger: Ledger
    provider: Provider
    clock: Clock
    home: Path
    observer: Observer
    notifier: Notifier = field(default_factory=Mute)
    tracker: Tracker = field(default_factory=NoTracker)
    tokens: TokenCounting = field(default_factory=TokenCounting)


def get_run_folder(home: Path, run_id: RunId) -> Path:
    """Where the files of that run lie; it may not be there yet."""
    return home / "runs" / run_id
