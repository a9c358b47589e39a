"""Tables to JSON lines, against the legacy tool, on the same files.

CSV of `FTOPS_BENCH_MB` megabytes (default 200, of which a workbook gets a tenth) and XLSX, with
rows of about 1.1 KB. The legacy tool does more than convert: it looks at the rows, as ftops does
with `data check`, whose time stands beside.
"""

import csv
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson

from benchmarks.dataset import write_rows
from benchmarks.legacy_tool import find_legacy, time_command
from tests.data.workbooks import make_workbook

LEGACY_TARGET = 4.0
_ROUNDS = 3
_CONVERT = """
import sys
from pathlib import Path
from ftops.data.prepare import Recipe, prepare_file
from ftops.records import RowFormat
source, target = map(Path, sys.argv[1:])
prepare_file(source, target, Recipe(RowFormat.COMPLETION))
"""


def _read_pairs(path: Path) -> Iterator[list[str]]:
    yield ["prompt", "completion"]
    with path.open("rb") as stream:
        for line in stream:
            row = orjson.loads(line)
            yield [row["prompt"], row["completion"]]


def write_csv(source: Path, target: Path) -> None:
    """The rows of JSON lines as CSV."""
    with target.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(_read_pairs(source))


def write_xlsx(source: Path, target: Path) -> None:
    """The rows of JSON lines as a workbook of one sheet."""
    target.write_bytes(make_workbook({"rows": list(_read_pairs(source))}))


def measure(path: Path, legacy: list[str] | None) -> bool:
    """Print the times for one table; whether the target was missed."""
    target = path.with_suffix(".out.jsonl")
    convert = [sys.executable, "-c", _CONVERT, str(path), str(target)]
    check = [sys.executable, "-m", "ftops", "data", "check", str(path), "--quiet"]
    took = [
        min(time_command(command, path.parent) for _ in range(_ROUNDS))
        for command in (convert, check)
    ]
    print(f"{path.suffix[1:]}, {path.stat().st_size / 1e6:.0f} MB")
    print(f"{'to JSON lines':34}{took[0]:8.2f}")
    print(f"{'data check':34}{took[1]:8.2f}")
    if legacy is None:
        return False
    old = time_command([*legacy, "-f", str(path)], path.parent)
    ratio = old / took[0]
    print(f"{'legacy prepare_data -q':34}{old:8.2f}{ratio:9.1f}{f'>= {LEGACY_TARGET}':>9}")
    return ratio < LEGACY_TARGET


def main() -> int:
    """Print times and ratios beside their targets; 1 when one is missed."""
    size_mb = int(os.environ.get("FTOPS_BENCH_MB", "200"))
    missed = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        legacy = find_legacy()
        print(f"{'what':34}{'s':>8}{'ratio':>9}{'target':>9}")
        rows, table = folder / "rows.jsonl", folder / "table"
        write_rows(rows, size_mb)
        write_csv(rows, table.with_suffix(".csv"))
        missed.append(measure(table.with_suffix(".csv"), legacy))
        write_rows(rows, max(1, size_mb // 10))
        write_xlsx(rows, table.with_suffix(".xlsx"))
        missed.append(measure(table.with_suffix(".xlsx"), legacy))
    return int(any(missed))
