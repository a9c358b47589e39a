"""Reads and writes an evaluation: `evaluation.json`, and the predictions of each candidate."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from ftops.errors import LedgerError
from ftops.evaluation.result import REPEAT_HINT, Evaluation
from ftops.files import read_if_there, write_atomic
from ftops.metrics.prediction import Prediction
from ftops.run_folder import RunFolder

_PREDICTION = TypeAdapter(Prediction)
_UNSAFE = re.compile(r"[^a-z0-9]+")


def write_evaluation(
    folder: Path, evaluation: Evaluation, predictions: Mapping[str, Sequence[Prediction]]
) -> None:
    """Write the predictions of each candidate, then the evaluation; each file atomically.

    Predictions of candidates that are not in this evaluation are deleted.
    """
    target = RunFolder(folder).predictions
    slugs = make_slugs(list(predictions))
    for candidate, rows in predictions.items():
        write_atomic(target / f"{slugs[candidate]}.jsonl", render_predictions(rows).encode())
    _delete_others(target, {f"{slug}.jsonl" for slug in slugs.values()})
    text = orjson.dumps(evaluation.to_json(), option=orjson.OPT_INDENT_2)
    write_atomic(RunFolder(folder).evaluation, text + b"\n")


def read_evaluation(folder: Path) -> Evaluation | None:
    """The evaluation in that folder; None if there is none, LedgerError if it is damaged."""
    content = read_if_there(RunFolder(folder).evaluation)
    return None if content is None else parse_evaluation(content)


def parse_evaluation(content: bytes) -> Evaluation:
    """The evaluation in `content`; LedgerError if it is damaged."""
    try:
        return Evaluation.from_json(orjson.loads(content))
    except orjson.JSONDecodeError as error:
        raise LedgerError(f"the evaluation is damaged: {error}", hint=REPEAT_HINT) from error


def read_predictions(folder: Path, names: Sequence[str]) -> dict[str, list[Prediction]]:
    """The stored predictions by candidate name; candidates without a file are left out.

    `names` are those of all candidates of the evaluation, in their order.
    """
    contents = {
        name: read_if_there(RunFolder(folder).predictions / f"{slug}.jsonl")
        for name, slug in make_slugs(names).items()
    }
    return {
        name: parse_predictions(content)
        for name, content in contents.items()
        if content is not None
    }


def parse_predictions(content: bytes) -> list[Prediction]:
    """The predictions in JSON lines; a damaged line, as a kill can leave it, is skipped."""
    predictions = []
    for line in content.splitlines():
        try:
            predictions.append(_PREDICTION.validate_json(line))
        except ValidationError:
            continue
    return predictions


def render_predictions(predictions: Sequence[Prediction]) -> str:
    """The predictions as JSON lines."""
    return "".join(
        json.dumps(
            {**_PREDICTION.dump_python(row, mode="json"), "correct": row.correct},
            ensure_ascii=False,
        )
        + "\n"
        for row in predictions
    )


def make_slugs(names: Sequence[str]) -> dict[str, str]:
    """The file name of each candidate: lower-case letters, digits and dashes, unique."""
    slugs: dict[str, str] = {}
    for name in names:
        plain = _UNSAFE.sub("-", name.lower()).strip("-")[:60] or "candidate"
        slug, number = plain, 2
        while slug in slugs.values():
            slug, number = f"{plain}-{number}", number + 1
        slugs[name] = slug
    return slugs


def _delete_others(folder: Path, expected: set[str]) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name not in expected:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
