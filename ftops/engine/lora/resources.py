"""The memory that a training needs and that this machine has, and the threads that are fastest.

The estimate counts weights, gradients and moments exactly. What a forward pass keeps for its
gradients was measured on SmolLM2-135M: for each token and layer about 12 values of the hidden width
and 6 of the inner one; with gradient checkpointing only the input of each layer, and one layer.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ftops.clock import Clock

_HIDDEN_COPIES = 12
_INNER_COPIES = 6
_LOGIT_COPIES = 3  # logits, their softmax and their gradients
_LIBRARY_BYTES = 700 << 20
_ADAM_BYTES = 16  # weight, gradient and two moments of a trained value, in fp32
_CALIBRATION_ROUNDS = 50
_CALIBRATION_TOKENS = 512
_LEAST_PRODUCTS = 10_000_000  # smaller multiplications are not worth a second thread


def estimate_memory(
    config: Mapping[str, Any],
    *,
    frozen_bytes: int,
    trained: int,
    tokens: int,
    predicted: int,
    value_bytes: int = 4,
    is_checkpointing: bool = False,
) -> int:
    """The most bytes that a step needs.

    `config` is the model's config.json, `frozen_bytes` the size of the weights that are not
    trained, and `trained` the number of those that are. `tokens` and `predicted` are those of the
    largest pack: all, and those in the loss.
    """
    layers, hidden = int(config["num_hidden_layers"]), int(config["hidden_size"])
    inner = int(config.get("intermediate_size") or 4 * hidden)
    layer = (_HIDDEN_COPIES * hidden + _INNER_COPIES * inner) * value_bytes
    kept = layer + layers * hidden * value_bytes if is_checkpointing else layers * layer
    logits = predicted * int(config["vocab_size"]) * 4 * _LOGIT_COPIES
    return _LIBRARY_BYTES + frozen_bytes + trained * _ADAM_BYTES + tokens * kept + logits


def find_available_memory(device: torch.device) -> int | None:
    """The free memory of the device in bytes; None when the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        values = dict(line.split(":", 1) for line in lines)
        return int(values["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):
        return None


def find_peak_memory(device: torch.device) -> int | None:
    """The most bytes that this process has used on the device; None when it is unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def calibrate_threads(config: Mapping[str, Any], clock: Clock) -> int:
    """The number of threads that multiplies matrices of the model's size fastest.

    With as many threads as cores, one other busy process can make a step many times slower, so
    cores that are in use now are not counted.
    """
    hidden = int(config["hidden_size"])
    inner = int(config.get("intermediate_size") or 4 * hidden)
    most = max(1, count_cores() - round(os.getloadavg()[0] if hasattr(os, "getloadavg") else 0))
    if _CALIBRATION_TOKENS * hidden * inner < _LEAST_PRODUCTS:
        return 1
    tokens, weight = torch.ones(_CALIBRATION_TOKENS, hidden), torch.ones(hidden, inner)
    times: dict[int, float] = {}
    for threads in sorted({1, math.ceil(most / 2), most}):
        torch.set_num_threads(threads)
        torch.mm(tokens, weight)
        started_s = clock.monotonic_s()
        for _ in range(_CALIBRATION_ROUNDS):
            torch.mm(tokens, weight)
        times[threads] = clock.monotonic_s() - started_s
    return min(times, key=lambda threads: times[threads])


def count_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
