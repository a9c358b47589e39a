"""The same commands on a terminal: a bar, colours, a question before something is deleted."""

import os
import re
import subprocess
import sys

import pytest

from tests.e2e.sandbox import COMMAND, Sandbox
from tests.e2e.test_all import write_folder

pty = pytest.importorskip("pty")
pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal"),
]
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


# What a terminal does for the program in it: Ctrl-C reaches whoever has it as controlling terminal.
IN_A_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
CTRL_C = b"\x03"


def type_at(
    sandbox: Sandbox, *arguments: str, typed: str = "", interrupt_at: str = ""
) -> tuple[int, str]:
    """Run the command on a terminal of 80 columns; exit code and all that appeared there.

    Ctrl-C is pressed once `interrupt_at` has appeared.
    """
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, *COMMAND, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**sandbox.environ(), "TERM": "xterm-256color"},
        cwd=sandbox.folder,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            break
        if not piece:
            break
        shown += piece
        if interrupt_at and interrupt_at.encode() in shown:
            os.write(ours, CTRL_C)
            interrupt_at = ""
    os.close(ours)
    return process.wait(timeout=60), shown.decode()


def test_a_run_on_a_terminal_shows_a_bar_with_steps_and_colours(sandbox: Sandbox) -> None:
    code, shown = type_at(sandbox, "run", str(sandbox.write_job("seen", epochs=8)))
    assert code == 0
    assert "━" in shown
    assert " steps" in shown
    assert "\x1b[" in shown
    assert "ft:ada:local:seen:" in shown


def test_a_question_is_asked_before_a_model_is_deleted(sandbox: Sandbox) -> None:
    sandbox.look("run", sandbox.write_job("asked", epochs=1))
    code, shown = type_at(sandbox, "models", "delete", "asked", typed="n\n")
    assert code == 1
    assert "Delete ft:ada:local:asked:" in shown
    assert "nothing was deleted" in shown
    code, shown = type_at(sandbox, "models", "delete", "asked", typed="y\n")
    assert code == 0
    assert "Deleted: ft:ada:local:asked:" in shown


def test_a_question_is_asked_before_old_runs_are_pruned(sandbox: Sandbox) -> None:
    sandbox.look("run", sandbox.write_job("aged", epochs=1))
    code, shown = type_at(sandbox, "prune", "--older-than", "0m", "--local-only", typed="n\n")
    assert code == 1
    assert re.search(r"aged +[0-9]{4}-[0-9]{2}-[0-9]{2} +[0-9.]+ kB", see_plain(shown))
    assert "Delete all of this?" in shown
    assert any((sandbox.home / "runs").iterdir())
    code, shown = type_at(sandbox, "prune", "--older-than", "0m", "--local-only", typed="y\n")
    assert code == 0
    assert "Pruned " in shown
    assert not any((sandbox.home / "runs").iterdir())


def see_plain(shown: str) -> str:
    """The text without colours and movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def test_many_runs_share_one_table_that_changes_in_place_and_is_left_behind(
    sandbox: Sandbox,
) -> None:
    folder = write_folder(sandbox, "pair", "alpha", "beta", epochs=4)
    code, shown = type_at(sandbox, "run", "--all", str(folder), "--allow-outside")
    assert code == 0
    assert "\x1b[2K" in shown or "\x1b[1A" in shown  # drawn over what stood there
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    lines = see_plain(shown[shown.rindex(SHOW_CURSOR) :]).splitlines()
    closing = [line.split() for line in lines if line.strip()]
    assert closing[0][:2] == ["job", "file"]
    assert [row[0] for row in closing[1:3]] == ["pair/alpha.yaml", "pair/beta.yaml"]
    assert all("succeeded" in row for row in closing[1:3])


def test_ctrl_c_takes_the_table_away_and_leaves_every_job_at_its_provider(sandbox: Sandbox) -> None:
    folder = write_folder(sandbox, "slow", "gamma", "delta", epochs=400)
    code, shown = type_at(
        sandbox, "run", "--all", str(folder), "--allow-outside", interrupt_at="follow: "
    )
    assert code == 130
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    said = " ".join(see_plain(shown[shown.rindex(SHOW_CURSOR) :]).split())
    assert "stopped watching; 0 of 2 are done" in said
    assert "Traceback" not in shown
    listed = sandbox.look("runs", "--json").document
    assert isinstance(listed, list)
    runs = [run for run in listed if isinstance(run, dict) and run["name"] in ("gamma", "delta")]
    assert {run["status"] for run in runs} == {"running"}
    for run in runs:
        assert sandbox.look("cancel", str(run["run_id"])).code == 0


def test_each_fix_of_data_is_a_question(sandbox: Sandbox) -> None:
    rows = "".join(f'{{prompt: "row {n}", completion: {n % 3}}}\n' for n in range(30))
    (sandbox.folder / "raw.jsonl").write_text(rows)
    typed = "y\ny\nn\ny\n"
    code, shown = type_at(sandbox, "data", "prepare", "raw.jsonl", typed=typed)
    assert code == 0
    asked = ("repair-json", "stringify-numbers", "add-separator", "add-leading-space")
    places = [shown.index(f"{fix}\x1b") for fix in asked]
    assert places == sorted(places)
    assert shown.count("Apply this fix? [Y/n]") == len(asked)
    written = (sandbox.folder / "raw.prepared.jsonl").read_text().splitlines()
    assert written[4] == '{"prompt":"row 4","completion":" 1"}'
    plan = (sandbox.folder / "raw.prepared.jsonl.plan.yaml").read_text()
    assert "add-separator" not in plan
    code, shown = type_at(sandbox, "data", "prepare", "raw.jsonl", "--force", typed="\x04")
    assert code == 1
    assert "nothing was written" in shown


def test_texts_leave_only_after_a_yes_to_a_question_that_says_what_goes_where(
    sandbox: Sandbox,
) -> None:
    rows = sandbox.folder / "few.jsonl"
    rows.write_text('{"prompt": "two", "completion": " words"}\n' * 12)
    code, shown = type_at(sandbox, "data", "check", str(rows), "--moderate", typed="n\n")
    assert code == 1
    shown = " ".join(shown.split())
    assert "(12 rows, 108 characters) to openai (api.openai.com) for moderation?" in shown
    assert "nothing was sent" in shown


def test_a_key_goes_to_a_new_address_only_after_a_question(sandbox: Sandbox) -> None:
    provider = "{type: openai, base_url: 'https://llm.invalid/v1', api_key_env: NOT_SET}"
    job = str(sandbox.write_job("asked", provider=provider))
    question = "Send the key in NOT_SET and the data to https://llm.invalid/v1?"
    code, shown = type_at(sandbox, "run", job, typed="n\n")
    assert (code, question in shown) == (1, True)
    assert shown.index("train.jsonl (") < shown.index(question)
    assert "nothing was sent" in shown
    assert not (sandbox.home / "trust.toml").exists()
    code, shown = type_at(sandbox, "run", job, typed="y\n")
    assert (code, question in shown) == (1, True)
    assert "NOT_SET is not set" in " ".join(shown.split())
    code, shown = type_at(sandbox, "run", job)
    assert (code, question in shown) == (1, False)
