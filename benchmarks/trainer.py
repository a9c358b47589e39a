"""Speed of the trainer `tiny`: against eager PyTorch, and against the machine's own matmul.

Household-faq rows, 32 a step, one thread, CPU seconds; NumPy and PyTorch take turns on the very
same packs, and the ratio is the median over the turns. Useful tokens are the rows' own tokens, no
padding. Share of the peak = FLOPs of the model / CPU seconds / FLOP/s of a 1024³ float32 matmul
measured between the turns. The FLOPs of the model are those of its matrix products, three times
the forward ones, counting only what the method needs:

    6 · rows · 12 width²              each layer but the last
    6 · (rows · 2 width² + counted · 10 width²)     the last layer
    6 · counted · width · vocabulary  the head
    12 · width · keys                 each layer; keys = tokens that queries may see, no padding

Without torch (`pip install -e '.[bench]'`) only the share of the peak is measured.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # both must be set before NumPy and torch come in
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from ftops.engine.trainers.protocol import Segment
from ftops.engine.trainers.tiny.adamw import Moments, Update, clip_factor, update_weights
from ftops.engine.trainers.tiny.batches import Example, Pack, split_packs
from ftops.engine.trainers.tiny.encode import encode_examples
from ftops.engine.trainers.tiny.gradients import compute_gradients
from ftops.engine.trainers.tiny.parameters import Parameters, count_parameters, init_parameters
from ftops.engine.trainers.tiny.sizes import SIZES, Shape
from ftops.engine.trainers.tiny.tokenizer import Tokenizer

try:
    from benchmarks.torch_loop import TorchLoop, TorchPack
except ImportError:
    TORCH_IS_HERE = False
else:
    TORCH_IS_HERE = True

_DATA = Path(__file__).parent.parent / "configs" / "data" / "household-faq" / "train.jsonl"
_ROWS_A_STEP = 32
_TURNS = 7
_SECONDS_A_TURN = 0.5
_RATE, _DECAY, _CLIP = 1e-3, 0.5, 1.0
_RATIO_TARGET = 1.2
_PEAK_TARGET = 0.5  # at babbage, a million parameters
_LOSS_TARGET = 1e-5
_VOCAB_SIZE = 512


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

    def __init__(self, shape: Shape) -> None:
        self.parameters = init_parameters(shape, 0)
        self._gradients = Parameters.zeros(shape)
        self._moments = Moments.zeros(self.parameters.flat)
        self._n_steps = 0

    def step(self, batch: Sequence[Example]) -> float:
        """One optimizer step; the loss before it."""
        tally = compute_gradients(self.parameters, self._gradients, batch)
        self._n_steps += 1
        factor = clip_factor(self._gradients.flat, _CLIP)
        update = Update(self._n_steps, _RATE, _DECAY, factor)
        update_weights(self.parameters.flat, self._gradients.flat, self._moments, update)
        return tally.mean_loss


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
    met = [_verdict("share of the peak at babbage", babbage.peak_share, _PEAK_TARGET)]
    if babbage.ratio is not None and babbage.loss_difference is not None:
        met.append(_verdict("ratio to PyTorch at babbage", babbage.ratio, _RATIO_TARGET))
        worst = max(row.loss_difference or 0.0 for row in figures)
        met.append(worst <= _LOSS_TARGET)
        print(f"largest loss difference: {worst:.1e}, target {_LOSS_TARGET}: {_word(met[-1])}")
    return 0 if all(met) else 1


def _verdict(what: str, value: float, target: float) -> bool:
    print(f"{what}: {value:.2f}, target {target}: {_word(value >= target)}")
    return value >= target


def _word(met: bool) -> str:
    return "met" if met else "MISSED"


@dataclass(frozen=True, slots=True)
class Bout:
    """Both loops and the same steps for each."""

    ours: NumpyLoop
    batches: list[list[Example]]
    theirs: "TorchLoop | None"
    torch_packs: "list[list[TorchPack]]"

    def run_ours(self, n_rounds: int = 1) -> list[float]:
        """Losses of all steps."""
        return [self.ours.step(batch) for _ in range(n_rounds) for batch in self.batches]

    def run_theirs(self, n_rounds: int = 1) -> list[float]:
        """Losses of all steps; none without PyTorch."""
        loop = self.theirs
        return [loop.step(p) for _ in range(n_rounds) for p in self.torch_packs] if loop else []


def _measure(size: str) -> Figures:
    examples, vocab_size = _read_examples()
    shape = Shape(SIZES[size].n_layers, SIZES[size].width, vocab_size)
    bout = _set_up(shape, examples)
    first = zip(bout.run_ours(), bout.run_theirs(), strict=False)
    difference = max((abs(mine - other) for mine, other in first), default=None)
    n_rounds = max(1, round(_SECONDS_A_TURN / _cpu_s(bout.run_ours)))
    seconds, ratios, shares = [], [], []
    flops = sum(count_flops(shape, pack) for batch in bout.batches for pack in split_packs(batch))
    for _ in range(_TURNS):
        peak = _matmul_flops_per_s()
        seconds.append(_cpu_s(lambda: bout.run_ours(n_rounds)))
        shares.append(flops * n_rounds / seconds[-1] / peak)
        ratios.append(_cpu_s(lambda: bout.run_theirs(n_rounds)) / seconds[-1])
    tokens = sum(example.n_tokens for batch in bout.batches for example in batch)
    return Figures(
        size=size,
        n_parameters=count_parameters(shape),
        tokens_per_s=tokens * n_rounds / median(seconds),
        peak_share=median(shares),
        ratio=median(ratios) if bout.theirs else None,
        loss_difference=difference,
    )


def _set_up(shape: Shape, examples: list[Example]) -> Bout:
    whole = range(0, len(examples) - _ROWS_A_STEP + 1, _ROWS_A_STEP)
    batches = [examples[start : start + _ROWS_A_STEP] for start in whole]
    ours = NumpyLoop(shape)
    if not TORCH_IS_HERE:
        return Bout(ours, batches, None, [])
    theirs = TorchLoop(ours.parameters, _RATE, _DECAY, _CLIP)
    packs = [[TorchPack(pack) for pack in split_packs(batch)] for batch in batches]
    return Bout(ours, batches, theirs, packs)


def _cpu_s(work: Callable[[], object]) -> float:
    started_s = time.process_time()
    work()
    return time.process_time() - started_s


def _matmul_flops_per_s() -> float:
    a = np.ones((1024, 1024), dtype=np.float32)
    return max(2 * 1024**3 / _cpu_s(lambda: a @ a) for _ in range(3))


def count_flops(shape: Shape, pack: Pack) -> float:
    """Floating-point operations of a step on this pack that the model cannot do without."""
    width, rows, counted = shape.width, len(pack.tokens), len(pack.counted)
    matrices = (shape.n_layers - 1) * rows * 12 * width**2
    matrices += rows * 2 * width**2 + counted * 10 * width**2 + counted * width * shape.vocab_size
    keys = (shape.n_layers - 1) * int((pack.positions + 1).sum())
    keys += int((pack.positions[pack.counted] + 1).sum())
    return 6.0 * matrices + 12.0 * width * keys


def _read_examples() -> tuple[list[Example], int]:
    rows = [json.loads(line) for line in _DATA.read_text(encoding="utf-8").splitlines()]
    documents = [
        (Segment(row["prompt"], 0.0), Segment(row["completion"]), Segment(special="end_of_text"))
        for row in rows
    ]
    texts = [part.text for document in documents for part in document if part.text]
    tokenizer = Tokenizer.train(texts, _VOCAB_SIZE)
    return encode_examples(documents, tokenizer), tokenizer.vocab_size


if __name__ == "__main__":
    sys.exit(main())
