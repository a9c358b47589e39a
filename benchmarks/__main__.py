"""`make bench`: every benchmark in turn; fails when a target was missed.

Each module prints a table of what it measured beside its target. Figures are ratios taken in one
run wherever that is possible, since machines differ and are shared.
"""

import importlib
import sys

NAMES = (
    "startup",
    "trainer",
    "learning",
    "memory",
    "serving",
    "hostile",
    "asking",
    "ledger",
    "lists",
    "following",
    "many",
    "polling",
    "uploading",
    "dataset",
    "converting",
    "screening",
    "preparing",
    "results",
    "report",
    "scoring",
)


def main() -> int:
    """Run the benchmarks named on the command line, or all of them."""
    missed = []
    for name in sys.argv[1:] or NAMES:
        print(f"\n== {name} ==", flush=True)
        if importlib.import_module(f"benchmarks.{name}").main():
            missed.append(name)
    print(f"\nmissed targets in: {', '.join(missed)}" if missed else "\nall targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
