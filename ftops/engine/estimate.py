"""An estimate of a job: `python -m ftops.engine.estimate FILE --model ada`.

Prints one JSON object: the tokens of an epoch in the trainer's vocabulary, and the values that
"auto" resolves to; for a registered base model also the speed and memory of the last training on
it, if there was one. It stores nothing and starts no server. For an invalid file the exit code is
1, with the reason on standard error.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from ftops.engine.base_models import CALIBRATION, BaseModelStore, read_json
from ftops.engine.settings import EngineFolder
from ftops.engine.trainer import TrainingRequest
from ftops.engine.trainer_registry import get_trainer
from ftops.engine.training_file import InvalidTrainingFile, read_rows
from ftops.errors import FtopsError
from ftops.records import Json


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the estimate; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ftops.engine.estimate", description=__doc__)
    parser.add_argument("file", type=Path, help="a training file")
    parser.add_argument("--model", default="ada", help="the base model to train")
    parser.add_argument("--folder", type=Path, default=Path(), help="the engine's folder")
    options = parser.parse_args(arguments)
    try:
        rows = list(read_rows(options.file))
        trainer = get_trainer(options.model, EngineFolder(options.folder))
        resolved = trainer.resolve(
            TrainingRequest(base=options.model, training=rows, validation=())
        )
    except (FtopsError, InvalidTrainingFile, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    estimate = asdict(trainer.estimate_tokens(rows))
    estimate |= {"n_epochs": resolved.n_epochs, "batch_size": resolved.batch_size}
    estimate |= _read_calibration(options.model, EngineFolder(options.folder))
    sys.stdout.buffer.write(orjson.dumps(estimate) + b"\n")
    return 0


def _read_calibration(model: str, folder: EngineFolder) -> dict[str, Json]:
    base = BaseModelStore(folder.base_models).find(model)
    if base is None or not (base.folder / CALIBRATION).exists():
        return {}
    measured = read_json(base.folder / CALIBRATION)
    return {
        "tokens_per_second": measured.get("tokens_per_second"),
        "memory_bytes": measured.get("peak_memory_bytes"),
    }


if __name__ == "__main__":
    sys.exit(main())
