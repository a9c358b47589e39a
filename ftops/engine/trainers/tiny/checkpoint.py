"""A training in the middle of its work, on disk: enough to go on as if nothing had happened.

The order of the rows and the dropout of each step follow from the seed and the step, so the
weights, Adam's moments, the counters and the tokenizer are all there is to remember. Written
aside and renamed. One that is damaged or of another job counts as absent: training then starts
again and comes to the same result.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftops.clock import Clock
from ftops.crashpoints import reach
from ftops.engine.trainers.protocol import CHECKPOINT_EVERY_S, Resolved, TrainingRequest
from ftops.engine.trainers.tiny.adamw import Moments
from ftops.engine.trainers.tiny.parameters import Array
from ftops.engine.trainers.tiny.tensor_file import DamagedFile, read_tensors, write_tensors

_FORMAT = "tiny-2"
_SHARE_OF_TIME = 0.01  # that writing checkpoints may take


@dataclass(slots=True)
class Progress:
    """Everything about a training that changes as it goes."""

    tokenizer_json: str
    weights: Array  # flat
    moments: Moments
    step: int = 0  # the last one done
    elapsed_tokens: int = 0
    references: NDArray[np.float64] | None = (
        None  # of pairs: see preference.py; None: not asked yet
    )


def fingerprint(request: TrainingRequest, resolved: Resolved) -> str:
    """A hash that is the same only for the same training."""
    digest = hashlib.sha256(_FORMAT.encode())
    digest.update(repr((request.base, request.seed, resolved)).encode())
    for rows in (request.training, request.validation):
        digest.update(f"{len(rows)} rows".encode())
        for row in rows:
            digest.update(repr(row).encode())
    return digest.hexdigest()


def write_checkpoint(path: Path, job: str, progress: Progress) -> None:
    """Replace the checkpoint of `job` (its fingerprint) by the present progress."""
    tensors = {
        "job": _as_bytes(job),
        "tokenizer": _as_bytes(progress.tokenizer_json),
        "counters": np.array([progress.step, progress.elapsed_tokens]),
        "weights": progress.weights,
        "moment_sum": progress.moments.sum,
        "moment_square_sum": progress.moments.square_sum,
    }
    if progress.references is not None:
        tensors["references"] = progress.references
    reach("tiny.before_checkpoint")
    write_tensors(path, tensors)
    reach("tiny.after_checkpoint")


def find_checkpoint(path: Path, job: str) -> Progress | None:
    """The progress of `job` when a whole checkpoint of it is there."""
    try:
        stored = read_tensors(path)
    except DamagedFile:
        return None
    if "job" not in stored or stored["job"].tobytes() != job.encode():
        return None
    step, elapsed_tokens = (int(number) for number in stored["counters"])
    return Progress(
        tokenizer_json=stored["tokenizer"].tobytes().decode(),
        weights=stored["weights"],
        moments=Moments(stored["moment_sum"], stored["moment_square_sum"]),
        step=step,
        elapsed_tokens=elapsed_tokens,
        references=stored.get("references"),
    )


def _as_bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)


class Cadence:
    """When the next checkpoint is due: often, but at most about 1 % of the time goes into them."""

    def __init__(self, clock: Clock, every_s: float) -> None:
        """`every_s` is the least time between two of them."""
        self._clock = clock
        self._every_s = every_s
        self._due_s = clock.monotonic_s() + every_s

    def is_due(self) -> bool:
        return self._clock.monotonic_s() >= self._due_s

    def write(self, path: Path, job: str, progress: Progress) -> None:
        """Write a checkpoint and put the next one off by what it cost."""
        started_s = self._clock.monotonic_s()
        write_checkpoint(path, job, progress)
        ended_s = self._clock.monotonic_s()
        self._due_s = ended_s + self._pause_s(ended_s - started_s)

    def _pause_s(self, cost_s: float) -> float:
        if self._every_s < CHECKPOINT_EVERY_S:
            return self._every_s  # somebody wants more of them than is good for the speed
        return max(self._every_s, cost_s / _SHARE_OF_TIME)
