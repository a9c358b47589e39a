"""What a shell is full of must be light: no client, no server, no arrays for a help text."""

import subprocess
import sys

import pytest

HEAVY = (
    "openai", "numpy", "safetensors", "fastapi", "uvicorn", "pydantic", "yaml", "rich", "tokenizers"
)  # fmt: skip
PROGRAM = """
import sys
sys.argv = ["ftops", {argument!r}]
from ftops.__main__ import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(argument: str) -> None:
    program = PROGRAM.format(argument=argument, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout
    assert done.stderr.strip() == "[]"


def test_looking_at_runs_imports_the_ledger_and_the_table_alone() -> None:
    rooms = ("ftops.http.request_log", "ftops.reports", "ftops.runs", "ftops.providers")
    heavy = (*tuple(name for name in HEAVY if name != "rich"), "filelock", *rooms)
    program = PROGRAM.format(argument="runs", heavy=heavy)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "Nothing has been run yet.\n"
    assert done.stderr.strip() == "[]"


def test_whether_a_run_is_driven_is_found_out_without_what_drives_it() -> None:
    rooms = ("ftops.runs.context", "ftops.providers", "ftops.ledger", "ftops.spec")
    program = (
        "import ftops.runs.lock, sys\n"
        f"print([name for name in {(*HEAVY, *rooms)} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
