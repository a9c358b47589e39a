"""Files of the trainer: saved models, and checkpoints of a training in progress.

A model is a folder with `config.json`, `tokenizer.json` and `weights.safetensors`. `config.json` is
written last, so a folder with one is complete; reading it checks every shape.

A checkpoint has the weights, Adam's moments, the counters and the tokenizer: the order of rows and
the dropout of each step depend only on the seed and the step. It is written atomically. A
checkpoint that is damaged or of another job is ignored: training restarts, with the same result.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftops.crashpoints import reach
from ftops.engine.checkpoint_file import (
    DamagedFile,
    encode_text,
    find_checkpoint_tensors,
    fingerprint_job,
    read_tensors,
    write_checkpoint_tensors,
    write_tensors,
)
from ftops.engine.tiny.config import SIZES, ModelShape
from ftops.engine.tiny.document import RenderedRequest
from ftops.engine.tiny.optimizer import AdamMoments
from ftops.engine.tiny.parameters import Array, Parameters, count_parameters, list_tensors
from ftops.engine.tiny.tokenizer import Tokenizer
from ftops.engine.trainer import ResolvedHyperparameters
from ftops.errors import EngineError
from ftops.files import write_atomic

_MODEL_FORMAT = 2
_WEIGHTS = "weights.safetensors"
_HINT = "The model's files are damaged; train it again, or restore them from a copy."


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A model as saved on disk."""

    size: str  # the name of its size
    tokenizer: Tokenizer
    parameters: Parameters


def write_model(folder: Path, model: SavedModel) -> None:
    """Write the model's files into `folder`."""
    write_tensors(folder / _WEIGHTS, model.parameters.views)
    write_atomic(folder / "tokenizer.json", model.tokenizer.to_json().encode())
    config = {
        "format": _MODEL_FORMAT,
        "size": model.size,
        "vocab_size": model.tokenizer.vocab_size,
        "n_parameters": count_parameters(model.parameters.shape),
    }
    write_atomic(folder / "config.json", (json.dumps(config, indent=2) + "\n").encode())


def read_model(folder: Path) -> SavedModel:
    """Read what `write_model` wrote; EngineError with the file's path when it is damaged."""
    size = _read_size(folder / "config.json")
    try:
        text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        tokenizer = Tokenizer.from_json(text)
    except (OSError, UnicodeDecodeError, EngineError) as error:
        raise EngineError(f"{folder / 'tokenizer.json'}: {error}", hint=_HINT) from error
    shape = ModelShape(SIZES[size].n_layers, SIZES[size].width, tokenizer.vocab_size)
    return SavedModel(size, tokenizer, _read_parameters(folder / _WEIGHTS, shape))


def _read_size(path: Path) -> str:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(f"{path}: cannot be read: {error}", hint=_HINT) from error
    if not isinstance(config, dict) or config.get("format") != _MODEL_FORMAT:
        raise EngineError(f"{path}: not a model of this trainer", hint=_HINT)
    size = config.get("size")
    if not isinstance(size, str) or size not in SIZES:
        raise EngineError(f"{path}: no size {size!r}", hint=_HINT)
    return size


def _read_parameters(path: Path, shape: ModelShape) -> Parameters:
    try:
        tensors = read_tensors(path)
    except DamagedFile as error:
        raise EngineError(f"cannot be read: {error}", hint=_HINT) from error
    parameters = Parameters.zeros(shape)
    for name, dims in list_tensors(shape).items():
        tensor = tensors.get(name)
        if tensor is None:
            raise EngineError(f"{path}: {name} is missing", hint=_HINT)
        if tensor.shape != dims or tensor.dtype != np.float32:
            raise EngineError(
                f"{path}: {name} is {tensor.dtype} {tensor.shape}, not float32 {dims}", hint=_HINT
            )
        parameters[name][...] = tensor
    if not np.isfinite(parameters.flat).all():
        raise EngineError(f"{path}: holds numbers that are not finite", hint=_HINT)
    return parameters


_FORMAT = "tiny-2"


@dataclass(slots=True)
class TrainingProgress:
    """The state of a training."""

    tokenizer_json: str
    weights: Array  # flat
    moments: AdamMoments
    step: int = 0  # the last completed one
    elapsed_tokens: int = 0
    references: NDArray[np.float64] | None = None  # of pairs: see objective.py


def fingerprint(request: RenderedRequest, resolved: ResolvedHyperparameters) -> str:
    """A hash of the request: equal only for equal trainings."""
    settings = repr((request.base, request.seed, resolved))
    return fingerprint_job(_FORMAT + settings, request.training, request.validation)


def write_checkpoint(path: Path, job: str, progress: TrainingProgress) -> None:
    """Write the checkpoint of `job`, which is its fingerprint."""
    tensors = {
        "tokenizer": encode_text(progress.tokenizer_json),
        "counters": np.array([progress.step, progress.elapsed_tokens]),
        "weights": progress.weights,
        "moment_sum": progress.moments.sum,
        "moment_square_sum": progress.moments.square_sum,
    }
    if progress.references is not None:
        tensors["references"] = progress.references
    reach("tiny.before_checkpoint")
    write_checkpoint_tensors(path, job, tensors)
    reach("tiny.after_checkpoint")


def find_checkpoint(path: Path, job: str) -> TrainingProgress | None:
    """The progress of `job`, if there is an intact checkpoint of it."""
    stored = find_checkpoint_tensors(path, job)
    if stored is None:
        return None
    step, elapsed_tokens = (int(number) for number in stored["counters"])
    return TrainingProgress(
        tokenizer_json=stored["tokenizer"].tobytes().decode(),
        weights=stored["weights"],
        moments=AdamMoments(stored["moment_sum"], stored["moment_square_sum"]),
        step=step,
        elapsed_tokens=elapsed_tokens,
        references=stored.get("references"),
    )
