"""Who waits for news of a job hears of what other connections commit, and of nothing else."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ftops.engine.event_notifier import EventNotifier
from ftops.engine.store import NewEvent, Store
from tests.engine.running import wait_for
from tests.engine.test_store import job
from tests.fakes import FakeClock

LONG_S = 30.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "engine.db", FakeClock())
    for number in (1, 2):
        store.add_job(job(number), NewEvent("created", "made"))
    yield store
    store.close()


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "events"]


def test_only_the_listeners_of_the_job_are_woken(store: Store, tmp_path: Path) -> None:
    event_notifier = EventNotifier(tmp_path / "engine.db")

    async def subscribe() -> None:
        with event_notifier.subscribe("ftjob-1") as one:
            assert await one.wait(LONG_S)  # the watcher has started
            with event_notifier.subscribe("ftjob-2") as other:
                store.add_events("ftjob-1", NewEvent("step:1", "Step 1"))
                assert await one.wait(LONG_S)
                store.jobs.set_estimate("ftjob-2", 5)  # a change, but nothing to tell
                store.add_events("ftjob-1", NewEvent("step:2", "Step 2"))
                assert await one.wait(LONG_S)
                assert not await other.wait(0.0)

    asyncio.run(subscribe())
    wait_for(lambda: not watchers())


def test_one_thread_looks_for_a_hundred_and_ends_with_the_last(
    store: Store, tmp_path: Path
) -> None:
    event_notifier = EventNotifier(tmp_path / "engine.db")

    async def subscribe(key: str) -> None:
        with ExitStack() as stack:
            first = stack.enter_context(event_notifier.subscribe("ftjob-1"))
            assert await first.wait(LONG_S)  # the watcher has started
            others = [stack.enter_context(event_notifier.subscribe("ftjob-1")) for _ in range(99)]
            assert len(watchers()) == 1
            store.add_events("ftjob-1", NewEvent(key, "text"))
            assert all([await subscription.wait(LONG_S) for subscription in (first, *others)])

    for key in ("step:1", "step:2"):  # the next subscription starts another watcher
        asyncio.run(subscribe(key))
        wait_for(lambda: not watchers())


def test_the_end_of_the_engine_wakes_all_subscribers(store: Store, tmp_path: Path) -> None:
    event_notifier = EventNotifier(tmp_path / "engine.db")

    async def subscribe() -> None:
        with (
            event_notifier.subscribe("ftjob-1") as one,
            event_notifier.subscribe("ftjob-2") as other,
        ):
            assert not event_notifier.is_closed
            event_notifier.close()
            assert await one.wait(LONG_S)
            assert await other.wait(LONG_S)
            assert event_notifier.is_closed

    asyncio.run(subscribe())
    wait_for(lambda: not watchers())
