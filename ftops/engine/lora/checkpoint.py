"""The state of a training: all that its next steps depend on, in one safetensors file.

The order of rows and the dropout of a step depend only on the seed and the step, so neither an
order nor the state of a random generator is stored. The number of threads is: the order of sums
depends on it. A checkpoint that is damaged, or of another job, other data, another device type or
other library versions, is ignored: training restarts, with the same result as from the start.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ftops.crashpoints import reach
from ftops.engine.base_models import BaseModel
from ftops.engine.checkpoint_file import (
    encode_text,
    find_checkpoint_tensors,
    fingerprint_job,
    write_checkpoint_tensors,
)
from ftops.engine.lora.model import library_versions
from ftops.engine.lora.optimizer import Moments, Weights
from ftops.engine.trainer import ResolvedHyperparameters, TrainingRequest

_FORMAT = "lora-1"


@dataclass(slots=True)
class Best:
    """The best evaluation so far, of a training with early stopping.

    `gains` are the metric of each validation row, with its sign changed if less is better, and
    `n_worse` counts the evaluations since then.
    """

    weights: Weights
    gains: NDArray[np.float64]
    step: int
    n_worse: int = 0


@dataclass(slots=True)
class Progress:
    """The state of a training after `step`."""

    threads: int
    references: NDArray[np.float64]  # of all rows, if they are pairs; NaN: not computed yet
    weights: Weights = field(default_factory=dict)
    moments: Moments = field(default_factory=dict)
    step: int = 0
    elapsed_tokens: int = 0
    best: Best | None = None
    is_ended: bool = False  # by early stopping


def fingerprint(
    request: TrainingRequest,
    resolved: ResolvedHyperparameters,
    base: BaseModel,
    options: Mapping[str, Any],
    runtime: Mapping[str, str | int],
) -> str:
    """A hash of everything that the result depends on; `runtime`: device type, processes."""
    settings = (request.base, base.sha256, request.seed, request.prompt_loss_weight)
    stopping = (request.eval_every, request.early_stopping)
    versions = sorted({**library_versions(), **runtime}.items())
    text = repr((settings, stopping, resolved, sorted(options.items()), versions))
    return fingerprint_job(_FORMAT + text, request.training, request.validation)


def write_progress(path: Path, job: str, progress: Progress) -> None:
    """Write the checkpoint of `job`, which is its fingerprint, atomically."""
    counters = {
        "step": progress.step,
        "elapsed_tokens": progress.elapsed_tokens,
        "threads": progress.threads,
        "is_ended": progress.is_ended,
        "best": None if progress.best is None else [progress.best.step, progress.best.n_worse],
    }
    tensors: dict[str, NDArray[Any]] = {
        "counters": encode_text(json.dumps(counters)),
        "references": progress.references,
    }
    for name, weight in progress.weights.items():
        tensors[f"weight {name}"] = _as_array(weight)
    for name, (mean, square) in progress.moments.items():
        tensors[f"mean {name}"], tensors[f"square {name}"] = _as_array(mean), _as_array(square)
    if progress.best is not None:
        tensors["best rows"] = progress.best.gains
        for name, weight in progress.best.weights.items():
            tensors[f"best {name}"] = _as_array(weight)
    reach("lora.before_checkpoint")
    write_checkpoint_tensors(path, job, tensors)
    reach("lora.after_checkpoint")


def find_progress(path: Path, job: str) -> Progress | None:
    """The progress of `job`, if there is an intact checkpoint of it."""
    stored = find_checkpoint_tensors(path, job)
    if stored is None:
        return None
    counters = json.loads(stored["counters"].tobytes())
    groups: dict[str, Weights] = {"weight": {}, "mean": {}, "square": {}, "best": {}}
    for key, array in stored.items():
        kind, _, name = key.partition(" ")
        if name and key != "best rows":
            groups[kind][name] = torch.from_numpy(array)
    best = counters.pop("best")
    return Progress(
        weights=groups["weight"],
        moments={name: (mean, groups["square"][name]) for name, mean in groups["mean"].items()},
        references=stored["references"],
        best=best and Best(groups["best"], stored["best rows"], *best),
        **counters,
    )


def _as_array(tensor: torch.Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array
