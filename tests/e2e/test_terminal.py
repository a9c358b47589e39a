"""Commands on a terminal: a bar, colours, and a question before something is deleted."""

import os
import re
import subprocess
import sys

import pytest

from tests.e2e.sandbox import COMMAND, Sandbox
from tests.e2e.test_run_all import write_folder

pty = pytest.importorskip("pty")
pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal"),
]
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


# Makes the terminal the controlling terminal of the program, so that Ctrl-C reaches it.
IN_A_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
CTRL_C = b"\x03"


def run_in_terminal(
    sandbox: Sandbox, *arguments: str, typed: str = "", interrupt_at: str = ""
) -> tuple[int, str]:
    """Run the command in a terminal of 80 columns; return its exit code and output.

    Ctrl-C is sent when the output contains `interrupt_at`.
    """
    master, slave = pty.openpty()
    os.write(master, typed.encode())
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, *COMMAND, *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**sandbox.environ(), "TERM": "xterm-256color"},
        cwd=sandbox.folder,
    )
    os.close(slave)
    output = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # EIO on Linux when the other end is closed
            break
        if not chunk:
            break
        output += chunk
        if interrupt_at and interrupt_at.encode() in output:
            os.write(master, CTRL_C)
            interrupt_at = ""
    os.close(master)
    return process.wait(timeout=60), output.decode()


def test_a_run_on_a_terminal_prints_a_bar_with_steps_and_colours(sandbox: Sandbox) -> None:
    code, output = run_in_terminal(sandbox, "run", str(sandbox.write_job("seen", epochs=8)))
    assert code == 0
    assert "━" in output
    assert " steps" in output
    assert "\x1b[" in output
    assert "ft:ada:local:seen:" in output


def test_a_question_is_asked_before_a_model_is_deleted(sandbox: Sandbox) -> None:
    sandbox.invoke("run", sandbox.write_job("asked", epochs=1))
    code, output = run_in_terminal(sandbox, "models", "delete", "asked", typed="n\n")
    assert code == 1
    assert "Delete ft:ada:local:asked:" in output
    assert "nothing was deleted" in output
    code, output = run_in_terminal(sandbox, "models", "delete", "asked", typed="y\n")
    assert code == 0
    assert "Deleted: ft:ada:local:asked:" in output


def test_a_question_is_asked_before_old_runs_are_pruned(sandbox: Sandbox) -> None:
    sandbox.invoke("run", sandbox.write_job("aged", epochs=1))
    code, output = run_in_terminal(
        sandbox, "prune", "--older-than", "0m", "--local-only", typed="n\n"
    )
    assert code == 1
    assert re.search(r"aged +[0-9]{4}-[0-9]{2}-[0-9]{2} +[0-9.]+ kB", remove_escapes(output))
    assert "Delete all of this?" in output
    assert any((sandbox.home / "runs").iterdir())
    code, output = run_in_terminal(
        sandbox, "prune", "--older-than", "0m", "--local-only", typed="y\n"
    )
    assert code == 0
    assert "Pruned " in output
    assert not any((sandbox.home / "runs").iterdir())


def remove_escapes(output: str) -> str:
    """The text without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)


def test_parallel_runs_share_one_table_that_is_updated_in_place(
    sandbox: Sandbox,
) -> None:
    folder = write_folder(sandbox, "pair", "alpha", "beta", epochs=4)
    code, output = run_in_terminal(sandbox, "run", "--all", str(folder), "--allow-outside")
    assert code == 0
    assert "\x1b[2K" in output or "\x1b[1A" in output  # updated in place
    assert output.rindex(SHOW_CURSOR) > output.rindex(HIDE_CURSOR)
    lines = remove_escapes(output[output.rindex(SHOW_CURSOR) :]).splitlines()
    closing = [line.split() for line in lines if line.strip()]
    assert closing[0][:2] == ["job", "file"]
    assert [row[0] for row in closing[1:3]] == ["pair/alpha.yaml", "pair/beta.yaml"]
    assert all("succeeded" in row for row in closing[1:3])


def test_ctrl_c_clears_the_table_and_leaves_every_job_running(sandbox: Sandbox) -> None:
    folder = write_folder(sandbox, "slow", "gamma", "delta", epochs=400)
    code, output = run_in_terminal(
        sandbox, "run", "--all", str(folder), "--allow-outside", interrupt_at="follow: "
    )
    assert code == 130
    assert output.rindex(SHOW_CURSOR) > output.rindex(HIDE_CURSOR)
    message = " ".join(remove_escapes(output[output.rindex(SHOW_CURSOR) :]).split())
    assert "stopped watching; 0 of 2 are done" in message
    assert "Traceback" not in output
    listed = sandbox.invoke("runs", "--json").document
    assert isinstance(listed, list)
    runs = [run for run in listed if isinstance(run, dict) and run["name"] in ("gamma", "delta")]
    assert {run["status"] for run in runs} == {"running"}
    for run in runs:
        assert sandbox.invoke("cancel", str(run["run_id"])).code == 0


def test_each_fix_of_data_is_a_question(sandbox: Sandbox) -> None:
    rows = "".join(f'{{prompt: "row {n}", completion: {n % 3}}}\n' for n in range(30))
    (sandbox.folder / "raw.jsonl").write_text(rows)
    typed = "y\ny\nn\ny\n"
    code, output = run_in_terminal(sandbox, "data", "prepare", "raw.jsonl", typed=typed)
    assert code == 0
    fixes = ("repair-json", "stringify-numbers", "add-separator", "add-leading-space")
    places = [output.index(f"{fix}\x1b") for fix in fixes]
    assert places == sorted(places)
    assert output.count("Apply this fix? [Y/n]") == len(fixes)
    written = (sandbox.folder / "raw.prepared.jsonl").read_text().splitlines()
    assert written[4] == '{"prompt":"row 4","completion":" 1"}'
    plan = (sandbox.folder / "raw.prepared.jsonl.plan.yaml").read_text()
    assert "add-separator" not in plan
    code, output = run_in_terminal(sandbox, "data", "prepare", "raw.jsonl", "--force", typed="\x04")
    assert code == 1
    assert "nothing was written" in output


def test_texts_are_sent_for_moderation_only_after_a_confirmation(
    sandbox: Sandbox,
) -> None:
    rows = sandbox.folder / "few.jsonl"
    rows.write_text('{"prompt": "two", "completion": " words"}\n' * 12)
    code, output = run_in_terminal(sandbox, "data", "check", str(rows), "--moderate", typed="n\n")
    assert code == 1
    output = " ".join(output.split())
    assert "(12 rows, 108 characters) to openai (api.openai.com) for moderation?" in output
    assert "nothing was sent" in output


def test_a_key_is_sent_to_a_new_address_only_after_a_confirmation(sandbox: Sandbox) -> None:
    provider = "{type: openai, base_url: 'https://llm.invalid/v1', api_key_env: NOT_SET}"
    job = str(sandbox.write_job("asked", provider=provider))
    question = "Send the key in NOT_SET and the data to https://llm.invalid/v1?"
    code, output = run_in_terminal(sandbox, "run", job, typed="n\n")
    assert (code, question in output) == (1, True)
    assert output.index("train.jsonl (") < output.index(question)
    assert "nothing was sent" in output
    assert not (sandbox.home / "trust.toml").exists()
    code, output = run_in_terminal(sandbox, "run", job, typed="y\n")
    assert (code, question in output) == (1, True)
    assert "NOT_SET is not set" in " ".join(output.split())
    code, output = run_in_terminal(sandbox, "run", job)
    assert (code, question in output) == (1, False)
