"""Commands that are called often import no client, no server and no NumPy."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ftops.cli.reference import list_paths

HEAVY = (
    "openai", "numpy", "safetensors", "fastapi", "uvicorn", "pydantic", "yaml", "rich",
    "tokenizers", "torch",
)  # fmt: skip
PROGRAM = """
import sys
from ftops.__main__ import main
for line in {lines!r}:
    sys.argv = ["ftops", *line.split()]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (line, ended.code)
print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""


def run_lines(lines: Sequence[str], heavy: Sequence[str]) -> tuple[str, str]:
    """The output of command lines in one new process, and the heavy modules that they import."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(lines=lines, heavy=heavy)],
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout, process.stderr.strip()


def test_help_and_version_import_no_heavy_module() -> None:
    lines = ["--version", *(f"{path} {flag}" for path in list_paths() for flag in ("--help", "-h"))]
    printed, loaded = run_lines(lines, HEAVY)
    assert printed.count("Usage: ftops") == len(lines) - 1
    assert loaded == "[]"


def test_listing_runs_imports_only_the_ledger_and_the_table() -> None:
    packages = ("ftops.http.request_log", "ftops.reports", "ftops.providers", "ftops.spec.job_file")
    heavy = (*tuple(name for name in HEAVY if name != "rich"), *packages)
    assert run_lines(["runs"], heavy) == ("No runs yet.\n", "[]")


def test_the_run_folder_imports_no_heavy_module() -> None:
    packages = ("ftops.runs.context", "ftops.providers", "ftops.ledger", "ftops.spec")
    program = (
        "import ftops.run_folder, sys\n"
        f"print([name for name in {(*HEAVY, *packages)} if name in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


def test_a_plain_check_of_data_does_not_import_numpy(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    row = '{{"prompt": "number {0} ->", "completion": " answer {0} END"}}\n'
    rows.write_text("".join(map(row.format, range(12))))
    _, loaded = run_lines([f"data check {rows} --quiet"], ("numpy", "openai"))
    assert loaded.splitlines()[-1] == "[]"
