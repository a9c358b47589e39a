"""How long the commands take that a shell is full of: as ratios to a Python that does nothing.

Every round times `python -c pass` and the commands right after each other, so that a busy machine
slows both; the figure is the median of the rounds' ratios.
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 11
EMPTY = ("-c", "pass")
TARGETS: dict[tuple[str, ...], float] = {
    ("-m", "ftops", "--help"): 15.0,
    ("-m", "ftops", "--version"): 8.0,
}


def time_s(arguments: tuple[str, ...]) -> float:
    """Seconds that a Python with these arguments takes from start to end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure() -> dict[tuple[str, ...], float]:
    """The ratio of each command to an empty Python, the median of all rounds."""
    ratios: dict[tuple[str, ...], list[float]] = {command: [] for command in TARGETS}
    for command in TARGETS:
        time_s(command)  # writes the byte code; not counted
    for _ in range(ROUNDS):
        empty_s = time_s(EMPTY)
        for command, found in ratios.items():
            found.append(time_s(command) / empty_s)
    return {command: statistics.median(found) for command, found in ratios.items()}


def main() -> int:
    """Print each ratio beside its target; 1 when one is missed."""
    missed = False
    print(f"start-up, as a ratio to `python -c pass` (paired, median of {ROUNDS})")
    for command, ratio in measure().items():
        target = TARGETS[command]
        missed |= ratio > target
        verdict = "ok" if ratio <= target else "MISSED"
        print(f"  ftops {command[-1]:<10} {ratio:5.1f}   at most {target:4.1f}   {verdict}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
