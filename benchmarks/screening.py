"""`ftops data check` with `--near-duplicates --pii` against the legacy tool, on the same file.

The file is that of `benchmarks/dataset.py`, 200 MB or `FTOPS_BENCH_MB`. What each of the two adds
is measured in one process, and the memory that near duplicates take is printed per row.
"""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.dataset import measure_peak_mb, write_rows
from benchmarks.legacy_tool import find_legacy, time_command

LEGACY_TARGET = 5.0
_ROUNDS = 2


def main() -> int:
    """Print times and ratios beside their targets; 1 when one is missed."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = folder / "rows.jsonl"
        rows = write_rows(path, int(os.environ.get("FTOPS_BENCH_MB", "200")))
        check = [sys.executable, "-m", "ftops", "data", "check", str(path), "--quiet"]
        one = [*check, "--processes", "1"]
        commands = {
            "plain, one process": one,
            "--pii, one process": [*one, "--pii"],
            "--near-duplicates, one process": [*one, "--near-duplicates"],
            "both, one process": [*one, "--near-duplicates", "--pii"],
            "both": [*check, "--near-duplicates", "--pii"],
        }
        best = {
            name: min(time_command(command, folder) for _ in range(_ROUNDS))
            for name, command in commands.items()
        }
        size_mb = path.stat().st_size / 1e6
        print(f"{rows:,} rows, {size_mb:,.0f} MB; load {os.getloadavg()[0]:.1f}")
        print(f"{'what':34}{'s':>8}{'MB/s':>9}")
        for name, took in best.items():
            print(f"{f'data check, {name}':34}{took:8.2f}{size_mb / took:9.0f}")
        plain = measure_peak_mb(commands["plain, one process"])
        near = measure_peak_mb(commands["--near-duplicates, one process"])
        share = (near - plain) * 1e6 / rows
        print(f"{'peak MB, one process':34}{near:8.0f} with --near-duplicates, {plain:.0f} without")
        print(f"{'bytes a row for --near-duplicates, NumPy in':34}{share:8.0f}")
        legacy = find_legacy()
        if legacy is None:
            return 0
        took = time_command([*legacy, "-f", str(path)], folder)
        ratio = took / best["both"]
        print(f"{'legacy prepare_data -q':34}{took:8.2f}{ratio:9.1f}{f'>= {LEGACY_TARGET}':>9}")
    return int(ratio < LEGACY_TARGET)
