"""Notifies requests of new events of a job, whichever process added them.

Workers write events to the database themselves, so it is polled. One thread polls for all
subscriptions, and only while there are any: it reads whether anything was committed
(`data_version`, a few microseconds), and only then which jobs have new events. Every transition of
a job adds an event in the same transaction, so the end of a job also notifies.
"""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_POLL_INTERVAL_S = 0.05
_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Subscription:
    """A subscription to the events of one job, in an event loop."""

    job_id: str
    _loop: asyncio.AbstractEventLoop
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, timeout_s: float) -> bool:
        """Whether there may be new events since the last wait; False after the timeout."""
        try:
            await asyncio.wait_for(self._woken.wait(), timeout_s)
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def wake(self) -> None:
        """Called from any thread; does nothing when the loop has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._woken.set)


class EventNotifier:
    """The subscriptions, and the thread that polls the database at `path` for them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription] = set()
        self._thread: threading.Thread | None = None
        self._is_idle = threading.Event()  # no subscriptions
        self.is_closed = False  # the engine is shutting down

    @contextmanager
    def subscribe(self, job_id: str) -> Iterator[Subscription]:
        """Commits from now on wake the subscription; called in its event loop."""
        subscription = Subscription(job_id, asyncio.get_running_loop())
        with self._lock:
            self._subscriptions.add(subscription)
            self._is_idle.clear()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()
        try:
            yield subscription
        finally:
            with self._lock:
                self._subscriptions.discard(subscription)
                if not self._subscriptions:
                    self._is_idle.set()

    def close(self) -> None:
        """Wake all subscriptions for the last time."""
        self.is_closed = True
        self._wake(None)

    def _wake(self, job_ids: frozenset[str] | None) -> None:
        """Wake the subscriptions to these jobs; None: all."""
        with self._lock:
            for subscription in self._subscriptions:
                if job_ids is None or subscription.job_id in job_ids:
                    subscription.wake()

    def _run(self) -> None:
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
                self._poll(connection)
        except sqlite3.Error:
            # Subscribers also read the events after each timeout.
            _log.exception("%s: cannot poll for events", self._path)
            with self._lock:
                self._thread = None

    def _poll(self, connection: sqlite3.Connection) -> None:
        last_version, seq = _read_version(connection), _read_last_seq(connection)
        self._wake(None)  # for commits before the first poll
        while self._wait_for_next_poll():
            version = _read_version(connection)
            if version == last_version:
                continue
            last_version = version
            rows = connection.execute("SELECT seq, job_id FROM events WHERE seq > ?", (seq,))
            new = rows.fetchall()
            seq = max((row[0] for row in new), default=seq)
            self._wake(frozenset(row[1] for row in new))

    def _wait_for_next_poll(self) -> bool:
        """Wait for the next poll; False when there are no subscriptions any more."""
        if not self._is_idle.wait(_POLL_INTERVAL_S):
            return True
        with self._lock:
            if self._subscriptions:
                return True
            self._thread = None
            return False


def _read_version(connection: sqlite3.Connection) -> int:
    """A number that changes with each commit of another connection."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _read_last_seq(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])
