"""Peak memory of `ftops run` itself, and of the engine with its worker while it trains `ada`.

Read from Linux's /proc (VmHWM: the highest resident set that a process ever had), so it is skipped
elsewhere. Shared pages count in every process: the sum for the engine is an upper bound.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUN_LIMIT_MB = 120
ENGINE_LIMIT_MB = 200
JOB = Path(__file__).resolve().parent.parent / "configs" / "news-topics.yaml"
_SAMPLE_EVERY_S = 0.05


def peak_mb(pid: str) -> float:
    """The process's peak resident set in MB (10^6 bytes); 0 when it is gone."""
    try:
        status = Path("/proc", pid, "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 / 1e6 if lines else 0.0


def engine_pids(home: Path) -> list[str]:
    """The engine of this home, and its workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "ftops.engine" in command and str(home) in command:
            found.append(path.parent.name)
    return found


def measure(home: Path) -> tuple[float, dict[str, float]]:
    """Run the job once; the peaks of the command, and of each process of the engine."""
    environ = {**os.environ, "FTOPS_HOME": str(home)}
    command = [sys.executable, "-m", "ftops", "run", str(JOB), "--quiet"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
        run_mb, engine_mb = 0.0, dict[str, float]()
        while process.poll() is None:
            run_mb = max(run_mb, peak_mb(str(process.pid)))
            for pid in engine_pids(home):
                engine_mb[pid] = max(engine_mb.get(pid, 0.0), peak_mb(pid))
            time.sleep(_SAMPLE_EVERY_S)
        if process.returncode:
            raise SystemExit(f"ftops run ended with exit code {process.returncode}")
    return run_mb, engine_mb


def main() -> int:
    """Print both peaks beside their limits; 1 when one is exceeded."""
    if not Path("/proc/self/status").exists():
        print("skipped: there is no /proc here")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        try:
            run_mb, engine_mb = measure(home)
        finally:
            subprocess.run(
                [sys.executable, "-m", "ftops", "engine", "stop", "--quiet"],
                env={**os.environ, "FTOPS_HOME": folder},
                check=False,
            )
    total_mb = sum(engine_mb.values())
    print(f"{'what':38}{'peak MB':>9}{'limit':>7}")
    print(f"{'ftops run':38}{run_mb:9.0f}{RUN_LIMIT_MB:7}")
    parts = " + ".join(f"{mb:.0f}" for mb in engine_mb.values())
    print(f"{f'engine and worker ({parts})':38}{total_mb:9.0f}{ENGINE_LIMIT_MB:7}")
    return int(run_mb > RUN_LIMIT_MB or total_mb > ENGINE_LIMIT_MB)
