"""The same commands on a terminal: a bar, colours, a question before something is deleted."""

import os
import subprocess
import sys

import pytest

from tests.e2e.house import COMMAND, House

pty = pytest.importorskip("pty")
pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal"),
]


def type_at(house: House, *arguments: str, typed: str = "") -> tuple[int, str]:
    """Run the command on a terminal of 80 columns; exit code and all that appeared there."""
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**house.environ(), "TERM": "xterm-256color"},
        cwd=house.folder,
    )
    os.close(theirs)
    shown = []
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            break
        if not piece:
            break
        shown.append(piece)
    os.close(ours)
    return process.wait(timeout=60), b"".join(shown).decode()


def test_a_run_on_a_terminal_shows_a_bar_with_steps_and_colours(house: House) -> None:
    code, shown = type_at(house, "run", str(house.write_job("seen", epochs=8)))
    assert code == 0
    assert "━" in shown
    assert " steps" in shown
    assert "\x1b[" in shown
    assert "ft:ada:local:seen:" in shown


def test_a_question_is_asked_before_a_model_is_deleted(house: House) -> None:
    house.look("run", house.write_job("asked", epochs=1))
    code, shown = type_at(house, "models", "delete", "asked", typed="n\n")
    assert code == 1
    assert "Delete ft:ada:local:asked:" in shown
    assert "nothing was deleted" in shown
    code, shown = type_at(house, "models", "delete", "asked", typed="y\n")
    assert code == 0
    assert "Deleted: ft:ada:local:asked:" in shown


def test_each_fix_of_data_is_a_question(house: House) -> None:
    rows = "".join(f'{{prompt: "row {n}", completion: {n % 3}}}\n' for n in range(30))
    (house.folder / "raw.jsonl").write_text(rows)
    typed = "y\ny\nn\ny\n"
    code, shown = type_at(house, "data", "prepare", "raw.jsonl", typed=typed)
    assert code == 0
    asked = ("mend-json", "write-numbers", "add-separator", "add-leading-blank")
    places = [shown.index(f"{fix}\x1b") for fix in asked]
    assert places == sorted(places)
    assert shown.count("Do this? [Y/n]") == len(asked)
    written = (house.folder / "raw.prepared.jsonl").read_text().splitlines()
    assert written[4] == '{"prompt":"row 4","completion":" 1"}'
    plan = (house.folder / "raw.prepared.jsonl.plan.yaml").read_text()
    assert "add-separator" not in plan
    code, shown = type_at(house, "data", "prepare", "raw.jsonl", "--force", typed="\x04")
    assert code == 1
    assert "nothing was written" in shown
