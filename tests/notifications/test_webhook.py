"""Webhooks over real HTTP: signed, repeated while that may help, never led elsewhere."""

import dataclasses
import json
import socket
import threading
from pathlib import Path

import pytest

from ftops.errors import NotifyFailed
from ftops.http.request_log import RequestLog, RequestLogEntry, RequestLogReader, run_scope
from ftops.notifications.notice import Notice, WebhookTarget
from ftops.notifications.signature import sign
from ftops.notifications.webhook import RETRIES, post_webhook
from tests.fakes import FakeClock
from tests.notifications.receiver import KEY, SECRET, Receiver


class Sender:
    """Sends notices to an address, with a clock and a request log of its own."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.path = folder / "requests.jsonl"
        self.request_log = RequestLog(self.path, self.clock, lambda _text: None)
        self.said: list[str] = []

    def send(self, notice: Notice, url: str, *, limit_s: float = 10.0) -> None:
        post_webhook(
            notice,
            WebhookTarget(url, "HOOK"),
            KEY,
            secret=SECRET,
            clock=self.clock,
            request_log=self.request_log,
            say=self.said.append,
            limit_s=limit_s,
        )

    def requests(self) -> list[RequestLogEntry]:
        return RequestLogReader(self.path).read_new()


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    return Sender(tmp_path)


def test_a_notice_arrives_once_signed_and_without_the_provider_s_words(
    sender: Sender, receiver: Receiver, notice: Notice
) -> None:
    sender.send(notice, receiver.url)
    (taken,) = receiver.taken
    assert taken.document == {
        "type": "run.failed",
        "timestamp": "2026-11-22T12:00:00+00:00",
        "data": {"run_id": "run-1", "name": "news", "job_id": None},
    }
    assert taken.headers["content-type"] == "application/json"
    assert taken.headers["user-agent"].startswith("ftops/")
    expected = sign(KEY, "msg_0123", int(sender.clock.now().timestamp()), taken.body)
    assert {name: taken.headers[name] for name in expected} == expected
    assert "authorization" not in taken.headers
    assert sender.said == []


def test_what_passes_by_itself_is_tried_again_with_the_same_id_and_signed_anew(
    sender: Sender, receiver: Receiver, notice: Notice
) -> None:
    receiver.answers = [(500, {}), (429, {"retry-after": "7"}), (503, {}), (408, {}), (200, {})]
    sender.send(notice, receiver.url)
    assert len(receiver.taken) == 5
    assert {one.headers["webhook-id"] for one in receiver.taken} == {"msg_0123"}
    assert {one.body for one in receiver.taken} == {notice.render_body()}
    assert [text.partition(" has ")[2] for text in sender.said] == [
        "not taken the notice yet; trying again for a minute"
    ]
    times = [int(one.headers["webhook-timestamp"]) for one in receiver.taken]
    assert times[2] - times[1] >= 7
    for one, time in zip(receiver.taken, times, strict=True):
        assert sign(KEY, "msg_0123", time, one.body).items() <= one.headers.items()


def test_every_attempt_is_in_the_request_log_without_the_secret(
    sender: Sender, receiver: Receiver, notice: Notice
) -> None:
    receiver.answers = [(500, {"x-request-id": SECRET})]
    with run_scope("run-1"):
        sender.send(notice, receiver.url)
    found = [(one.status, one.attempt, one.path, one.run_id) for one in sender.requests()]
    assert found == [(500, 1, "/***", "run-1"), (204, 2, "/***", "run-1")]
    assert SECRET not in sender.path.read_text()
    assert "/hooks" not in sender.path.read_text()


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [
        (410, {}, "wants no more notices"),
        (401, {}, "answers HTTP 401"),
        (302, {"location": "http://127.0.0.1:1/elsewhere"}, "redirects to http://127.0.0.1:1 "),
        (307, {"location": "/again"}, "no redirect is followed"),
        (304, {}, "answers HTTP 304"),
    ],
)
def test_a_refusal_is_final_and_leads_nowhere(
    sender: Sender,
    receiver: Receiver,
    notice: Notice,
    status: int,
    headers: dict[str, str],
    told: str,
) -> None:
    receiver.answers = [(status, headers)]
    with pytest.raises(NotifyFailed, match=told) as caught:
        sender.send(notice, receiver.url)
    assert len(receiver.taken) == 1
    assert "/hooks/ftops" not in caught.value.message


def test_a_receiver_that_is_down_is_given_up_within_the_bound(
    sender: Sender, receiver: Receiver, notice: Notice
) -> None:
    receiver.answers = [(500, {})] * 50
    with pytest.raises(NotifyFailed, match=r"HTTP 500 .tried 6 times"):
        sender.send(notice, receiver.url)
    assert len(receiver.taken) == RETRIES.attempts
    assert sum(sender.clock.slept_s) <= RETRIES.deadline_s


def test_a_pause_that_is_too_long_is_not_waited_for(
    sender: Sender, receiver: Receiver, notice: Notice
) -> None:
    receiver.answers = [(429, {"retry-after": "86400"})]
    with pytest.raises(NotifyFailed, match="HTTP 429"):
        sender.send(notice, receiver.url)
    assert sender.clock.slept_s == []


def test_an_address_at_which_nobody_listens_is_tried_again_then_given_up(
    sender: Sender, notice: Notice
) -> None:
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        port = plug.getsockname()[1]
    with pytest.raises(NotifyFailed, match=f"http://127.0.0.1:{port}: .* .tried 6 times"):
        sender.send(notice, f"http://127.0.0.1:{port}/x")


def test_a_receiver_that_never_answers_costs_a_bounded_time(
    sender: Sender, receiver: Receiver, notice: Notice
) -> None:
    receiver.answers = [None]
    sender.send(notice, receiver.url, limit_s=0.3)
    assert len(receiver.taken) == 2


def test_an_answer_that_comes_byte_by_byte_costs_a_bounded_time(
    sender: Sender, notice: Notice
) -> None:
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            while not done.is_set():
                plug, _ = server.accept()
                with plug:
                    try:
                        plug.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
                        while not done.wait(0.05):
                            plug.sendall(b"a")
                    except OSError:
                        pass

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(NotifyFailed, match="no whole answer within"):
            sender.send(notice, f"http://127.0.0.1:{server.getsockname()[1]}/x", limit_s=0.1)
        done.set()
        with socket.create_connection(server.getsockname()):
            thread.join(5)


def test_an_endless_body_is_not_read(sender: Sender, receiver: Receiver, notice: Notice) -> None:
    receiver.answers = [(200, {"content-length": "999999999999"})]
    sender.send(notice, receiver.url)
    assert len(receiver.taken) == 1


@pytest.mark.parametrize("url", ["https://[/", "https://a\x00b/", "http://127.0.0.1:99999/"])
def test_an_address_that_is_none_is_told(sender: Sender, notice: Notice, url: str) -> None:
    with pytest.raises(NotifyFailed, match=r"notify\.webhook_url"):
        sender.send(notice, url)


def test_the_body_of_a_notice_is_always_the_same(notice: Notice) -> None:
    assert json.loads(notice.render_body()) == notice.to_json()
    assert dataclasses.replace(notice, error=None).render_body() == notice.render_body()


def test_a_proxy_that_is_none_is_named(
    sender: Sender, notice: Notice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "ftp://proxy")
    with pytest.raises(NotifyFailed, match="ALL_PROXY is wrong"):
        sender.send(notice, "https://hooks.invalid/path")
    assert sender.requests() == []
