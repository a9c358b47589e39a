"""Programs that are told: real ones, and those that are missing, hang, fail or print what harms."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ftops.errors import NotifyFailed
from ftops.notifications.command import run_command
from ftops.notifications.notice import CommandTarget, Notice

Tell = Callable[..., None]


@pytest.fixture
def tell(tmp_path: Path, notice: Notice) -> Tell:
    """Run Python code as the program, in a folder of its own."""

    def run(code: str, *arguments: str, limit_s: float = 20.0) -> None:
        argv = (sys.executable, "-c", code, *arguments)
        run_command(notice, CommandTarget(argv, tmp_path), environ=os.environ, limit_s=limit_s)

    return run


def test_a_program_gets_json_variables_arguments_and_the_folder(tell: Tell, tmp_path: Path) -> None:
    tell(
        "import json, os, sys; json.dump([json.load(sys.stdin), sys.argv[1:],"
        " {k: v for k, v in os.environ.items() if k.startswith('FTOPS_')}],"
        " open('told.json', 'w'))",
        "$HOME; `id`",
    )
    document, arguments, variables = json.loads((tmp_path / "told.json").read_text())
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
    assert arguments == ["$HOME; `id`"]  # no shell has seen it
    assert variables == {
        "FTOPS_OUTCOME": "failure",
        "FTOPS_RUN_ID": "run-1",
        "FTOPS_NAME": "news",
        "FTOPS_JOB_ID": "",
    }


def test_a_program_gets_a_few_variables_and_those_that_are_named(
    tmp_path: Path, notice: Notice
) -> None:
    (tmp_path / "show").write_text("#!/bin/sh\n/usr/bin/env > env.txt\n")
    (tmp_path / "show").chmod(0o755)
    environ = {
        "PATH": "/usr/bin:/bin", "HOME": "/home/me", "LANG": "C.UTF-8", "TMPDIR": "/tmp",
        "OPENAI_API_KEY": "key", "FTOPS_HOME": "/x", "FTOPS_WEBHOOK_SECRET": "key",
        "PYTHONPATH": "/x", "LD_PRELOAD": "/x", "SLACK_CHANNEL": "#ops", "TEAM": "a=b",
    }  # fmt: skip
    target = CommandTarget(("./show",), tmp_path, ("SLACK_CHANNEL", "TEAM", "NOT_SET"))
    run_command(notice, target, environ=environ)
    got = dict(line.split("=", 1) for line in (tmp_path / "env.txt").read_text().splitlines())
    for set_by_the_shell in ("PWD", "OLDPWD", "SHLVL", "_"):
        got.pop(set_by_the_shell, None)
    assert got == {
        "PATH": "/usr/bin:/bin", "HOME": "/home/me", "LANG": "C.UTF-8", "TMPDIR": "/tmp",
        "SLACK_CHANNEL": "#ops", "TEAM": "a=b",
        "FTOPS_OUTCOME": "failure", "FTOPS_RUN_ID": "run-1", "FTOPS_NAME": "news",
        "FTOPS_JOB_ID": "",
    }  # fmt: skip


def test_a_program_beside_the_job_file_is_found_from_anywhere(
    tmp_path: Path, notice: Notice
) -> None:
    script = tmp_path / "tell.sh"
    script.write_text("#!/bin/sh\necho done > done.txt\n")
    script.chmod(0o755)
    run_command(notice, CommandTarget(("./tell.sh",), tmp_path), environ=os.environ)
    assert (tmp_path / "done.txt").read_text() == "done\n"


def test_a_program_that_reads_nothing_is_no_failure(tell: Tell) -> None:
    tell("")
    tell("import os; os.close(0)")


@pytest.mark.parametrize("name", ["no-such-program-here", "./none.sh", "/", "."])
def test_a_program_that_is_not_there_is_told(tmp_path: Path, notice: Notice, name: str) -> None:
    with pytest.raises(NotifyFailed, match="there is no program"):
        run_command(notice, CommandTarget((name,), tmp_path), environ=os.environ)


def test_a_file_that_is_no_program_is_told(tmp_path: Path, notice: Notice) -> None:
    script = tmp_path / "tell.sh"
    script.write_bytes(b"\x7fELFnonsense")
    script.chmod(0o755)
    with pytest.raises(NotifyFailed, match=r"'\./tell\.sh': "):
        run_command(notice, CommandTarget(("./tell.sh",), tmp_path), environ=os.environ)


def test_a_program_that_hangs_is_ended_with_all_it_has_started(tell: Tell, tmp_path: Path) -> None:
    began_s = time.monotonic()
    with pytest.raises(NotifyFailed, match=r"did not end within 0\.5 s"):
        tell(
            "import subprocess, sys; child = subprocess.Popen(['sleep', '60']);"
            " open('child', 'w').write(str(child.pid)); child.wait()",
            limit_s=0.5,
        )
    assert time.monotonic() - began_s < 10
    child = tmp_path / "child"
    if child.exists():  # it came so far
        assert _is_gone(int(child.read_text()))


def test_what_a_failing_program_prints_is_shown_shortly_and_cannot_move_the_cursor(
    tell: Tell,
) -> None:
    with pytest.raises(NotifyFailed) as caught:
        tell("import sys; print('\\x1b[2J\\x07' + 'x' * 5000 + '\\n\\u202eend\\r'); sys.exit(7)")
    message = caught.value.message
    assert "ended with exit code 7: " in message
    assert message.endswith("x end")
    assert len(message) < 600
    assert message.isprintable()


def test_a_program_that_dies_of_a_signal_is_told(tell: Tell) -> None:
    with pytest.raises(NotifyFailed, match="exit code -9"):
        tell("import os; os.kill(os.getpid(), 9)")


def test_a_program_that_prints_without_end_costs_no_memory(tell: Tell) -> None:
    tell("import sys; [sys.stdout.write('x' * 100_000) for _ in range(300)]")


def _is_gone(pid: int) -> bool:
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
