"""An estimate of a job: `python -m ftops.engine.estimate FILE --model ada`.

Prints one JSON object: the tokens of an epoch in the trainer's vocabulary, and the values that
"auto" resolves to; for a registered base model also the memory that the training needs, and the
speed of the last training on it, if there was one. With --measure it takes two steps with the
longest rows, prints their time, speed and memory, and stores them for later estimates; otherwise it
stores nothing. It starts no server.

For an invalid file the exit code is 1, with the reason on standard error. A job that its trainer
would refuse has the exit code 3, with message and hint as a JSON object.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from ftops.engine.base_models import CALIBRATION, BaseModelStore, read_json
from ftops.engine.hyperparameters import read_hyperparameters
from ftops.engine.settings import EngineFolder
from ftops.engine.trainer import MeasuringTrainer, TrainingRequest
from ftops.engine.trainer_registry import get_trainer
from ftops.engine.training_file import InvalidTrainingFile, read_rows
from ftops.errors import EngineError, FtopsError
from ftops.records import EXIT_REFUSED, Json


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the estimate; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ftops.engine.estimate", description=__doc__)
    parser.add_argument("file", type=Path, help="a training file")
    parser.add_argument("--validation", type=Path, help="a validation file")
    parser.add_argument("--model", default="ada", help="the base model to train")
    parser.add_argument("--hyperparameters", type=json.loads, default={}, help="a JSON object")
    parser.add_argument("--measure", action="store_true", help="take two steps")
    parser.add_argument("--folder", type=Path, default=Path(), help="the engine's folder")
    options = parser.parse_args(arguments)
    folder = EngineFolder(options.folder)
    is_registered = BaseModelStore(folder.base_models).find(options.model) is not None
    try:
        estimate = _estimate(_read_request(options), folder, is_measured=options.measure)
    except (FtopsError, InvalidTrainingFile, OSError) as error:
        if is_registered and not isinstance(error, OSError):
            _print({"message": str(error), "hint": getattr(error, "hint", "")})
            return EXIT_REFUSED
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    _print(estimate)
    return 0


def _read_request(options: argparse.Namespace) -> TrainingRequest:
    settings = read_hyperparameters(options.hyperparameters)
    validation = list(read_rows(options.validation)) if options.validation else ()
    return settings.make_request(options.model, list(read_rows(options.file)), validation)


def _estimate(
    request: TrainingRequest, folder: EngineFolder, *, is_measured: bool
) -> dict[str, Json]:
    trainer = get_trainer(request.base, folder)
    resolved = trainer.resolve(request)
    values = asdict(trainer.estimate(request, resolved))
    values |= {"n_epochs": resolved.n_epochs, "batch_size": resolved.batch_size}
    if not is_measured:
        return values | _read_calibration(request.base, folder)
    if not isinstance(trainer, MeasuringTrainer):
        raise EngineError(f"the training of {request.base} cannot be measured before it starts")
    return values | asdict(trainer.measure(request, resolved))


def _read_calibration(model: str, folder: EngineFolder) -> dict[str, Json]:
    base = BaseModelStore(folder.base_models).find(model)
    if base is None or not (base.folder / CALIBRATION).exists():
        return {}
    measured = read_json(base.folder / CALIBRATION)
    return {"tokens_per_second": measured.get("tokens_per_second")}


def _print(values: dict[str, Json]) -> None:
    sys.stdout.buffer.write(orjson.dumps(values) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
