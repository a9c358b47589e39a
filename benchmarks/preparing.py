"""`ftops data prepare` with every fix, and tables made JSON lines, against the legacy tool.

The same files, in the same run, as `benchmarks.dataset` makes them (`FTOPS_BENCH_MB`, 200 when left
out); the tables are a quarter and a twentieth of that. Where the legacy tool cannot be installed,
its lines are left out.
"""

import csv
import os
import sys
import tempfile
from pathlib import Path

import orjson

from benchmarks.dataset import (
    PEAK_MB_TARGET,
    measure_peak_mb,
    write_rows,
)
from benchmarks.legacy_tool import find_legacy, time_command

# How many times the legacy tool's speed; it converts and prepares in one, whatever is asked for.
_TARGETS: dict[str, dict[str, float | None]] = {
    "jsonl": {"prepare": 10.0},
    "csv": {"convert": 4.0, "prepare": None},
    "xlsx": {"convert": 4.0, "prepare": None},
}
_ROUNDS = 3
_DUPLICATES = 50  # one row of so many stands there twice, so that the file is written and thinned


def write_all(folder: Path, size_mb: int) -> dict[str, Path]:
    """A file of rows for every fix, and two tables."""
    lines, table = folder / "rows.jsonl", folder / "table.csv"
    plain = folder / "plain.jsonl"
    write_rows(plain, size_mb)
    with plain.open("rb") as source, lines.open("wb") as target:
        for number, line in enumerate(source):
            target.write(line)
            if number % _DUPLICATES == 0:
                target.write(line)
    _write_table(plain, table, size_mb * 250_000)
    plain.unlink()
    sheet = folder / "table.xlsx"
    _write_sheet(table, sheet, size_mb * 50_000)
    return {"jsonl": lines, "csv": table, "xlsx": sheet}


def _write_table(rows: Path, table: Path, size: int) -> None:
    written = 0
    with rows.open("rb") as source, table.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["prompt", "completion"])
        for line in source:
            row = orjson.loads(line)
            writer.writerow([row["prompt"], row["completion"]])
            written += len(line)
            if written > size:
                break


def _write_sheet(table: Path, sheet: Path, size: int) -> None:
    from tests.data.workbooks import make_workbook

    cells, written = [], 0
    with table.open(encoding="utf-8", newline="") as source:
        for row in csv.reader(source):
            cells.append(row)
            written += sum(map(len, row))
            if written > size:
                break
    sheet.write_bytes(make_workbook({"Rows": cells}))


def _render(name: str, path: Path, took: float, theirs: float | None, target: float | None) -> str:
    line = f"{name:34}{path.stat().st_size / 1e6:7.1f}{took:8.2f}"
    if theirs is not None:
        line += f"{theirs:10.2f}{theirs / took:8.1f}"
        line += f">= {target:g}".rjust(9) if target else ""
    return line


def main() -> int:
    """Print times and ratios beside their targets; 1 when one is missed."""
    size_mb = int(os.environ.get("FTOPS_BENCH_MB", "200"))
    missed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        legacy = find_legacy()
        print(f"{'what':34}{'MB':>7}{'s':>8}{'legacy s':>10}{'ratio':>8}{'target':>9}")
        for kind, path in write_all(folder, size_mb).items():
            targets = _TARGETS[kind]
            theirs = None
            if legacy is not None:
                theirs = time_command([*legacy, "-f", str(path)], folder)
            for verb, target in targets.items():
                command = [sys.executable, "-m", "ftops", "data", verb, str(path), "--quiet"]
                command += ["-o", str(folder / "out.jsonl"), "--force"]
                command += ["--yes"] if verb == "prepare" else []
                took = min(time_command(command, folder) for _ in range(_ROUNDS))
                print(_render(f"data {verb}, {kind}", path, took, theirs, target), flush=True)
                missed = missed or bool(theirs and target and theirs / took < target)
            if kind == "jsonl":
                peak_mb = measure_peak_mb(command)
                print(f"{'peak MB':34}{'':7}{peak_mb:8.0f}{'':18}{f'<= {PEAK_MB_TARGET}':>9}")
                missed = missed or peak_mb > PEAK_MB_TARGET
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
