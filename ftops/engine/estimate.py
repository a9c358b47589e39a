"""What a job would be like: `python -m ftops.engine.estimate FILE --model ada`.

Prints one JSON object: the tokens of an epoch by the vocabulary that training would make of the
file, and what "auto" would become. Nothing is started, stored or trained but that vocabulary. Exit
code 1, with the reason on standard error, for a file that cannot be trained on.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from ftops.engine.document import render_pair, render_row
from ftops.engine.tiny.tokenizer import estimate_tokens
from ftops.engine.trainer import Document, PreferencePair, TrainingRequest
from ftops.engine.trainer_registry import get_trainer
from ftops.engine.training_file import InvalidTrainingFile, PreferenceRow, TrainingRow, read_rows
from ftops.errors import FtopsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the forecast; the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m ftops.engine.estimate", description=__doc__)
    parser.add_argument("file", type=Path, help="a training file that is ready to be sent")
    parser.add_argument("--model", default="ada", help="the base model that is to be trained")
    options = parser.parse_args(arguments)
    try:
        rows = to_documents(list(read_rows(options.file)))
        resolved = get_trainer(options.model).resolve(
            TrainingRequest(base=options.model, training=rows, validation=())
        )
    except (FtopsError, InvalidTrainingFile, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    forecast = asdict(estimate_tokens(rows))
    forecast |= {"n_epochs": resolved.n_epochs, "batch_size": resolved.batch_size}
    sys.stdout.buffer.write(orjson.dumps(forecast) + b"\n")
    return 0


def to_documents(rows: Sequence[TrainingRow]) -> Sequence[Document] | Sequence[PreferencePair]:
    """The rows as a trainer gets them by default."""
    pairs = [render_pair(row) for row in rows if isinstance(row, PreferenceRow)]
    return pairs or [render_row(row) for row in rows if not isinstance(row, PreferenceRow)]


if __name__ == "__main__":
    sys.exit(main())
