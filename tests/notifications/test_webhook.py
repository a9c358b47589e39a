"""Webhooks over real HTTP: signed, retried, never redirected."""

import base64
import dataclasses
import hashlib
import hmac
import json
import socket
import threading
from pathlib import Path

import pytest

from ftops.errors import NotifyFailed
from ftops.http.request_log import RequestLog, RequestLogEntry, RequestLogReader, run_scope
from ftops.notifications.notification import Notification, WebhookTarget
from ftops.notifications.webhook import RETRIES, WebhookSender, find_key, sign
from tests.fakes import FakeClock
from tests.notifications.receiver import KEY, SECRET, Receiver


class Sender:
    """Sends notifications to an address, with its own clock and request log."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.path = folder / "requests.jsonl"
        self.request_log = RequestLog(self.path, self.clock, lambda _text: None)
        self.messages: list[str] = []

    def send(self, notification: Notification, url: str, *, timeout_s: float = 10.0) -> None:
        sender = WebhookSender(self.clock, self.request_log, self.messages.append, timeout_s)
        sender.send(notification, WebhookTarget(url, "HOOK"), SECRET)

    def requests(self) -> list[RequestLogEntry]:
        return RequestLogReader(self.path).read_new()


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    return Sender(tmp_path)


def test_a_notification_arrives_once_signed_and_without_the_provider_error(
    sender: Sender, receiver: Receiver, notification: Notification
) -> None:
    sender.send(notification, receiver.url)
    (delivery,) = receiver.deliveries
    assert delivery.document == {
        "type": "run.failed",
        "timestamp": "2026-11-22T12:00:00+00:00",
        "data": {"run_id": "run-1", "name": "news", "job_id": None},
    }
    assert delivery.headers["content-type"] == "application/json"
    assert delivery.headers["user-agent"].startswith("ftops/")
    expected = sign(KEY, "msg_0123", int(sender.clock.now().timestamp()), delivery.body)
    assert {name: delivery.headers[name] for name in expected} == expected
    assert "authorization" not in delivery.headers
    assert sender.messages == []


def test_a_temporary_error_is_retried_with_the_same_id_and_a_new_signature(
    sender: Sender, receiver: Receiver, notification: Notification
) -> None:
    receiver.responses = [(500, {}), (429, {"retry-after": "7"}), (503, {}), (408, {}), (200, {})]
    sender.send(notification, receiver.url)
    assert len(receiver.deliveries) == 5
    assert {delivery.headers["webhook-id"] for delivery in receiver.deliveries} == {"msg_0123"}
    assert {delivery.body for delivery in receiver.deliveries} == {notification.render_body()}
    assert [text.partition(" has ")[2] for text in sender.messages] == [
        "not accepted the notification; retrying for a minute"
    ]
    times = [int(delivery.headers["webhook-timestamp"]) for delivery in receiver.deliveries]
    assert times[2] - times[1] >= 7
    for delivery, time in zip(receiver.deliveries, times, strict=True):
        assert sign(KEY, "msg_0123", time, delivery.body).items() <= delivery.headers.items()


def test_every_attempt_is_in_the_request_log_without_the_secret(
    sender: Sender, receiver: Receiver, notification: Notification
) -> None:
    receiver.responses = [(500, {"x-request-id": SECRET})]
    with run_scope("run-1"):
        sender.send(notification, receiver.url)
    requests = [
        (entry.status, entry.attempt, entry.path, entry.run_id) for entry in sender.requests()
    ]
    assert requests == [(500, 1, "/***", "run-1"), (204, 2, "/***", "run-1")]
    assert SECRET not in sender.path.read_text()
    assert "/hooks" not in sender.path.read_text()


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (410, {}, "accepts no more notifications"),
        (401, {}, "responds with HTTP 401"),
        (302, {"location": "http://127.0.0.1:1/elsewhere"}, "redirects to http://127.0.0.1:1 "),
        (307, {"location": "/again"}, "redirects are not followed"),
        (304, {}, "responds with HTTP 304"),
    ],
)
def test_a_refusal_is_final_and_no_redirect_is_followed(
    sender: Sender,
    receiver: Receiver,
    notification: Notification,
    status: int,
    headers: dict[str, str],
    message: str,
) -> None:
    receiver.responses = [(status, headers)]
    with pytest.raises(NotifyFailed, match=message) as caught:
        sender.send(notification, receiver.url)
    assert len(receiver.deliveries) == 1
    assert "/hooks/ftops" not in caught.value.message


def test_retries_of_a_failing_receiver_end_within_the_deadline(
    sender: Sender, receiver: Receiver, notification: Notification
) -> None:
    receiver.responses = [(500, {})] * 50
    with pytest.raises(NotifyFailed, match=r"HTTP 500 .tried 6 times"):
        sender.send(notification, receiver.url)
    assert len(receiver.deliveries) == RETRIES.attempts
    assert sum(sender.clock.slept_s) <= RETRIES.deadline_s


def test_a_too_long_retry_after_is_not_awaited(
    sender: Sender, receiver: Receiver, notification: Notification
) -> None:
    receiver.responses = [(429, {"retry-after": "86400"})]
    with pytest.raises(NotifyFailed, match="HTTP 429"):
        sender.send(notification, receiver.url)
    assert sender.clock.slept_s == []


def test_a_refused_connection_is_an_error_after_retries(
    sender: Sender, notification: Notification
) -> None:
    with socket.socket() as connection:
        connection.bind(("127.0.0.1", 0))
        port = connection.getsockname()[1]
    with pytest.raises(NotifyFailed, match=f"http://127.0.0.1:{port}: .* .tried 6 times"):
        sender.send(notification, f"http://127.0.0.1:{port}/x")


def test_a_receiver_that_never_responds_is_retried_after_the_timeout(
    sender: Sender, receiver: Receiver, notification: Notification
) -> None:
    receiver.responses = [None]
    sender.send(notification, receiver.url, timeout_s=0.3)
    assert len(receiver.deliveries) == 2


def test_a_response_that_arrives_byte_by_byte_ends_at_the_timeout(
    sender: Sender, notification: Notification
) -> None:
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send_slowly() -> None:
            while not done.is_set():
                connection, _ = server.accept()
                with connection:
                    try:
                        connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
                        while not done.wait(0.05):
                            connection.sendall(b"a")
                    except OSError:
                        pass

        thread = threading.Thread(target=send_slowly, daemon=True)
        thread.start()
        with pytest.raises(NotifyFailed, match="no complete response within"):
            sender.send(
                notification, f"http://127.0.0.1:{server.getsockname()[1]}/x", timeout_s=0.1
            )
        done.set()
        with socket.create_connection(server.getsockname()):
            thread.join(5)


def test_an_endless_body_is_not_read(
    sender: Sender, receiver: Receiver, notification: Notification
) -> None:
    receiver.responses = [(200, {"content-length": "999999999999"})]
    sender.send(notification, receiver.url)
    assert len(receiver.deliveries) == 1


@pytest.mark.parametrize("url", ["https://[/", "https://a\x00b/", "http://127.0.0.1:99999/"])
def test_an_invalid_address_is_reported(
    sender: Sender, notification: Notification, url: str
) -> None:
    with pytest.raises(NotifyFailed, match=r"notify\.webhook_url"):
        sender.send(notification, url)


def test_the_body_of_a_notification_is_always_the_same(notification: Notification) -> None:
    assert json.loads(notification.render_body()) == notification.to_json()
    assert dataclasses.replace(notification, error=None).render_body() == notification.render_body()


def test_an_invalid_proxy_is_named(
    sender: Sender, notification: Notification, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "ftp://proxy")
    with pytest.raises(NotifyFailed, match="ALL_PROXY is invalid"):
        sender.send(notification, "https://hooks.invalid/path")
    assert sender.requests() == []


def test_the_signature_is_the_hmac_of_id_time_and_body() -> None:
    headers = sign(KEY, "msg_1", 1_674_087_231, b'{"a":1}')
    expected = hmac.new(KEY, b'msg_1.1674087231.{"a":1}', hashlib.sha256).digest()
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1674087231",
        "webhook-signature": f"v1,{base64.b64encode(expected).decode()}",
    }


def test_the_signature_equals_that_of_openssl() -> None:
    """Created with `openssl dgst -sha256 -mac HMAC` from the same key and text."""
    assert sign(KEY, "msg_1", 1, b"{}")["webhook-signature"] == (
        "v1,Fj1xD533GHFGumBeEr9dgQ19EkM44LsDoFaDBQihN4A="
    )


@pytest.mark.parametrize("secret", [SECRET, SECRET.rstrip("=")])
def test_the_key_is_base64_after_the_prefix(secret: str) -> None:
    assert find_key(secret) == KEY


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY!",
        "whsec_ключ" * 8,
        SECRET + "A",
    ],
)
def test_an_invalid_secret_has_no_key(secret: str) -> None:
    assert find_key(secret) is None
