"""`ftops run` with the legacy protocol: the lifecycle of a job, and interrupted streams."""

import os
import shutil
import signal
from contextlib import closing
from typing import cast

import pytest

from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.providers.engine_process import start_engine
from ftops.records import Json
from tests.e2e.cutting_proxy import cutting_proxy
from tests.e2e.sandbox import Result, Sandbox, finish, interrupt_after

pytestmark = pytest.mark.timeout(120)
LEGACY = "{type: local, protocol: legacy}"
EPOCHS = 10


def read_document(result: Result) -> dict[str, Json]:
    assert result.code == 0, result.err
    return cast(dict[str, Json], result.document)


def read_events(*outputs: str) -> list[str]:
    """The messages of the event lines, in order; each line starts with a time."""
    lines = [line.strip() for output in outputs for line in output.splitlines()]
    return [line[10:] for line in lines if line[2:3] == line[5:6] == ":"]


def check_events(sandbox: Sandbox, name: str, *outputs: str) -> None:
    """Assert that every event of the job was printed once and in order."""
    check_messages(sandbox, name, read_events(*outputs), EPOCHS)


def check_messages(sandbox: Sandbox, name: str, messages: list[str], epochs: int) -> None:
    """Assert that these are the messages of a whole job, each once and in order."""
    run = read_document(sandbox.invoke("show", name, "--json"))
    assert (run["status"], run["protocol"]) == ("succeeded", "legacy")
    assert messages == [
        f"Created fine-tune: {run['job_id']}",
        "Fine-tune costs $0.00",
        "Fine-tune enqueued. Queue number: 0",
        "Fine-tune started",
        *(f"Completed epoch {epoch}/{epochs}" for epoch in range(1, epochs + 1)),
        f"Uploaded model: {run['fine_tuned_model']}",
        messages[-2],
        "Fine-tune succeeded",
    ]
    assert messages[-2].startswith("Uploaded result file: file-")


def write_job(sandbox: Sandbox, name: str, *, provider: str = LEGACY, epochs: int = EPOCHS) -> str:
    return str(sandbox.write_job(name, epochs=epochs, seed=None, provider=provider))


def test_the_lifecycle_of_a_legacy_job(sandbox: Sandbox) -> None:
    job = write_job(sandbox, "old")
    first = sandbox.ftops("run", job)
    assert (first.code, first.err) == (0, "")
    assert "legacy protocol" in first.out
    check_events(sandbox, "old", first.out)
    assert "Evaluation on validation.jsonl" in first.out
    assert "training   o validation" in first.out
    assert "nothing was repeated" in sandbox.invoke("run", job).out
    table = sandbox.folder / "old.csv"
    assert sandbox.invoke("results", "old", "--csv", table).code == 0
    assert table.read_text(encoding="utf-8").startswith("step,train_loss,")
    model = str(read_document(sandbox.invoke("show", "old", "--json"))["fine_tuned_model"])
    assert model.startswith("ada:ft-local:old-")
    assert sandbox.invoke("complete", "-m", "old", "-p", "the apple at noon").out.strip()
    assert sandbox.invoke("models", "delete", "old", "--yes").code == 0
    assert model not in sandbox.invoke("models", "list", "--quiet").out


def test_an_interrupted_legacy_run_continues_without_repeated_events(
    sandbox: Sandbox,
) -> None:
    stopped = interrupt_after(
        sandbox.start("run", write_job(sandbox, "paused")), "Completed epoch 2"
    )
    assert stopped.code == 130
    followed = sandbox.ftops("follow", "paused")
    assert followed.code == 0
    check_events(sandbox, "paused", stopped.out, followed.out)


def test_a_legacy_run_continues_after_the_engine_was_killed(sandbox: Sandbox) -> None:
    process = sandbox.start("run", write_job(sandbox, "shaken"))
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Completed epoch 2" in line:
            break
    address = read_document(sandbox.invoke("engine", "status", "--json"))
    assert isinstance(address["pid"], int)
    os.kill(address["pid"], signal.SIGKILL)
    ended = finish(process)
    assert (ended.code, ended.err) == (0, "")
    check_events(sandbox, "shaken", *lines, ended.out)


def test_streams_that_a_proxy_cuts_off_lose_and_repeat_no_event(
    sandbox: Sandbox,
) -> None:
    address = start_engine(sandbox.home / "engine")
    epochs = 50  # enough for several streams, as one is opened per second
    with cutting_proxy(address.base_url, grows_by=50) as proxy:
        provider = (
            f"{{type: openai, base_url: '{proxy.base_url}', api_key_env: TOKEN, protocol: legacy}}"
        )
        job = write_job(sandbox, "cut", provider=provider, epochs=epochs)
        ended = sandbox.ftops("run", job, TOKEN=address.token)
        assert (ended.code, ended.err) == (0, "")
        with closing(Ledger(sandbox.home / "ledger.db", SystemClock())) as ledger:
            run = next(run for run in ledger.list_runs() if run.name == "cut")
            messages = [event.message for event in ledger.list_events(run.id)]
        check_messages(sandbox, "cut", messages, epochs)
        assert len(proxy.cuts) >= 2


def test_a_legacy_job_is_cancelled(sandbox: Sandbox) -> None:
    sandbox.invoke("run", write_job(sandbox, "unwanted", epochs=500), "--detach")
    assert read_document(sandbox.invoke("cancel", "unwanted", "--json"))["status"] == "cancelled"
    followed = sandbox.invoke("follow", "unwanted")
    assert followed.code == 3


def test_a_legacy_job_without_a_ledger_is_cancelled_by_its_job_file(
    sandbox: Sandbox,
) -> None:
    job = write_job(sandbox, "forgotten", epochs=501)
    sandbox.invoke("run", job, "--detach")
    for path in sandbox.home.glob("ledger.db*"):
        path.unlink()
    shutil.rmtree(sandbox.home / "runs")
    document = read_document(sandbox.invoke("cancel", str(job), "--json"))
    assert (document["name"], document["status"]) == ("forgotten", "cancelled")
