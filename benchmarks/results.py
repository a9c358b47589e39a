"""How long it takes to read results files and to say what their curves say.

10 runs of 10,000 steps each: what `ftops results` does with them but drawing. The target is a share
of what Python's own csv module takes to cut the same files into cells, measured beside it: machines
differ, and are shared.
"""

import csv
import io
import sys
import time
from collections.abc import Callable

from benchmarks.report import RUNS, STEPS, make_results
from ftops.reports.diagnostics import diagnose
from ftops.reports.results import parse_results
from ftops.reports.training import TrainingFacts, create_training

TIMES = 12.0
_TURNS = 9
_FACTS = TrainingFacts(rows=16_000, batch_size=16, n_epochs=10, trained_tokens=10_000_000)


def _cut(texts: list[str]) -> None:
    for text in texts:
        list(csv.reader(io.StringIO(text)))


def _read(texts: list[str]) -> None:
    for text in texts:
        diagnose(create_training(parse_results(text.encode()), _FACTS))


def _measure(work: Callable[[list[str]], None], texts: list[str]) -> float:
    """The least time of the processor that the work took in several turns, in seconds."""
    taken = []
    for _ in range(_TURNS):
        began = time.process_time()
        work(texts)
        taken.append(time.process_time() - began)
    return min(taken)


def main() -> int:
    """Print both times and their ratio beside its target; 1 when it is missed."""
    texts = [make_results(number) for number in range(RUNS)]
    cut_s, read_s = _measure(_cut, texts), _measure(_read, texts)
    verdict = "ok" if read_s <= TIMES * cut_s else "MISSED"
    print(f"{RUNS} runs of {STEPS:,} steps: read and judged in {read_s:.2f} s")
    ratio = f"{read_s / cut_s:.1f} times what csv takes ({cut_s:.2f} s)"
    print(f"{ratio}   target {TIMES:.0f} times   {verdict}")
    return int(verdict != "ok")


if __name__ == "__main__":
    sys.exit(main())
