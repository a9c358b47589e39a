"""Ctrl-C, detached and cancelled runs, two commands at once, and an engine that stops."""

import os
import signal
import socket
from typing import cast

import pytest

from ftops.records import Json
from tests.e2e.sandbox import LIMIT_S, Sandbox, finish, interrupt_after

pytestmark = pytest.mark.timeout(120)


def status_of(sandbox: Sandbox, name: str) -> Json:
    return cast(dict[str, Json], sandbox.invoke("show", name, "--json").document)["status"]


def test_ctrl_c_leaves_the_job_running_and_follow_continues(sandbox: Sandbox) -> None:
    job = sandbox.write_job("interrupted", epochs=15)
    stopped = interrupt_after(sandbox.start("run", job), "Training started")
    assert stopped.code == 130
    assert "continues at the provider" in stopped.err
    command = stopped.err.splitlines()[-1].removeprefix("next: ").split()
    assert command[:2] == ["ftops", "follow"]
    followed = sandbox.ftops(*command[1:])
    assert followed.code == 0
    assert "Training started" not in followed.out  # shown by the first command
    assert "successfully completed" in followed.out
    assert "\nModel\n" in followed.out
    assert len(cast(list[Json], sandbox.invoke("runs", "--json").document)) == 1


def test_a_detached_run_is_followed_by_its_job_id(sandbox: Sandbox) -> None:
    job = sandbox.write_job("detached", epochs=1)
    started = sandbox.invoke("run", job, "--detach")
    assert started.code == 0
    assert "ftops follow run-" in started.out
    document = cast(dict[str, Json], sandbox.invoke("show", "detached", "--json").document)
    followed = sandbox.invoke("follow", str(document["job_id"]), "--json")
    assert followed.code == 0
    assert cast(dict[str, Json], followed.document)["status"] == "succeeded"


def test_cancel_ends_the_job_and_later_commands_report_it(sandbox: Sandbox) -> None:
    job = sandbox.write_job("unwanted", epochs=500)
    sandbox.invoke("run", job, "--detach")
    cancelled = sandbox.invoke("cancel", "unwanted", "--json")
    assert cancelled.code == 0
    assert cast(dict[str, Json], cancelled.document)["status"] == "cancelled"
    assert status_of(sandbox, "unwanted") == "cancelled"
    followed = sandbox.invoke("follow", "unwanted", "--json")
    assert followed.code == 3
    error = cast(dict[str, Json], cast(dict[str, Json], followed.document)["error"])
    assert "cancelled" in str(error["message"])
    again = sandbox.invoke("run", job)
    assert again.code == 1
    assert "--retry" in again.err


def test_a_command_that_follows_a_cancelled_run_exits_with_3(
    sandbox: Sandbox,
) -> None:
    job = sandbox.write_job("cut-short", epochs=500)
    process = sandbox.start("run", job)
    assert process.stdout is not None
    for line in process.stdout:
        if "Training started" in line:
            break
    assert sandbox.invoke("cancel", "cut-short").code == 0
    ended = finish(process)
    assert ended.code == 3
    assert "cancelled" in ended.err


def test_two_commands_for_one_job_file_make_one_job(sandbox: Sandbox) -> None:
    job = sandbox.write_job("twice", epochs=3)
    processes = [sandbox.start("run", job, "--json") for _ in range(2)]
    results = [finish(process) for process in processes]
    assert [result.code for result in results] == [0, 0]
    documents = [cast(dict[str, Json], result.document) for result in results]
    assert documents[0]["job_id"] == documents[1]["job_id"]
    runs = cast(list[dict[str, Json]], sandbox.invoke("runs", "--json").document)
    assert sum(run["name"] == "twice" for run in runs) == 1


def test_a_run_continues_after_the_engine_was_stopped(sandbox: Sandbox) -> None:
    job = sandbox.write_job("robbed", epochs=15)
    stopped = interrupt_after(sandbox.start("run", job), "Training started")
    assert stopped.code == 130
    assert sandbox.invoke("engine", "stop").code == 0
    assert sandbox.invoke("engine", "status").code == 1
    assert sandbox.invoke("engine", "stop", "--json").document == {"stopped": False}
    followed = sandbox.invoke("follow", "robbed")
    assert followed.code == 0
    assert "\nModel\n" in followed.out


def test_a_run_continues_after_the_engine_was_killed(sandbox: Sandbox) -> None:
    process = sandbox.start("run", sandbox.write_job("shaken", epochs=15))
    assert process.stdout is not None
    for line in process.stdout:
        if "Training started" in line:
            break
    address = cast(dict[str, Json], sandbox.invoke("engine", "status", "--json").document)
    assert isinstance(address["pid"], int)
    os.kill(address["pid"], signal.SIGKILL)
    ended = finish(process)
    assert ended.code == 0
    assert "\nModel\n" in ended.out


def test_a_run_continues_after_its_output_pipe_is_closed(sandbox: Sandbox) -> None:
    process = sandbox.start("run", sandbox.write_job("unwatched", epochs=1))
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=LIMIT_S) == 141
    process.stderr.close()
    assert status_of(sandbox, "unwatched") == "succeeded"


def test_a_used_port_is_an_error_with_a_hint(sandbox: Sandbox) -> None:
    sandbox.invoke("engine", "stop")
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = sandbox.ftops("serve", "--port", str(server.getsockname()[1]))
    assert result.code == 1
    assert result.out == ""
    assert "in use" in result.err
    assert "--port" in result.err


def test_serve_prints_its_address_and_ends_on_ctrl_c(sandbox: Sandbox) -> None:
    sandbox.invoke("engine", "stop")
    process = sandbox.start("serve", "--json")
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first == "{\n"
    second = sandbox.ftops("serve")
    assert second.code == 1
    assert "engine" in second.err
    ended = interrupt_after(process, "}")
    assert ended.code == 0
    assert sandbox.invoke("engine", "status").code == 1
