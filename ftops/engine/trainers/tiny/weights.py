"""A saved model: `config.json`, `tokenizer.json` and `weights.safetensors` in one folder.

Nothing in them is code: numbers, and JSON. `config.json` is written last, so a folder that has one
is whole. Reading checks every shape.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ftops.engine.trainers.tiny.parameters import Parameters, count_parameters, list_tensors
from ftops.engine.trainers.tiny.sizes import SIZES, Shape
from ftops.engine.trainers.tiny.tensor_file import DamagedFile, read_tensors, write_tensors
from ftops.engine.trainers.tiny.tokenizer import Tokenizer
from ftops.errors import EngineError
from ftops.files import write_atomic

_FORMAT = 2
_NPZ_FORMAT = 1  # of ftops before 0.1.0; its weights are not read any more
_WEIGHTS = "weights.safetensors"
_HINT = "The model's files are damaged; train it again, or restore them from a copy."


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A model as it is on disk."""

    size: str  # the name of its size
    tokenizer: Tokenizer
    parameters: Parameters


def write_model(folder: Path, model: SavedModel) -> None:
    """Put the model's files into `folder`."""
    write_tensors(folder / _WEIGHTS, model.parameters.views)
    write_atomic(folder / "tokenizer.json", model.tokenizer.to_json().encode())
    config = {
        "format": _FORMAT,
        "size": model.size,
        "vocab_size": model.tokenizer.vocab_size,
        "n_parameters": count_parameters(model.parameters.shape),
    }
    write_atomic(folder / "config.json", (json.dumps(config, indent=2) + "\n").encode())


def read_model(folder: Path) -> SavedModel:
    """Read what `write_model` left; EngineError that names the file when something is wrong."""
    size = _read_size(folder / "config.json")
    try:
        text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        tokenizer = Tokenizer.from_json(text)
    except (OSError, UnicodeDecodeError, EngineError) as error:
        raise EngineError(f"{folder / 'tokenizer.json'}: {error}", hint=_HINT) from error
    shape = Shape(SIZES[size].n_layers, SIZES[size].width, tokenizer.vocab_size)
    return SavedModel(size, tokenizer, _read_parameters(folder / _WEIGHTS, shape))


def _read_size(path: Path) -> str:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(f"{path}: cannot be read: {error}", hint=_HINT) from error
    if isinstance(config, dict) and config.get("format") == _NPZ_FORMAT:
        raise EngineError(
            f"{path}: a model of an earlier ftops, whose weights are not read any more",
            hint="Train it again.",
        )
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        raise EngineError(f"{path}: not a model of this trainer", hint=_HINT)
    size = config.get("size")
    if not isinstance(size, str) or size not in SIZES:
        raise EngineError(f"{path}: no size {size!r}", hint=_HINT)
    return size


def _read_parameters(path: Path, shape: Shape) -> Parameters:
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
