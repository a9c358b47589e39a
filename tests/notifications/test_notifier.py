"""The notifier checks its targets before it sends anything; programs run, hang and fail."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ftops.errors import NotifyFailed
from ftops.http.request_log import RequestLog
from ftops.notifications.notification import (
    CommandTarget,
    Notification,
    NullNotifier,
    WebhookTarget,
)
from ftops.notifications.notifier import DefaultNotifier, run_command
from tests.fakes import FakeClock
from tests.notifications.receiver import SECRET, Receiver

PATH = "/usr/bin:/bin"


def make_notifier(folder: Path, **environ: str) -> DefaultNotifier:
    clock = FakeClock()
    request_log = RequestLog(folder / "requests.jsonl", clock, lambda _text: None)
    return DefaultNotifier({"PATH": PATH, **environ}, clock, request_log)


def test_a_webhook_and_a_command_are_notified(
    tmp_path: Path, receiver: Receiver, notification: Notification
) -> None:
    notifier = make_notifier(tmp_path, HOOK=f" {SECRET}\n")
    notifier.notify(notification, WebhookTarget(receiver.url, "HOOK"), print)
    notifier.notify(notification, CommandTarget(("touch", "notified"), tmp_path), print)
    assert [delivery.headers["webhook-id"] for delivery in receiver.deliveries] == [notification.id]
    assert (tmp_path / "notified").exists()
    assert notifier.check(WebhookTarget(receiver.url, "HOOK")) is None
    assert notifier.check(CommandTarget(("touch", "notified"), tmp_path)) is None


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "HOOK is not set"),
        ({"HOOK": "  "}, "HOOK is not set"),
        ({"HOOK": "not-of-that-form"}, "HOOK holds no valid secret"),
    ],
)
def test_a_bad_secret_is_reported_beforehand_and_never_shown(
    tmp_path: Path,
    receiver: Receiver,
    notification: Notification,
    environ: dict[str, str],
    message: str,
) -> None:
    notifier, target = make_notifier(tmp_path, **environ), WebhookTarget(receiver.url, "HOOK")
    reason = notifier.check(target)
    assert reason is not None
    assert message in reason
    assert "not-of-that-form" not in reason
    with pytest.raises(NotifyFailed) as caught:
        notifier.notify(notification, target, print)
    assert caught.value.message == reason
    assert receiver.deliveries == []


def test_a_missing_program_is_reported_beforehand(tmp_path: Path) -> None:
    reason = make_notifier(tmp_path).check(CommandTarget(("nothing-like-it",), tmp_path))
    assert reason == "notify.command: program 'nothing-like-it' not found"


def test_the_null_notifier_sends_nothing(tmp_path: Path, notification: Notification) -> None:
    with pytest.raises(NotifyFailed, match="no notifications are sent"):
        NullNotifier().notify(notification, CommandTarget(("touch", "notified"), tmp_path), print)
    assert NullNotifier().check(CommandTarget(("touch", "notified"), tmp_path))


def test_the_http_client_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys\n"
        "import ftops.notifications.notifier\n"
        "print([name for name in ('openai', 'httpx2', 'tenacity') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


RunCode = Callable[..., None]


@pytest.fixture
def run_code(tmp_path: Path, notification: Notification) -> RunCode:
    """Run Python code as the program of a command target, in an empty folder."""

    def run(code: str, *arguments: str, timeout_s: float = 20.0) -> None:
        argv = (sys.executable, "-c", code, *arguments)
        run_command(
            notification, CommandTarget(argv, tmp_path), environ=os.environ, timeout_s=timeout_s
        )

    return run


def test_a_program_gets_json_variables_arguments_and_the_folder(
    run_code: RunCode, tmp_path: Path
) -> None:
    run_code(
        "import json, os, sys; json.dump([json.load(sys.stdin), sys.argv[1:],"
        " {k: v for k, v in os.environ.items() if k.startswith('FTOPS_')}],"
        " open('input.json', 'w'))",
        "$HOME; `id`",
    )
    document, arguments, variables = json.loads((tmp_path / "input.json").read_text())
    assert document == {
        "type": "run.failed",
        "timestamp": "2026-11-22T12:00:00+00:00",
        "data": {
            "run_id": "run-1",
            "name": "news",
            "job_id": None,
            "error": "the provider's own words",
        },
    }
    assert arguments == ["$HOME; `id`"]  # no shell expands it
    assert variables == {
        "FTOPS_OUTCOME": "failure",
        "FTOPS_RUN_ID": "run-1",
        "FTOPS_NAME": "news",
        "FTOPS_JOB_ID": "",
    }


def test_a_program_gets_only_basic_and_listed_variables(
    tmp_path: Path, notification: Notification
) -> None:
    (tmp_path / "show").write_text("#!/bin/sh\n/usr/bin/env > env.txt\n")
    (tmp_path / "show").chmod(0o755)
    environ = {
        "PATH": "/usr/bin:/bin", "HOME": "/home/me", "LANG": "C.UTF-8", "TMPDIR": "/tmp",
        "OPENAI_API_KEY": "key", "FTOPS_HOME": "/x", "FTOPS_WEBHOOK_SECRET": "key",
        "PYTHONPATH": "/x", "LD_PRELOAD": "/x", "SLACK_CHANNEL": "#ops", "TEAM": "a=b",
    }  # fmt: skip
    target = CommandTarget(("./show",), tmp_path, ("SLACK_CHANNEL", "TEAM", "NOT_SET"))
    run_command(notification, target, environ=environ)
    variables = dict(line.split("=", 1) for line in (tmp_path / "env.txt").read_text().splitlines())
    for set_by_shell in ("PWD", "OLDPWD", "SHLVL", "_"):
        variables.pop(set_by_shell, None)
    assert variables == {
        "PATH": "/usr/bin:/bin", "HOME": "/home/me", "LANG": "C.UTF-8", "TMPDIR": "/tmp",
        "SLACK_CHANNEL": "#ops", "TEAM": "a=b",
        "FTOPS_OUTCOME": "failure", "FTOPS_RUN_ID": "run-1", "FTOPS_NAME": "news",
        "FTOPS_JOB_ID": "",
    }  # fmt: skip


def test_a_relative_program_is_found_next_to_the_job_file(
    tmp_path: Path, notification: Notification
) -> None:
    script = tmp_path / "notify.sh"
    script.write_text("#!/bin/sh\necho done > done.txt\n")
    script.chmod(0o755)
    run_command(notification, CommandTarget(("./notify.sh",), tmp_path), environ=os.environ)
    assert (tmp_path / "done.txt").read_text() == "done\n"


def test_a_program_that_reads_nothing_is_no_failure(run_code: RunCode) -> None:
    run_code("")
    run_code("import os; os.close(0)")


@pytest.mark.parametrize("name", ["no-such-program-here", "./none.sh", "/", "."])
def test_a_program_that_does_not_exist_is_reported(
    tmp_path: Path, notification: Notification, name: str
) -> None:
    with pytest.raises(NotifyFailed, match="not found"):
        run_command(notification, CommandTarget((name,), tmp_path), environ=os.environ)


def test_a_file_that_is_no_program_is_reported(tmp_path: Path, notification: Notification) -> None:
    script = tmp_path / "notify.sh"
    script.write_bytes(b"\x7fELFnonsense")
    script.chmod(0o755)
    with pytest.raises(NotifyFailed, match=r"'\./notify\.sh': "):
        run_command(notification, CommandTarget(("./notify.sh",), tmp_path), environ=os.environ)


def test_a_program_that_hangs_is_killed_with_its_children(
    run_code: RunCode, tmp_path: Path
) -> None:
    started_s = time.monotonic()
    with pytest.raises(NotifyFailed, match=r"was killed after 0\.5 s"):
        run_code(
            "import subprocess, sys; child = subprocess.Popen(['sleep', '60']);"
            " open('child', 'w').write(str(child.pid)); child.wait()",
            timeout_s=0.5,
        )
    assert time.monotonic() - started_s < 10
    child = tmp_path / "child"
    if child.exists():  # the program got that far
        assert _has_ended(int(child.read_text()))


def test_the_output_of_a_failing_program_is_shown_shortened_and_escaped(
    run_code: RunCode,
) -> None:
    with pytest.raises(NotifyFailed) as caught:
        run_code(
            "import sys; print('\\x1b[2J\\x07' + 'x' * 5000 + '\\n\\u202eend\\r'); sys.exit(7)"
        )
    message = caught.value.message
    assert "exited with code 7: " in message
    assert message.endswith("x end")
    assert len(message) < 600
    assert message.isprintable()


def test_a_program_killed_by_a_signal_is_reported(run_code: RunCode) -> None:
    with pytest.raises(NotifyFailed, match="code -9"):
        run_code("import os; os.kill(os.getpid(), 9)")


def test_endless_output_of_a_program_is_not_kept_in_memory(run_code: RunCode) -> None:
    run_code("import sys; [sys.stdout.write('x' * 100_000) for _ in range(300)]")


def _has_ended(pid: int) -> bool:
    pause = threading.Event()
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        pause.wait(0.01)
    return False
