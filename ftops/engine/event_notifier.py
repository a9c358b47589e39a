"""Wakes whoever waits for news of a job, whichever process wrote them.

Workers write events into the database by themselves, so somebody has to look. One thread looks for
all who wait, and only while somebody waits: it asks SQLite whether anything was committed at all
(`data_version`, a few microseconds), and only then which jobs have new events. Every move of a job
writes an event in the same transaction, so a job's end is news as well.
"""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_LOOK_EVERY_S = 0.05
_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Subscription:
    """One who waits for news of a job, in an event loop."""

    job_id: str
    _loop: asyncio.AbstractEventLoop
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, at_most_s: float) -> bool:
        """Whether there may be news since the last wait; False when the time is over."""
        try:
            await asyncio.wait_for(self._woken.wait(), at_most_s)
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def wake(self) -> None:
        """From any thread; a loop that has ended has nobody to wake."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._woken.set)


class EventNotifier:
    """Who waits for news, and the thread that looks for them at the database at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription] = set()
        self._thread: threading.Thread | None = None
        self._nobody = threading.Event()  # waits any more
        self.is_closed = False  # the engine ends: whoever listens should go

    @contextmanager
    def subscribe(self, job_id: str) -> Iterator[Subscription]:
        """What is committed from now on wakes the listener; called in its event loop."""
        subscription = Subscription(job_id, asyncio.get_running_loop())
        with self._lock:
            self._subscriptions.add(subscription)
            self._nobody.clear()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="news", daemon=True)
                self._thread.start()
        try:
            yield subscription
        finally:
            with self._lock:
                self._subscriptions.discard(subscription)
                if not self._subscriptions:
                    self._nobody.set()

    def end(self) -> None:
        """Wake everybody for the last time."""
        self.is_closed = True
        self._wake(None)

    def _wake(self, job_ids: frozenset[str] | None) -> None:
        """Those who wait for one of the jobs; None: all."""
        with self._lock:
            for subscription in self._subscriptions:
                if job_ids is None or subscription.job_id in job_ids:
                    subscription.wake()

    def _run(self) -> None:
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
                self._look(connection)
        except sqlite3.Error:
            # Those who wait look by themselves whenever they say that they are alive.
            _log.exception("%s: cannot look for news", self._path)
            with self._lock:
                self._thread = None

    def _look(self, connection: sqlite3.Connection) -> None:
        seen, seq = _version(connection), _last_seq(connection)
        self._wake(None)  # for what was committed before the first look
        while not self._has_ended():
            version = _version(connection)
            if version == seen:
                continue
            seen = version
            rows = connection.execute("SELECT seq, job_id FROM events WHERE seq > ?", (seq,))
            told = rows.fetchall()
            seq = max((row[0] for row in told), default=seq)
            self._wake(frozenset(row[1] for row in told))

    def _has_ended(self) -> bool:
        """Wait a moment; True when nobody listens any more."""
        if not self._nobody.wait(_LOOK_EVERY_S):
            return False
        with self._lock:
            if self._subscriptions:
                return False
            self._thread = None
            return True


def _version(connection: sqlite3.Connection) -> int:
    """Another number whenever another connection has committed something."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _last_seq(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])
