"""The memory of the device, and the number of threads that is fastest."""

import contextlib
import ctypes
import math
from collections.abc import Mapping
from typing import Any

import torch

from ftops.clock import Clock
from ftops.engine.lora.memory import count_idle_cores, find_free_memory, find_machine_memory

_M_MMAP_THRESHOLD = -3  # of mallopt in glibc
_LARGE_BLOCK_BYTES = 1 << 20
_CALIBRATION_ROUNDS = 50
_CALIBRATION_TOKENS = 512
_LEAST_PRODUCTS = 10_000_000  # smaller multiplications are not worth a second thread


def find_available_memory(device: torch.device) -> int | None:
    """The free memory of the device in bytes; None when the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return find_free_memory()


def find_total_memory(device: torch.device) -> int | None:
    """All memory of the device, used or not, in bytes; None when the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return find_machine_memory()


def save_memory(model: Any) -> None:
    """Use less memory in exchange for time, with the same results.

    Gradient checkpointing computes each layer twice; and glibc gives large blocks back at once
    instead of keeping them in gaps, which takes a fifth of the time.
    """
    model.activation_checkpointing_enable({"use_reentrant": False})
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)


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
    most = count_idle_cores(clock)
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
