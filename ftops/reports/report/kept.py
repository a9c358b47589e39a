"""Reads what an evaluation left in a run's folder: the document, and the answers line by line."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import orjson

from ftops.errors import LedgerError
from ftops.metrics.evaluation import (
    CandidateKind,
    CandidateScore,
    ClassFigures,
    Confusion,
    Evaluation,
    MetricResult,
)
from ftops.metrics.prediction import Prediction, Problem
from ftops.records import Json, Message, Prompt

_HINT = "Give the same `ftops run` again: it evaluates again, and asks nothing twice."
_UNNAMED = re.compile(r"[^a-z0-9]+")


def make_slugs(names: Sequence[str]) -> dict[str, str]:
    """For each candidate's name the name of its file: letters, digits and dashes, each once."""
    slugs: dict[str, str] = {}
    for name in names:
        plain = _UNNAMED.sub("-", name.lower()).strip("-")[:60] or "candidate"
        slug, number = plain, 2
        while slug in slugs.values():
            slug, number = f"{plain}-{number}", number + 1
        slugs[name] = slug
    return slugs


def parse_evaluation(
    content: bytes, answers: Sequence[Prediction] = (), *, file: str = "the evaluation file"
) -> Evaluation:
    """The evaluation as it is kept, in this version or the one before; LedgerError for neither.

    The earlier one knew one model and its accuracy alone; `answers` are those of that model, and
    `file` is what it answered.
    """
    try:
        value: Json = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise LedgerError(f"evaluation.json is damaged: {error}", hint=_HINT) from error
    if isinstance(value, dict) and "version" not in value and "accuracy" in value:
        try:
            return _read_earlier(value, answers, file)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise LedgerError(f"evaluation.json is damaged: {error!r}", hint=_HINT) from error
    return Evaluation.from_json(value)


def parse_answers(content: bytes) -> list[Prediction]:
    """The answers of one file; a line that is none is left out, as a kill may have cut it."""
    found = []
    for line in content.splitlines():
        try:
            found.append(_read_answer(orjson.loads(line)))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            continue
    return found


def _read_answer(value: Mapping[str, Json]) -> Prediction:
    chances = value.get("probabilities")
    problem = value.get("problem")
    return Prediction(
        line=int(cast(int, value["line"])),
        prompt=_read_prompt(value["prompt"]),
        expected=str(value["expected"]),
        predicted=str(value["predicted"]),
        probabilities=(
            {name: float(cast(float, one)) for name, one in chances.items()}
            if isinstance(chances, dict)
            else {}
        ),
        problem=Problem(str(problem)) if problem else None,
        note=str(value.get("note") or ""),
    )


def _read_prompt(value: Json) -> Prompt:
    if isinstance(value, list):
        turns = [cast(Mapping[str, Json], one) for one in value]
        return tuple(Message(str(one["role"]), str(one["content"])) for one in turns)
    return str(value)


def _read_earlier(
    value: Mapping[str, Json], answers: Sequence[Prediction], file: str
) -> Evaluation:
    rows = int(cast(int, value["rows"]))
    listed = cast(Iterable[Mapping[str, Json]], value["classes"])
    classes = tuple(
        ClassFigures(
            str(one["label"]),
            int(cast(int, one["rows"])),
            int(cast(int, one["predicted"])),
            int(cast(int, one["correct"])),
        )
        for one in listed
    )
    candidates = [
        CandidateScore(
            name="tuned",
            kind=CandidateKind.TUNED,
            rows=rows,
            metrics={
                "accuracy": MetricResult(float(cast(float, value["accuracy"])), None, None, rows)
            },
            outside=int(cast(int, value["outside"])),
            classes=classes,
            confusion=_count_confusion([one.label for one in classes], answers),
        )
    ]
    majority = value.get("majority_accuracy")
    if majority is not None:
        figure = MetricResult(float(cast(float, majority)), None, None, rows)
        name, kind = "majority", CandidateKind.MAJORITY
        candidates.append(CandidateScore(name, kind, rows, {"accuracy": figure}))
    note = "It was made by an earlier ftops, which knew no intervals and no other candidates."
    return Evaluation(file, rows, "accuracy", tuple(candidates), notes=(note,))


def _count_confusion(labels: Sequence[str], answers: Sequence[Prediction]) -> Confusion | None:
    if not labels or not answers:
        return None
    known = {label: index for index, label in enumerate(labels)}
    met = Counter((one.expected.strip(), one.predicted.strip()) for one in answers)
    counts = [[0] * (len(labels) + 1) for _ in labels]
    for (expected, given), count in met.items():
        if expected in known:
            counts[known[expected]][known.get(given, len(labels))] += count
    return Confusion(tuple(labels), tuple(tuple(row) for row in counts))
