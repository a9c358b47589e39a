"""A receiver for each test, and a notification to send to it."""

from collections.abc import Iterator

import pytest

from ftops.notifications.notification import Notification
from tests.notifications.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def notification() -> Notification:
    return Notification(
        id="msg_0123",
        type="run.failed",
        outcome="failure",
        timestamp="2026-11-22T12:00:00+00:00",
        data={"run_id": "run-1", "name": "news", "job_id": None},
        error="the provider's own words",
    )
