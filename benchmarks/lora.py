"""Speed of the trainer `lora` on a CPU: against the Trainer of Transformers, and TRL.

`FTOPS_BENCH_BASE=FOLDER python -m benchmarks lora` needs `pip install trl` and a base model that
`ftops engine models add smollm2-135m` has registered: FOLDER is its folder. All loops start from
the same saved adapter (rank 16 on all linear layers), take the same rows, one thread and fp32, and
take turns, each in a new process; figures are medians over the rounds, in tokens per CPU second. A
row's own tokens count, no padding. The share of the matrix product rate counts the products that
the method needs, with the rate measured in the same process:

    4 · tokens · weights of the layers     forward, and gradient by the input
    4 · predicted tokens · width · vocabulary     the head
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ftops.engine.base_models import BaseModel, BaseModelStore
from ftops.engine.lora.model import add_adapter, load_weights, write_trained_model
from ftops.lora_options import LoraOptions

VARIABLE = "FTOPS_BENCH_BASE"
ROUNDS = int(os.environ.get("FTOPS_BENCH_ROUNDS", "5"))
LOOPS = {"sft": ("ftops", "transformers", "trl"), "dpo": ("ftops", "trl")}
_TARGETS = {("sft", "transformers"): 1.7, ("sft", "trl"): 2.3, ("dpo", "trl"): 1.5}
_PEAK_TARGET = 0.55
_MEMORY_TARGET = 0.85
_LOSS_TARGET = 1e-4


def write_adapter(base: BaseModel, folder: Path) -> None:
    """Save a new adapter, with which all loops start."""
    options = LoraOptions()
    model = load_weights(base.folder, options, torch.device("cpu"))
    write_trained_model(add_adapter(model, options, seed=1), folder, base, options, None)


def measure(loop: str, method: str, base: BaseModel, adapter: Path) -> dict[str, Any]:
    """The figures of one training; see `lora_loop.py`."""
    command = [sys.executable, "-m", "benchmarks.lora_loop", loop, method]
    done = subprocess.run(
        [*command, str(base.folder), str(adapter)], capture_output=True, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    figures["tokens_per_s"] = figures["tokens"] / median(figures["step_s"])
    return figures


def get_peak_share(figures: dict[str, Any], base: BaseModel) -> float:
    """The rate of the needed matrix products as a share of what this core can do."""
    config = json.loads((base.folder / "config.json").read_text())
    head = config["hidden_size"] * config["vocab_size"]
    layers = base.parameters - head  # the embedding is the head
    flops = 4 * (figures["tokens"] * layers + figures["predicted"] * head)
    return float(flops / median(figures["step_s"]) / figures["flops_per_s"])


def compare(method: str, base: BaseModel, adapter: Path) -> bool:
    """Measure all loops in turn and print the table; True when a target was missed."""
    found: dict[str, list[dict[str, Any]]] = {loop: [] for loop in LOOPS[method]}
    for _ in range(ROUNDS):
        for loop, rounds in found.items():
            rounds.append(measure(loop, method, base, adapter))
    ours = found["ftops"]
    share = median(get_peak_share(figures, base) for figures in ours)
    missed = method == "sft" and share < _PEAK_TARGET
    print(f"{method}: {share:.2f} of the matrix product rate (target {_PEAK_TARGET})")
    for loop, rounds in found.items():
        ratios = [a["tokens_per_s"] / b["tokens_per_s"] for a, b in zip(ours, rounds, strict=True)]
        memory = median(
            a["peak_bytes"] / b["peak_bytes"] for a, b in zip(ours, rounds, strict=True)
        )
        difference = max(
            abs(a - b) for a, b in zip(ours[0]["losses"], rounds[0]["losses"], strict=True)
        )
        target = _TARGETS.get((method, loop), 0.0)
        missed |= median(ratios) < target
        missed |= loop == "transformers" and memory > _MEMORY_TARGET
        missed |= method == "sft" and difference > _LOSS_TARGET
        print(
            f"  {loop:<14}{median(r['tokens_per_s'] for r in rounds):8.1f} tokens per CPU second, "
            f"ftops / it {median(ratios):.2f} (target {target}), memory {memory:.2f}, "
            f"losses differ by {difference:.0e}"
        )
    return missed


def main() -> int:
    """Measure SFT, then DPO; 1 when a target was missed."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        print(f"skipped: {VARIABLE} does not name the folder of a base model")
        return 0
    base = BaseModelStore(Path(folder).parent).find(Path(folder).name)
    if base is None:
        print(f"{folder} is not a registered base model")
        return 1
    with tempfile.TemporaryDirectory() as name:
        write_adapter(base, Path(name))
        missed = [compare(method, base, Path(name)) for method in LOOPS]
    return int(any(missed))


if __name__ == "__main__":
    sys.exit(main())
