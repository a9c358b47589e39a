"""`ftops data check` against a bare orjson pass and against the legacy tool, on the same file.

The file holds prompt and completion rows of about 1.1 KB. `FTOPS_BENCH_MB=1000` makes it 1 GB (the
default, 200 MB, keeps `make bench` short). How memory grows is measured on millions of short rows.
Where the legacy tool cannot be installed, its line is left out.
"""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson

from benchmarks.legacy_tool import find_legacy, time_command

ORJSON_TARGET = 3.0
LEGACY_TARGET = 20.0
PEAK_MB_TARGET = 150
BYTES_A_ROW_TARGET = 16
_ROUNDS = 3
_MANY_ROWS = 1_000_000
_CHECK = [sys.executable, "-m", "ftops", "data", "check"]
_ORJSON_PASS = """
import sys, orjson
with open(sys.argv[1], "rb") as stream:
    for line in stream:
        orjson.loads(line)
"""


def write_rows(path: Path, size_mb: int) -> int:
    """Rows of random words with line breaks, quotes and letters beyond ASCII; how many."""
    random.seed(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(random.choices(letters, k=random.randint(2, 9))) for _ in range(5000)]
    words += ["naïve", "café", 'said "yes"', "one\ntwo"]
    blocks = [" ".join(random.choices(words, k=75)) for _ in range(2000)]
    rows, size = 0, 0
    with path.open("wb") as stream:
        while size < size_mb * 1_000_000:
            prompt = f"{rows} {random.choice(blocks)} {random.choice(blocks)}"
            completion = f"{random.choice(blocks)[:200]} {rows}"
            line = orjson.dumps({"prompt": prompt, "completion": completion})
            size += stream.write(line + b"\n")
            rows += 1
    return rows


def measure_peak_mb(command: Sequence[str]) -> float:
    """The highest resident set of the command or of any one process that it started."""
    program = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=True
    )
    unit = 1 if sys.platform == "darwin" else 1024
    return int(done.stdout) * unit / 1e6


def measure_growth(folder: Path) -> float:
    """The bytes of memory that a row more takes, from a million rows to three."""
    path = folder / "short.jsonl"
    peaks_mb = []
    number = 0
    for rows in (_MANY_ROWS, 3 * _MANY_ROWS):
        with path.open("ab") as stream:
            while number < rows:
                stream.write(b'{"prompt":"what is %d ->","completion":" it"}\n' % number)
                number += 1
        command = [*_CHECK, str(path), "--quiet", "--processes", "1"]
        peaks_mb.append(measure_peak_mb(command))
    path.unlink()
    return (peaks_mb[1] - peaks_mb[0]) * 1e6 / (2 * _MANY_ROWS)


def main() -> int:
    """Print times and ratios beside their targets; 1 when one is missed."""
    size_mb = int(os.environ.get("FTOPS_BENCH_MB", "200"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = folder / "rows.jsonl"
        rows = write_rows(path, size_mb)
        check = [*_CHECK, str(path), "--quiet"]
        bare = [sys.executable, "-c", _ORJSON_PASS, str(path)]
        one, two = ([*check, "--processes", number] for number in ("1", "2"))
        commands = {"bare": bare, "one": one, "two": two, "check": check}
        times: dict[str, list[float]] = {key: [] for key in commands}
        for _ in range(_ROUNDS):
            for key, command in commands.items():
                times[key].append(time_command(command, folder))
        best = {key: min(found) for key, found in times.items()}
        peak_mb = measure_peak_mb(commands["one"])
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB; load {os.getloadavg()[0]:.1f}")
        print(f"{'what':34}{'s':>8}{'ratio':>9}{'target':>9}")
        print(f"{'bare orjson pass':34}{best['bare']:8.2f}")
        for key, name in (("one", "one process"), ("two", "two processes")):
            ratio = best[key] / best["bare"]
            print(f"{f'data check, {name}':34}{best[key]:8.2f}{ratio:9.2f}")
        chosen = best["check"] / best["bare"]
        print(f"{'data check':34}{best['check']:8.2f}{chosen:9.2f}{f'<= {ORJSON_TARGET}':>9}")
        print(f"{'peak MB of one process':34}{peak_mb:8.0f}{'':9}{f'<= {PEAK_MB_TARGET}':>9}")
        grown = measure_growth(folder)
        limit = f"<= {BYTES_A_ROW_TARGET}"
        print(f"{'bytes that a row more takes':34}{grown:8.1f}{'':9}{limit:>9}")
        missed = chosen > ORJSON_TARGET or peak_mb > PEAK_MB_TARGET or grown > BYTES_A_ROW_TARGET
        legacy = find_legacy()
        if legacy is not None:
            took = time_command([*legacy, "-f", str(path)], folder)
            ratio = took / best["check"]
            print(f"{'legacy prepare_data -q':34}{took:8.2f}{ratio:9.1f}{f'>= {LEGACY_TARGET}':>9}")
            missed = missed or ratio < LEGACY_TARGET
    return int(missed)
