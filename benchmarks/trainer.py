"""Speed of the trainer `tiny`: against eager PyTorch, and against the machine's own matmul.

Household-faq rows, 32 a step, one thread, CPU seconds. NumPy and PyTorch, each in a process of its
own, take turns on the very same batches; the ratio is the median over the turns. Useful tokens are
the rows' own tokens, no padding. Share of the peak = FLOPs of the model / CPU seconds / FLOP/s of
a 1024³ float32 matmul measured before each turn. The FLOPs of the model are those of its matrix
products, three times the forward ones, counting only what the method needs:

    6 · rows · 12 width²              each layer but the last
    6 · (rows · 2 width² + counted · 10 width²)     the last layer
    6 · counted · width · vocabulary  the head
    12 · width · keys                 each layer; keys = tokens that queries may see, no padding

Without torch (`pip install -e '.[bench]'`) only the share of the peak is measured.
"""

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # both must be set before NumPy and torch come in
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from benchmarks.workload import CLIP, DECAY, RATE, load_workload
from ftops.engine.tiny.batch import Pack, TrainingExample, make_packs
from ftops.engine.tiny.config import ModelShape
from ftops.engine.tiny.loss import compute_gradients, tune_malloc
from ftops.engine.tiny.optimizer import AdamMoments, AdamStep, gradient_scale, update_weights
from ftops.engine.tiny.parameters import Parameters, count_parameters, init_parameters

TORCH_IS_HERE = importlib.util.find_spec("torch") is not None
_TURNS = 9
_SECONDS_A_TURN = 0.7
_RATIO_TARGET = 1.2  # at babbage, a million parameters
_PEAK_TARGET = 0.5
_LOSS_TARGET = 1e-5


@dataclass(frozen=True, slots=True)
class Figures:
    """What one size showed."""

    size: str
    n_parameters: int
    tokens_per_s: float  # CPU seconds
    peak_share: float
    ratio: float | None  # to PyTorch
    loss_difference: float | None


class NumpyLoop:
    """The trainer's own step, with a fixed learning rate."""

    def __init__(self, shape: ModelShape) -> None:
        tune_malloc()
        self._parameters = init_parameters(shape, 0)
        self._gradients = Parameters.zeros(shape)
        self._moments = AdamMoments.zeros(self._parameters.flat)
        self._n_steps = 0

    def step(self, batch: Sequence[TrainingExample]) -> float:
        """One optimizer step; the loss before it."""
        totals = compute_gradients(self._parameters, self._gradients, batch)
        self._n_steps += 1
        factor = gradient_scale(self._gradients.flat, CLIP)
        update = AdamStep(self._n_steps, RATE, DECAY, factor)
        update_weights(self._parameters.flat, self._gradients.flat, self._moments, update)
        return totals.mean_loss


class Opponent:
    """PyTorch in its own process; without PyTorch it takes no time and says nothing."""

    def __init__(self, size: str) -> None:
        command = [sys.executable, "-m", "benchmarks.torch_loop", size]
        self._process = (
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            if TORCH_IS_HERE
            else None
        )

    def run(self, n_rounds: int) -> tuple[float, list[float]]:
        """CPU seconds, and the loss of each step."""
        if self._process is None or not self._process.stdin or not self._process.stdout:
            return 0.0, []
        print(n_rounds, file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        return answer["cpu_s"], answer["losses"]

    def end(self) -> None:
        """Let the process go."""
        if self._process is not None:
            self._process.communicate()


def main() -> int:
    """Print the table; 1 when a target was missed."""
    if not TORCH_IS_HERE:
        print("torch is not installed: only the share of the matmul peak is measured")
    figures = [_measure(size) for size in ("ada", "babbage", "curie")]
    print(
        f"{'size':<9}{'parameters':>11}{'tokens/CPU-s':>14}{'of matmul peak':>16}"
        f"{'to PyTorch':>12}{'loss difference':>17}"
    )
    for row in figures:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        difference = "-" if row.loss_difference is None else f"{row.loss_difference:.1e}"
        print(
            f"{row.size:<9}{row.n_parameters:>11,}{row.tokens_per_s:>14,.0f}"
            f"{row.peak_share:>16.0%}{ratio:>12}{difference:>17}"
        )
    babbage = figures[1]
    met = [_judge("share of the peak at babbage", babbage.peak_share, _PEAK_TARGET)]
    if babbage.ratio is not None:
        met.append(_judge("ratio to PyTorch at babbage", babbage.ratio, _RATIO_TARGET))
        worst = max(row.loss_difference or 0.0 for row in figures)
        met.append(worst <= _LOSS_TARGET)
        print(f"largest loss difference: {worst:.1e}, target {_LOSS_TARGET}: {_word(met[-1])}")
    return 0 if all(met) else 1


def _judge(what: str, value: float, at_least: float) -> bool:
    print(f"{what}: {value:.2f}, target {at_least}: {_word(value >= at_least)}")
    return value >= at_least


def _word(met: bool) -> str:
    return "met" if met else "MISSED"


def _measure(size: str) -> Figures:
    workload = load_workload(size)
    loop, opponent = NumpyLoop(workload.shape), Opponent(size)

    def run(n_rounds: int) -> list[float]:
        return [loop.step(batch) for _ in range(n_rounds) for batch in workload.batches]

    _, losses = opponent.run(1)
    pairs = zip(run(1), losses, strict=False)
    difference = max((abs(mine - other) for mine, other in pairs), default=None)
    n_rounds = max(1, round(_SECONDS_A_TURN / _cpu_s(lambda: run(1))))
    opponent.run(1)
    seconds, ratios, shares = [], [], []
    packs = [pack for batch in workload.batches for pack in make_packs(batch)]
    flops = n_rounds * sum(count_flops(workload.shape, pack) for pack in packs)
    for _ in range(_TURNS):
        peak = _matmul_flops_per_s()
        seconds.append(_cpu_s(lambda: run(n_rounds)))
        ratios.append(opponent.run(n_rounds)[0] / seconds[-1])
        shares.append(flops / seconds[-1] / peak)
    opponent.end()
    return Figures(
        size=size,
        n_parameters=count_parameters(workload.shape),
        tokens_per_s=workload.n_tokens * n_rounds / median(seconds),
        peak_share=median(shares),
        ratio=median(ratios) if TORCH_IS_HERE else None,
        loss_difference=difference,
    )


def _cpu_s(work: Callable[[], object]) -> float:
    started_s = time.process_time()
    work()
    return time.process_time() - started_s


def _matmul_flops_per_s() -> float:
    a = np.ones((1024, 1024), dtype=np.float32)
    return max(2 * 1024**3 / _cpu_s(lambda: a @ a) for _ in range(3))


def count_flops(shape: ModelShape, pack: Pack) -> float:
    """Floating-point operations of a step on this pack that the model cannot do without."""
    width, rows, counted = shape.width, len(pack.tokens), len(pack.counted)
    matrices = (shape.n_layers - 1) * rows * 12 * width**2
    matrices += rows * 2 * width**2 + counted * 10 * width**2 + counted * width * shape.vocab_size
    keys = (shape.n_layers - 1) * int((pack.positions + 1).sum())
    keys += int((pack.positions[pack.counted] + 1).sum())
    return 6.0 * matrices + 12.0 * width * keys


if __name__ == "__main__":
    sys.exit(main())
