"""Who carries notices finds out beforehand, as far as can be, whom they would not reach."""

import subprocess
import sys
from pathlib import Path

import pytest

from ftops.errors import NotifyFailed
from ftops.http.request_log import RequestLog
from ftops.notifications.delivery import Delivery
from ftops.notifications.notice import CommandTarget, Mute, Notice, WebhookTarget
from tests.fakes import FakeClock
from tests.notifications.receiver import SECRET, Receiver

PATH = "/usr/bin:/bin"


def make(folder: Path, **environ: str) -> Delivery:
    clock = FakeClock()
    request_log = RequestLog(folder / "requests.jsonl", clock, lambda _text: None)
    return Delivery({"PATH": PATH, **environ}, clock, request_log)


def test_a_webhook_and_a_command_are_told(
    tmp_path: Path, receiver: Receiver, notice: Notice
) -> None:
    delivery = make(tmp_path, HOOK=f" {SECRET}\n")
    delivery.deliver(notice, WebhookTarget(receiver.url, "HOOK"), print)
    delivery.deliver(notice, CommandTarget(("touch", "told"), tmp_path), print)
    assert [one.headers["webhook-id"] for one in receiver.taken] == [notice.id]
    assert (tmp_path / "told").exists()
    assert delivery.find_trouble(WebhookTarget(receiver.url, "HOOK")) is None
    assert delivery.find_trouble(CommandTarget(("touch", "told"), tmp_path)) is None


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, "HOOK is not set"),
        ({"HOOK": "  "}, "HOOK is not set"),
        ({"HOOK": "not-of-that-form"}, "HOOK holds no such secret"),
    ],
)
def test_a_bad_secret_is_told_beforehand_and_never_shown(
    tmp_path: Path, receiver: Receiver, notice: Notice, environ: dict[str, str], told: str
) -> None:
    delivery, target = make(tmp_path, **environ), WebhookTarget(receiver.url, "HOOK")
    trouble = delivery.find_trouble(target)
    assert trouble is not None
    assert told in trouble
    assert "not-of-that-form" not in trouble
    with pytest.raises(NotifyFailed) as caught:
        delivery.deliver(notice, target, print)
    assert caught.value.message == trouble
    assert receiver.taken == []


def test_a_program_that_is_missing_is_told_beforehand(tmp_path: Path) -> None:
    trouble = make(tmp_path).find_trouble(CommandTarget(("nothing-like-it",), tmp_path))
    assert trouble == "notify.command: there is no program 'nothing-like-it'"


def test_nobody_is_told_where_nobody_carries_notices(tmp_path: Path, notice: Notice) -> None:
    with pytest.raises(NotifyFailed, match="nobody is told"):
        Mute().deliver(notice, CommandTarget(("touch", "told"), tmp_path), print)
    assert Mute().find_trouble(CommandTarget(("touch", "told"), tmp_path))


def test_the_http_client_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys\n"
        "import ftops.notifications.delivery\n"
        "print([name for name in ('openai', 'httpx2', 'tenacity') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"
