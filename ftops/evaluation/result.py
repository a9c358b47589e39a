"""The result of an evaluation and its files: `evaluation.json` (version 1) and predictions.

Shares are from 0 to 1, costs are in US dollars, intervals are 95 % bootstrap intervals.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from ftops.errors import LedgerError
from ftops.files import read_if_there, write_atomic
from ftops.metrics.prediction import Prediction
from ftops.metrics.result import ClassResult, Comparison, Confusion, MetricResult, Unit
from ftops.records import Json
from ftops.run_folder import RunFolder

VERSION = 1
REPEAT_HINT = (
    "Run the same `ftops run` again: it repeats the evaluation and uses the cached responses."
)
_PREDICTION = TypeAdapter(Prediction)
_UNSAFE = re.compile(r"[^a-z0-9]+")


class CandidateKind(StrEnum):
    """The kind of a candidate."""

    TUNED = "tuned"  # the model that the run created
    CHECKPOINT = "checkpoint"  # of the same job
    BASE = "base"  # the base model before fine-tuning
    FEW_SHOT = "few-shot"  # the base model with examples in the prompt
    PREVIOUS = "previous"  # the model of an earlier run with the same name
    MODEL = "model"  # any other
    NEAREST = "nearest neighbour"  # predicts the answer of the most similar training row
    NAIVE_BAYES = "naive Bayes"
    TEMPLATE = "regex template"  # fills in the fields of a JSON answer by regular expressions
    MAJORITY = "majority"  # predicts the most frequent answer of the training rows


# Baselines, which are trained on this machine and send no requests.
FREE_KINDS = (
    CandidateKind.NAIVE_BAYES,
    CandidateKind.NEAREST,
    CandidateKind.TEMPLATE,
    CandidateKind.MAJORITY,
)


KEEP = "keep"  # the name of the part with the rows of `evaluate.keep`


class NoteKind(StrEnum):
    """The kind of a note; `ftops.evaluation.text` has the text of each kind."""

    LEAK = "leak"  # `rows` of `total` are training rows
    MEMORIZED = "memorized"  # training rows have a higher share of correct predictions
    FEW_ROWS = "few_rows"
    SAMPLED = "sampled"  # `rows` of `total` were evaluated
    DIFFERENT_ROWS = "different_rows"  # the compared runs have `rows` rows in common
    CORRECTED = "corrected"  # verdicts that Holm's correction changed
    CONSTANT = "constant"  # `rows` of `total` predictions are `detail`
    PROBLEM = "problem"  # `rows` of `total` predictions have `problem`, because of `detail`
    OUTSIDE = "outside"  # `rows` of `total` predictions are not one of the classes
    PARAMETERS = "parameters"  # left out of requests or renamed
    SERVED = "served"  # `detail` generated the responses, in that precision of the weights
    METRIC = "metric"  # `detail` about the values of a metric
    PROBABILITIES = "probabilities"  # label probabilities are not known, because of `detail`
    JUDGE_DISAGREES = "judge_disagrees"  # `rows` of `total` pairs depend on the order
    JUDGE_UNREADABLE = "judge_unreadable"  # `rows` responses of the judge


@dataclass(frozen=True, slots=True)
class Note:
    """A note about the results; `kind` decides which fields are set.

    `subject` is a candidate or a judge, or "" for the whole evaluation. `lines` are those of the
    first affected rows, `shares` the two shares of `MEMORIZED` (training rows, other rows).
    """

    kind: NoteKind
    subject: str = ""
    rows: int | None = None
    total: int | None = None
    lines: tuple[int, ...] = ()
    detail: str = ""
    problem: str = ""
    expected: int | None = None  # rows that expect the constant prediction
    shares: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class RequestStats:
    """Mean tokens of a request, the price of 1,000 requests, and percentiles of the latency.

    Unknown values are None. `estimated` tokens were counted by ftops, not by the provider.
    """

    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    estimated: bool = False
    usd_per_1000: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None


@dataclass(frozen=True, slots=True)
class CandidateScore:
    """The results of one candidate; `name` is unique in the evaluation."""

    name: str
    kind: CandidateKind
    rows: int
    metrics: Mapping[str, MetricResult]
    model: str | None = None  # None for baselines
    provider: str | None = None
    problems: Mapping[str, int] = field(default_factory=dict)  # by `Problem`
    outside: int = 0  # predictions that are not one of the classes
    classes: tuple[ClassResult, ...] = ()
    confusion: Confusion | None = None
    requests: RequestStats | None = None
    # by name: the name that requests used instead, or None if it was omitted
    refused_parameters: Mapping[str, str | None] = field(default_factory=dict)
    system_fingerprints: tuple[str, ...] = ()  # what generated the responses


@dataclass(frozen=True, slots=True)
class SkippedCandidate:
    """A candidate without predictions, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Savings:
    """The savings of one request to the tuned model compared with another candidate, if known.

    Negative values are losses. `pays_after` is the number of requests after which training has paid
    off; None if it never does or prices are not known.
    """

    against: str
    tokens: float | None
    usd_per_1000: float | None
    p50_s: float | None
    training_usd: float | None
    pays_after: int | None


@dataclass(frozen=True, slots=True)
class RequirementResult:
    """A requirement as written in the job file, and whether it is met.

    `value` is None if it is not known; then the requirement is not met, and `reason` says why.
    """

    text: str
    value: float | None
    met: bool
    reason: str = ""
    unit: Unit = Unit.SCORE


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All candidates on the rows of one file; the tuned model is first if there is one.

    `primary_metric` is shown where there is space for one metric. `overlap_rows` is the number of
    rows that are also training rows; None if the training rows are not known. `parts` are
    evaluations of slices of the rows, and of the rows of `evaluate.keep` with the model before and
    after tuning; `name` is that of a part. Requirements on parts are in `requirements`, too.
    """

    file: str
    rows: int
    primary_metric: str
    candidates: tuple[CandidateScore, ...]
    file_sha256: str = ""
    overlap_rows: int | None = None
    skipped: tuple[SkippedCandidate, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    savings: tuple[Savings, ...] = ()
    requirements: tuple[RequirementResult, ...] = ()
    notes: tuple[Note, ...] = ()
    name: str = ""
    parts: tuple["Evaluation", ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every requirement is met; True without requirements."""
        return all(requirement.met for requirement in self.requirements)

    def to_json(self) -> dict[str, Json]:
        """The result as JSON."""
        fields: dict[str, Json] = _ADAPTER.dump_python(self, mode="json")
        return {"version": VERSION, **fields}

    @classmethod
    def from_json(cls, value: Json) -> "Evaluation":
        """Read the output of `to_json`; LedgerError if it is damaged."""
        try:
            if not isinstance(value, dict) or value.get("version") != VERSION:
                raise ValueError(f"it is not of version {VERSION}")
            fields: dict[str, Any] = {
                name: field for name, field in value.items() if name != "version"
            }
            return _ADAPTER.validate_python(fields)
        except (ValidationError, ValueError) as error:
            raise LedgerError(
                f"the stored evaluation is damaged: {error}", hint=REPEAT_HINT
            ) from error


_ADAPTER = TypeAdapter(Evaluation)


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
    """The evaluation in the folder; None if there is none, LedgerError if it is damaged."""
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

    `names` are the names of all candidates of the evaluation, in order.
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
    """The predictions in JSON lines; damaged lines (for example, truncated ones) are skipped."""
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
