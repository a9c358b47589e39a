"""The real `ftops` notifies a program and a webhook of the end of a run."""

import json
import signal
from pathlib import Path
from typing import cast

import pytest

from ftops.records import Json
from tests.crash.engine_host import wait_until
from tests.e2e.sandbox import Sandbox, finish
from tests.notifications.receiver import SECRET, receiving

pytestmark = pytest.mark.timeout(120)


def write_job(sandbox: Sandbox, name: str, *lines: str) -> Path:
    path = sandbox.write_job(name, epochs=1)
    path.write_text(path.read_text() + "notify:\n" + "".join(f"  {line}\n" for line in lines))
    return path


def test_a_run_notifies_both_and_stores_no_secret(sandbox: Sandbox) -> None:
    with receiving() as receiver:
        job = write_job(
            sandbox,
            "notified",
            "command: [sh, -c, 'cat > notification.json; echo noise; echo more noise >&2']",
            f"webhook_url: {receiver.url}",
            "webhook_secret_env: HOOK",
        )
        receiver.responses = [(503, {})]
        result = sandbox.ftops("run", job, "--json", HOOK=SECRET)
        assert result.code == 0
        assert result.err.startswith("Code that runs on this machine:\n  notify.command  sh -c ")
        assert not {"noise", "more noise"} & set(result.err.splitlines())
        run = cast(dict[str, Json], result.document)
        again = sandbox.ftops("run", job, "--json", HOOK=SECRET)
        assert again.code == 0
    first, second = receiver.deliveries
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    notification = json.loads((sandbox.folder / "notification.json").read_text())
    assert notification["data"].pop("error") is None
    assert notification == second.document
    assert notification["type"] == "run.succeeded"
    assert notification["data"]["run_id"] == run["run_id"]
    assert notification["data"]["fine_tuned_model"] == run["fine_tuned_model"]
    log = sandbox.invoke("logs", "notified", "--json").out
    assert log.count("/***") == 2
    for path in (file for file in sandbox.home.rglob("*") if file.is_file()):
        assert SECRET.encode() not in path.read_bytes(), path


def test_the_path_of_a_webhook_is_shown_nowhere(sandbox: Sandbox) -> None:
    """Only the ledger has it, as notifications are sent from there."""
    path = "hooks/ftops"
    with receiving() as receiver:
        assert receiver.url.endswith(path)
        job = write_job(
            sandbox,
            "hidden",
            f'webhook_url: "{receiver.url}"  # not {receiver.url}',
            "webhook_secret_env: HOOK",
        )
        arguments = ("run", job, "--set", f"notify.webhook_url={receiver.url}")
        results = [sandbox.ftops(*arguments, "--dry-run"), sandbox.ftops(*arguments, HOOK=SECRET)]
    assert len(receiver.deliveries) == 1
    for page in ("page.html", "page.md"):
        results.append(sandbox.invoke("report", "hidden", "-o", sandbox.folder / page))
        assert path not in (sandbox.folder / page).read_text()
    results += [
        sandbox.invoke("show", "hidden", "--json"),
        sandbox.invoke("models", "show", "hidden"),
        sandbox.invoke("models", "show", "hidden", "--json"),
        sandbox.invoke("logs", "--json"),
    ]
    for result in results:
        assert result.code == 0, result.err
        assert path not in result.out + result.err
    assert "/***" in results[0].out
    files = [file for file in sandbox.home.rglob("*") if file.is_file()]
    holders = {file.name.partition("-")[0] for file in files if path.encode() in file.read_bytes()}
    assert holders == {"ledger.db"}


def test_an_unreachable_recipient_is_reported_early_and_fails_no_run(sandbox: Sandbox) -> None:
    job = write_job(
        sandbox,
        "unnotified",
        "command: [no-such-program-here]",
        "webhook_url: http://127.0.0.1:9/x",
        "webhook_secret_env: HOOK",
    )
    result = sandbox.ftops("run", job)
    assert result.code == 0
    early, _, late = result.out.partition("✓ upload")
    for text in (early, late):
        assert "program 'no-such-program-here' not found" in " ".join(text.split())
        assert "HOOK is not set" in " ".join(text.split())


def test_the_next_command_sends_notifications_after_ctrl_c(sandbox: Sandbox) -> None:
    script = "test -e up || { touch up; sleep 60; }; touch sent-late"
    job = write_job(sandbox, "late", f"command: [sh, -c, '{script}']")
    process = sandbox.start("run", job)
    wait_until((sandbox.folder / "up").exists)
    process.send_signal(signal.SIGINT)
    stopped = finish(process)
    assert stopped.code == 130
    assert "interrupted while sending notifications" in stopped.err
    assert not (sandbox.folder / "sent-late").exists()
    command = stopped.err.splitlines()[-1].removeprefix("next: ").split()
    assert sandbox.invoke(*command[1:3]).code == 0
    assert (sandbox.folder / "sent-late").exists()


def test_parallel_runs_send_their_own_notifications(sandbox: Sandbox) -> None:
    folder = sandbox.folder / "many"
    folder.mkdir()
    for name in ("train.jsonl", "validation.jsonl"):
        (folder / name).write_bytes((sandbox.folder / name).read_bytes())
    for name in ("one", "two"):
        job = write_job(sandbox, name, 'command: [sh, -c, "touch sent-$FTOPS_NAME"]')
        job.rename(folder / job.name)
    assert sandbox.invoke("run", "--all", folder).code == 0
    assert sorted(path.name for path in folder.glob("sent-*")) == ["sent-one", "sent-two"]
