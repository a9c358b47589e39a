"""The real `ftops` tells a program and a web address how a run went."""

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


def test_a_run_tells_both_and_keeps_the_secret_to_itself(sandbox: Sandbox) -> None:
    with receiving() as receiver:
        job = write_job(
            sandbox,
            "told",
            "command: [sh, -c, 'cat > told.json; echo noise; echo more noise >&2']",
            f"webhook_url: {receiver.url}",
            "webhook_secret_env: HOOK",
        )
        receiver.responses = [(503, {})]
        done = sandbox.ftops("run", job, "--json", HOOK=SECRET)
        assert done.code == 0
        assert done.err.startswith("Code that runs on this machine:\n  notify.command  sh -c ")
        assert not {"noise", "more noise"} & set(done.err.splitlines())
        run = cast(dict[str, Json], done.document)
        again = sandbox.ftops("run", job, "--json", HOOK=SECRET)
        assert again.code == 0
    first, second = receiver.deliveries
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    told = json.loads((sandbox.folder / "told.json").read_text())
    assert told["data"].pop("error") is None
    assert told == second.document
    assert told["type"] == "run.succeeded"
    assert told["data"]["run_id"] == run["run_id"]
    assert told["data"]["fine_tuned_model"] == run["fine_tuned_model"]
    logged = sandbox.look("logs", "told", "--json").out
    assert logged.count("/***") == 2
    for path in (file for file in sandbox.home.rglob("*") if file.is_file()):
        assert SECRET.encode() not in path.read_bytes(), path


def test_the_path_of_a_webhook_is_shown_nowhere(sandbox: Sandbox) -> None:
    """Of all that is kept, the ledger alone has it, from which notices are sent."""
    path = "hooks/ftops"
    with receiving() as receiver:
        assert receiver.url.endswith(path)
        job = write_job(
            sandbox,
            "hidden",
            f'webhook_url: "{receiver.url}"  # not {receiver.url}',
            "webhook_secret_env: HOOK",
        )
        words = ("run", job, "--set", f"notify.webhook_url={receiver.url}")
        looks = [sandbox.ftops(*words, "--dry-run"), sandbox.ftops(*words, HOOK=SECRET)]
    assert len(receiver.deliveries) == 1
    for page in ("page.html", "page.md"):
        looks.append(sandbox.look("report", "hidden", "-o", sandbox.folder / page))
        assert path not in (sandbox.folder / page).read_text()
    looks += [
        sandbox.look("show", "hidden", "--json"),
        sandbox.look("models", "show", "hidden"),
        sandbox.look("models", "show", "hidden", "--json"),
        sandbox.look("logs", "--json"),
    ]
    for answer in looks:
        assert answer.code == 0, answer.err
        assert path not in answer.out + answer.err
    assert "/***" in looks[0].out
    kept = [file for file in sandbox.home.rglob("*") if file.is_file()]
    holders = {file.name.partition("-")[0] for file in kept if path.encode() in file.read_bytes()}
    assert holders == {"ledger.db"}


def test_who_cannot_be_told_is_named_at_once_and_costs_no_run(sandbox: Sandbox) -> None:
    job = write_job(
        sandbox,
        "untold",
        "command: [no-such-program-here]",
        "webhook_url: http://127.0.0.1:9/x",
        "webhook_secret_env: HOOK",
    )
    done = sandbox.ftops("run", job)
    assert done.code == 0
    early, _, late = done.out.partition("✓ upload")
    for text in (early, late):
        assert "program 'no-such-program-here' not found" in " ".join(text.split())
        assert "HOOK is not set" in " ".join(text.split())


def test_ctrl_c_while_somebody_is_told_leaves_it_to_the_next_command(sandbox: Sandbox) -> None:
    script = "test -e up || { touch up; sleep 60; }; touch told-late"
    job = write_job(sandbox, "late", f"command: [sh, -c, '{script}']")
    process = sandbox.start("run", job)
    wait_until((sandbox.folder / "up").exists)
    process.send_signal(signal.SIGINT)
    stopped = finish(process)
    assert stopped.code == 130
    assert "interrupted while sending notifications" in stopped.err
    assert not (sandbox.folder / "told-late").exists()
    command = stopped.err.splitlines()[-1].removeprefix("next: ").split()
    assert sandbox.look(*command[1:3]).code == 0
    assert (sandbox.folder / "told-late").exists()


def test_many_runs_at_once_tell_each_of_itself(sandbox: Sandbox) -> None:
    folder = sandbox.folder / "many"
    folder.mkdir()
    for name in ("train.jsonl", "validation.jsonl"):
        (folder / name).write_bytes((sandbox.folder / name).read_bytes())
    for name in ("one", "two"):
        job = write_job(sandbox, name, 'command: [sh, -c, "touch told-$FTOPS_NAME"]')
        job.rename(folder / job.name)
    assert sandbox.look("run", "--all", folder).code == 0
    assert sorted(path.name for path in folder.glob("told-*")) == ["told-one", "told-two"]
